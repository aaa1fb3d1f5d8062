//! Two gateways on one Redis, people by the thousand, and duels: somebody
//! writes while others read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use vestibule::base::random;
use vestibule::session::sessions::Reach;

use super::ledger::{Asked, Ledger, Verdict};
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::keep_alive::KeepAlive;
use crate::harness::mirror::{Mirror, Told};
use crate::harness::planted::{Planted, Planter};
use crate::harness::provider::Provider;
use crate::harness::until;

/// Duels at the same time; two cores cannot keep more going.
const DUELS: usize = 8;
/// Of so many duels there is one who looks again when the bound has passed.
const DUELS_PER_CHECKER: usize = 2;
/// Of so many sign-outs one is somebody's own at the first gateway; the
/// others are a third replica's, which is quicker.
const OWN_SIGN_OUT: usize = 8;
/// Complaints that are kept word by word.
const QUOTED: usize = 5;

pub(super) struct Field {
    _provider: Provider,
    _mirror: Mirror,
    /// Where people sign out.
    pub(super) writing: Gateway,
    /// Where they are read.
    pub(super) reading: Gateway,
    pub(super) planter: Planter,
    pub(super) people: Vec<Mutex<Planted>>,
    ledgers: Vec<Mutex<Ledger>>,
    /// For the gateway where people sign out.
    store_is_steady: bool,
    duels_at_once: usize,
    pub(super) tally: Tally,
}

/// What the readers saw.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) right: AtomicUsize,
    pub(super) unserved: AtomicUsize,
    /// Writes whose outcome is unknown.
    pub(super) lost_writes: AtomicUsize,
    pub(super) ended: AtomicUsize,
    pub(super) rewritten: AtomicUsize,
    /// Looks after the bound for which the answer was fixed.
    pub(super) checked: AtomicUsize,
    /// The first of those who were not served.
    why: Mutex<Vec<String>>,
    stale: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

impl Field {
    /// `lines`: of `[redis]`, for the first gateway and the one that reads;
    /// `session`: of `[session]`.
    pub(super) async fn start(
        (writing, reading): (&str, &str),
        session: &str,
        people: usize,
    ) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let mirror = Mirror::start().await;
        let plan = Plan::new(&provider.issuer, &mirror.url())
            .route("pass_access_token = true")
            .session(session)
            .log_level("info");
        let first = plan.clone().redis(writing);
        let second = plan.replica().redis(reading);
        let planter = Planter::of(&first);
        let writing = first.start().await;
        let reading = second.start().await;
        let people = planter.people("person", people).await;
        Self {
            ledgers: people
                .iter()
                .map(|person| Mutex::new(Ledger::new(&person.subject)))
                .collect(),
            people: people.into_iter().map(Mutex::new).collect(),
            _provider: provider,
            _mirror: mirror,
            writing,
            reading,
            planter,
            store_is_steady: true,
            duels_at_once: DUELS,
            tally: Tally::default(),
        }
    }

    /// The store of both gateways will be in trouble.
    pub(super) fn of_bad_times(mut self) -> Self {
        self.store_is_steady = false;
        self
    }

    /// So many duels at the same time, where they wait more than they do.
    pub(super) const fn at_once(mut self, duels: usize) -> Self {
        self.duels_at_once = duels;
        self
    }

    /// Everybody has a duel, in an order that nobody knows, and is looked at
    /// again when the bound has passed.
    pub(super) async fn duels(self: &Arc<Self>, bound: Duration) {
        self.duels_and_looks(bound, bound).await;
    }

    /// The same, with the last look so long after the duel.
    pub(super) async fn duels_and_looks(self: &Arc<Self>, bound: Duration, after: Duration) {
        let mut order: Vec<usize> = (0..self.people.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, pick(at + 1));
        }
        let order = Arc::new(Mutex::new(order));
        let (again, later) = mpsc::unbounded_channel::<(usize, Instant)>();
        let later = Arc::new(tokio::sync::Mutex::new(later));
        let mut tasks = JoinSet::new();
        for _ in 0..self.duels_at_once {
            let (field, order, again) = (Arc::clone(self), Arc::clone(&order), again.clone());
            tasks.spawn(async move {
                let mut lines = [(); 2].map(|()| KeepAlive::to(&field.reading));
                let mut door = KeepAlive::to(&field.writing);
                loop {
                    let next = order.lock().expect("order").pop();
                    let Some(who) = next else { break };
                    field.duel(who, bound, &mut lines, &mut door).await;
                    again.send((who, Instant::now() + after)).expect("checkers");
                }
            });
        }
        drop(again);
        for _ in 0..self.duels_at_once.div_ceil(DUELS_PER_CHECKER) {
            let (field, later) = (Arc::clone(self), Arc::clone(&later));
            tasks.spawn(async move {
                let mut line = KeepAlive::to(&field.reading);
                loop {
                    // Due in the order in which they came.
                    let next = later.lock().await.recv().await;
                    let Some((who, due)) = next else { break };
                    sleep_until(due).await;
                    field.check(who, bound, &mut line).await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("no duel panics");
        }
    }

    async fn duel(
        &self,
        who: usize,
        bound: Duration,
        lines: &mut [KeepAlive; 2],
        door: &mut KeepAlive,
    ) {
        let cookie = self.person(who).cookie.clone();
        // Half of them are known to the reader, the other half's first
        // reading falls together with the writing.
        if pick(2) == 0 {
            for _ in 0..2 {
                self.read(who, &cookie, bound, &mut lines[0]).await;
            }
        }
        let over = AtomicUsize::new(0);
        let [one, other] = lines;
        let hammer = async |line: &mut KeepAlive| {
            sleep(Duration::from_micros(pick(1500) as u64)).await;
            while over.load(Ordering::Relaxed) == 0 {
                self.read(who, &cookie, bound, line).await;
            }
        };
        let writing = async {
            for _ in 0..=pick(3) {
                sleep(Duration::from_micros(pick(2500) as u64)).await;
                self.rewrite(who).await;
            }
            if pick(2) == 0 {
                sleep(Duration::from_micros(pick(2500) as u64)).await;
                self.end(who, door).await;
            }
            sleep(Duration::from_millis(3)).await;
            over.store(1, Ordering::Relaxed);
        };
        tokio::join!(hammer(one), hammer(other), writing);
    }

    /// One look for which it is fixed what must be seen.
    async fn check(&self, who: usize, bound: Duration, line: &mut KeepAlive) {
        let cookie = self.person(who).cookie.clone();
        let fixed = self.ledger(who).demands_something_at(Instant::now(), bound);
        let end = Instant::now() + until::PATIENCE;
        while !self.read(who, &cookie, bound, line).await {
            assert!(Instant::now() < end, "nobody is served any more");
        }
        if fixed {
            self.tally.checked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everybody is looked at once more; what was done must show by now.
    pub(super) async fn look_at_everybody(&self, bound: Duration) {
        let mut line = KeepAlive::to(&self.reading);
        for who in 0..self.people.len() {
            self.check(who, bound, &mut line).await;
        }
    }

    /// Until nobody needs to be looked up any more.
    pub(super) async fn everybody_is_remembered(&self) {
        until::some("everybody is remembered", || async {
            let before = self.remembered().await.0;
            self.look_at_everybody(until::PATIENCE).await;
            let all = self.people.len() as f64;
            (self.remembered().await.0 - before >= all).then_some(())
        })
        .await;
    }

    /// True if it was served, rightly or not.
    pub(super) async fn read(
        &self,
        who: usize,
        cookie: &str,
        bound: Duration,
        line: &mut KeepAlive,
    ) -> bool {
        let began = Instant::now();
        let answer = line.get("/x", cookie).await;
        let asked = Asked {
            began,
            ended: Instant::now(),
            answer,
        };
        let verdict = self.ledger(who).judge(&asked, bound);
        if verdict == Verdict::Unserved {
            let mut why = self.tally.why.lock().expect("why");
            if why.len() < QUOTED {
                let after = asked.ended - asked.began;
                why.push(format!("{:?} after {after:?}", asked.answer));
            }
        }
        let served = verdict != Verdict::Unserved;
        match verdict {
            Verdict::Right => {
                self.tally.right.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Unserved => {
                self.tally.unserved.fetch_add(1, Ordering::Relaxed);
                // Nobody hammers on a closed door.
                sleep(Duration::from_millis(5)).await;
            }
            Verdict::Stale(how) => self.tally.stale.lock().expect("stale").push(how),
            Verdict::Wrong(how) => self.tally.wrong.lock().expect("wrong").push(how),
        }
        served
    }

    async fn rewrite(&self, who: usize) {
        self.tally.rewritten.fetch_add(1, Ordering::Relaxed);
        let mut person = self.taken(who);
        let done = if pick(2) == 0 {
            let number = self.ledger(who).claims_change();
            let done = self.planter.change(&person, number).await;
            if done.is_ok() {
                self.ledger(who).claims_changed();
            }
            done
        } else {
            let number = self.ledger(who).tokens_change();
            let done = self.planter.renew(&mut person, number).await;
            if done == Ok(true) {
                self.ledger(who).tokens_changed();
            }
            done.map(|_| ())
        };
        *self.person(who) = person;
        if done.is_err() {
            self.tally.lost_writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn end(&self, who: usize, door: &mut KeepAlive) {
        self.tally.ended.fetch_add(1, Ordering::Relaxed);
        let person = self.taken(who);
        self.ledger(who).ends();
        let done = if pick(OWN_SIGN_OUT) == 0 {
            let origin = self.writing.plan().origin();
            let answer = door.sign_out(&origin, &person.cookie).await;
            // Where the store is in trouble others hear of it later.
            self.store_is_steady && answer.is_ok_and(|(status, _)| matches!(status, 200 | 303))
        } else {
            self.planter.end(&person).await == Ok(Reach::Everywhere)
        };
        if done {
            self.ledger(who).ended();
        } else {
            self.tally.lost_writes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `how` ends all sessions at once.
    pub(super) async fn everybody_ends(&self, how: impl AsyncFnOnce()) {
        for who in 0..self.people.len() {
            self.ledger(who).ends();
        }
        how().await;
        for who in 0..self.people.len() {
            self.ledger(who).ended();
        }
    }

    /// Waits until the reading gateway serves from the store again.
    pub(super) async fn is_well(&self) {
        let newcomer = until::some("somebody can be planted", || async {
            let subject = format!("newcomer-{}", pick(1 << 30));
            self.planter.try_person(subject).await.ok()
        })
        .await;
        let line = tokio::sync::Mutex::new(KeepAlive::to(&self.reading));
        until::some("the reading gateway is well", || async {
            let answer = line.lock().await.get("/x", &newcomer.cookie).await;
            answer.is_ok_and(|(status, _)| status == 200).then_some(())
        })
        .await;
    }

    /// Whoever has no memory says the same of everybody.
    pub(super) async fn agrees_with_the_store(&self) {
        let truth = Planter::of(self.writing.plan());
        let mut line = KeepAlive::to(&self.reading);
        for who in 0..self.people.len() {
            let person = self.taken(who);
            let expected = truth.told_of(&person.cookie).await;
            let (status, text) = line.get("/x", &person.cookie).await.expect("an answer");
            let seen = (status == 200).then(|| Told::of(&text)).flatten();
            assert_eq!(seen, expected, "{} {status}", person.subject);
        }
    }

    fn ledger(&self, who: usize) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledgers[who].lock().expect("ledger")
    }

    pub(super) fn person(&self, who: usize) -> std::sync::MutexGuard<'_, Planted> {
        self.people[who].lock().expect("person")
    }

    /// A copy, so that no lock is held while somebody waits.
    fn taken(&self, who: usize) -> Planted {
        self.person(who).clone()
    }

    /// How often the reading gateway answered from memory, and how often a
    /// reading was overtaken by a change.
    pub(super) async fn remembered(&self) -> (f64, f64) {
        let metric = |name: &'static str| self.reading.metric(name);
        (
            metric("vestibule_session_cache_lookups_total{outcome=\"hit\"").await,
            metric("vestibule_session_cache_fills_total{outcome=\"tainted\"").await,
        )
    }

    /// Nobody was served what had been replaced or ended for longer than the
    /// bound, and nobody was taken for another or sent away.
    pub(super) fn nothing_was_stale(&self, name: &str) {
        let Tally {
            right,
            unserved,
            lost_writes,
            ended,
            rewritten,
            checked,
            why,
            stale,
            wrong,
        } = &self.tally;
        let why = why.lock().expect("why");
        let (stale, wrong) = (stale.lock().expect("stale"), wrong.lock().expect("wrong"));
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        println!(
            "{name}: {} people, {} rewritings, {} ends ({} writes without an answer), {} right \
             answers, {} looks after the bound, {} unserved, {} stale, {} wrong",
            self.people.len(),
            count(rewritten),
            count(ended),
            count(lost_writes),
            count(right),
            count(checked),
            count(unserved),
            stale.len(),
            wrong.len(),
        );
        for why in why.iter() {
            println!("{name}: not served: {why}");
        }
        let quoted = |complaints: &[String]| complaints[..complaints.len().min(QUOTED)].join("\n");
        assert!(
            stale.is_empty(),
            "stale {}:\n{}",
            stale.len(),
            quoted(&stale)
        );
        assert!(
            wrong.is_empty(),
            "wrong {}:\n{}",
            wrong.len(),
            quoted(&wrong)
        );
    }
}

pub(super) fn pick(among: usize) -> usize {
    usize::from_le_bytes(random::bytes()) % among
}
