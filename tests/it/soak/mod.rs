//! A long walk in bad weather: three gateways, people who never stop asking, tokens that live for seconds, and something that dies, stops
//! or breaks off every moment. Nobody may be signed out by any of it, but by a
//! provider that hung up on a refresh and on its one last try. No
//! request may reach the application without the name of whoever sent it, and
//! the provider, which rotates strictly, may see no token twice but after a
//! `kill -9` that came between its answer and our store.

mod canary;
mod keeper;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use vestibule::base::random;

use self::canary::Canary;
use self::keeper::Keeper;

use crate::harness::browser::Browser;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, Provider, User};
use crate::harness::wire::Answer;

/// Seconds that an access token lives.
const LIFE: u64 = 3;
/// How long the claim of a process that died keeps others from its refresh.
const LEASE: Duration = Duration::from_secs(15);
const GATEWAYS: usize = 3;
const PAUSE: Duration = Duration::from_millis(60);
/// A person signs out about once in so many requests.
const SIGNS_OUT_EVERY: usize = 300;

/// What the people saw.
#[derive(Default)]
struct Diary {
    /// Answers by status; 0 stands for a connection that broke.
    seen: Mutex<BTreeMap<u16, usize>>,
    /// Whose session was gone, once for each time.
    signed_out: Mutex<Vec<(String, String)>>,
    faults: Mutex<Vec<String>>,
    /// Copies of cookies whose sessions were signed out.
    gone: Mutex<Vec<Browser>>,
}

impl Diary {
    fn saw(&self, status: u16) {
        *self.seen.lock().expect("seen").entry(status).or_default() += 1;
    }

    fn fault(&self, text: String) {
        self.faults.lock().expect("faults").push(text);
    }
}

struct World {
    provider: Provider,
    canary: Canary,
    keeper: Keeper,
    gateways: Vec<tokio::sync::Mutex<Gateway>>,
    addresses: Vec<SocketAddr>,
    url: String,
    origin: String,
    authority: String,
    /// The provider knows one person at a time.
    at_the_provider: tokio::sync::Mutex<()>,
    diary: Diary,
    over: AtomicBool,
    /// Gateways may be killed.
    mortal: bool,
}

impl World {
    async fn start(keeper: Keeper, mortal: bool) -> Self {
        let provider = Provider::start("oidc-plain").await;
        provider.set(|script| script.access_lifetime = LIFE);
        let canary = Canary::start().await;
        let upstream = format!("http://{}", canary.address);
        let plan = Plan::bare(&provider.issuer)
            .route(&format!(
                "[route.app]\nupstream = \"{upstream}\"\naccess = \"signed-in\"\nidentity = \"remote-user\"\n"
            ))
            .log_level("info");
        let mut gateways = Vec::new();
        for number in 0..GATEWAYS {
            let own = if gateways.is_empty() {
                plan.clone()
            } else {
                plan.replica()
            };
            gateways.push(own.redis(&keeper.lines(number).await).start().await);
        }
        Self {
            url: gateways[0].url("/x"),
            origin: plan.origin(),
            authority: gateways[0].authority(),
            addresses: gateways.iter().map(Gateway::address).collect(),
            gateways: gateways.into_iter().map(tokio::sync::Mutex::new).collect(),
            provider,
            canary,
            keeper,
            at_the_provider: tokio::sync::Mutex::default(),
            diary: Diary::default(),
            over: AtomicBool::new(false),
            mortal,
        }
    }

    fn rotations(&self) -> usize {
        self.provider.rotations()
    }

    async fn sign_in(&self, browser: &Browser, subject: &str) -> bool {
        let _alone = self.at_the_provider.lock().await;
        let user = User {
            subject: subject.to_owned(),
            claims: json!({ "preferred_username": subject })
                .as_object()
                .expect("an object")
                .clone(),
        };
        self.provider.set(|script| script.user = user);
        browser
            .try_open(&self.url)
            .await
            .is_ok_and(|answer| answer.status == 200)
    }

    /// One person, from the first sign-in to the end of the walk.
    async fn person(&self, number: usize) {
        let subject = format!("person-{number}");
        let browser = Browser::new();
        let mut signed_in = false;
        let mut wants_out = false;
        while !self.over.load(Ordering::SeqCst) {
            let through = pick(self.addresses.len());
            browser.detour(&self.authority, self.addresses[through]);
            if !signed_in {
                wants_out = false;
                signed_in = self.sign_in(&browser, &subject).await;
                sleep(PAUSE).await;
                continue;
            }
            if pick(SIGNS_OUT_EVERY) == 0 {
                // The answer may be lost, and the deed done all the same.
                wants_out = true;
                signed_in = !self.sign_out(&browser).await;
                continue;
            }
            let answer = browser.try_fetch("GET", &self.url, &[], Bytes::new()).await;
            signed_in = self.judge(&subject, wants_out, answer.ok());
            sleep(PAUSE).await;
        }
    }

    /// True if the gateway says that it is done; then it must stay done.
    async fn sign_out(&self, browser: &Browser) -> bool {
        let thief = browser.twin();
        let url = format!("{}/oauth2/sign_out", self.origin);
        let fields = [("origin", self.origin.as_str())];
        let answer = browser.try_fetch("POST", &url, &fields, Bytes::new()).await;
        let done = answer.is_ok_and(|answer| matches!(answer.status.as_u16(), 200 | 303));
        if done {
            self.diary.gone.lock().expect("gone").push(thief);
        }
        done
    }

    /// Whether a cookie opens the door anywhere.
    async fn opens(&self, browser: &Browser) -> bool {
        for address in &self.addresses {
            browser.detour(&self.authority, *address);
            let answer = browser.fetch("GET", &self.url, &[]).await;
            if answer.status != 401 {
                return true;
            }
        }
        false
    }

    /// Whether the person still has a session.
    fn judge(&self, subject: &str, wants_out: bool, answer: Option<Answer>) -> bool {
        let Some(answer) = answer else {
            self.diary.saw(0);
            return true;
        };
        let status = answer.status.as_u16();
        self.diary.saw(status);
        match status {
            200 if answer.text() == subject => {}
            200 => self
                .diary
                .fault(format!("{subject} was told to be {}", answer.text())),
            503 if !answer.header("retry-after").is_empty() => {}
            401 if wants_out => {}
            401 => {
                let reason = answer.json()["reason"].to_string();
                let whose = (subject.to_owned(), reason);
                self.diary.signed_out.lock().expect("list").push(whose);
            }
            _ => self
                .diary
                .fault(format!("{subject} got {status}: {}", answer.text())),
        }
        let cleared = |line: &String| line.contains("Max-Age=0");
        if answer.set_cookies().iter().any(cleared) {
            self.diary
                .fault(format!("{subject}: cookie deleted at {status}"));
        }
        status != 401
    }

    /// One misfortune. True if something died with what it held.
    async fn misfortune(&self) -> bool {
        let one = pick(self.gateways.len());
        match pick(8) {
            0 if !self.mortal => return self.keeper.misfortune().await,
            0 => {
                let mut gateway = self.gateways[one].lock().await;
                gateway.kill();
                sleep(Duration::from_millis(100)).await;
                gateway.restart().await;
                return true;
            }
            1 => {
                let gateway = self.gateways[one].lock().await;
                gateway.signal("STOP");
                sleep(Duration::from_millis(500 + random_up_to(3000))).await;
                gateway.signal("CONT");
            }
            2 => self.provider.fail(
                Endpoint::Refresh,
                [503, 429, 500].map(|status| Fault::Busy {
                    status,
                    retry_after: 1,
                }),
            ),
            3 => self.provider.fail(Endpoint::Refresh, [Fault::HangUpBefore]),
            _ => return self.keeper.misfortune().await,
        }
        false
    }
}

/// Nobody knows whether the token lives: it is sent once more and then never
/// again, so that a second hang-up costs a sign-in.
const TRIES: usize = 2;

/// Takes out of `signed_out` whom the provider never answered: one for each
/// token on which it hung up twice, and only who was told this reason.
fn without_the_unanswered(
    mut signed_out: Vec<(String, String)>,
    unanswered: &[(String, usize)],
) -> Vec<(String, String)> {
    for (subject, _) in unanswered.iter().filter(|(_, times)| *times >= TRIES) {
        let theirs =
            |(lost, reason): &(String, String)| lost == subject && reason == "\"outcome_unknown\"";
        if let Some(at) = signed_out.iter().position(theirs) {
            signed_out.swap_remove(at);
        }
    }
    signed_out
}

fn random_up_to(most: u64) -> u64 {
    u64::from_le_bytes(random::bytes()) % most
}

fn pick(among: usize) -> usize {
    usize::from_le_bytes(random::bytes()) % among
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_of_rotations_under_chaos() {
    if part::have("soak_of_rotations_under_chaos", &[Part::Redis]) {
        walk("one Redis", Keeper::alone(GATEWAYS).await, true, 500).await;
    }
}

/// Stops, breaks and outages without a death: then not a single token may be
/// seen twice, and nobody may lose a session whom the provider answered once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_without_deaths_loses_nothing() {
    if part::have("soak_without_deaths_loses_nothing", &[Part::Redis]) {
        walk(
            "one Redis, nobody dies",
            Keeper::alone(GATEWAYS).await,
            false,
            250,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_of_rotations_while_servers_trade_places() {
    let name = "soak_of_rotations_while_servers_trade_places";
    if part::have(name, &[Part::Redis]) {
        walk("Sentinel", Keeper::pair().await, true, 250).await;
    }
}

/// Until so many rotations are done; of the long run, 10 000.
async fn walk(keeper_name: &str, keeper: Keeper, mortal: bool, ordinary: usize) {
    let (people, wanted, minutes) = match part::long() {
        true => (100, 10_000, 60),
        false => (30, ordinary, 3),
    };
    let longest = Duration::from_secs(60 * minutes);
    let world = Arc::new(World::start(keeper, mortal).await);
    let began = Instant::now();
    let mut walk = JoinSet::new();
    for number in 0..people {
        let world = Arc::clone(&world);
        walk.spawn(async move { world.person(number).await });
    }
    let (mut deaths, mut last_death) = (0, began);
    let mut misfortunes = 0;
    while world.rotations() < wanted {
        sleep(Duration::from_millis(500 + random_up_to(1000))).await;
        if world.misfortune().await {
            deaths += 1;
            last_death = Instant::now();
        }
        misfortunes += 1;
        assert!(
            began.elapsed() < longest,
            "the walk does not get on: {} rotations, {:?}",
            world.rotations(),
            world.diary.seen.lock().expect("seen")
        );
    }
    world.provider.heal(Endpoint::Refresh);
    // Fine weather again: within two lives of a token everybody is well, and
    // whoever waits for a refresh of the dead soon after the end of its claim.
    let claims_end = last_death + LEASE + Duration::from_secs(2);
    sleep(claims_end.saturating_duration_since(Instant::now())).await;
    let (before, after) = loop {
        let failovers = world.keeper.failovers().await;
        sleep(Duration::from_secs(2 * LIFE)).await;
        let before = world.diary.seen.lock().expect("seen").clone();
        sleep(Duration::from_secs(2)).await;
        let after = world.diary.seen.lock().expect("seen").clone();
        // Sentinels on a busy machine take a second of silence for a death.
        if world.keeper.failovers().await == failovers {
            break (before, after);
        }
        assert!(began.elapsed() < 2 * longest, "the weather never settles");
    };
    world.over.store(true, Ordering::SeqCst);
    while walk.join_next().await.is_some() {}

    let signed_out = world.diary.signed_out.lock().expect("list").clone();
    let unanswered = world.provider.unanswered();
    let lost = without_the_unanswered(signed_out.clone(), &unanswered);
    let gone = std::mem::take(&mut *world.diary.gone.lock().expect("gone"));
    for browser in &gone {
        assert!(
            !world.opens(browser).await,
            "a signed-out session came back"
        );
    }
    let faults = world.diary.faults.lock().expect("faults").clone();
    println!(
        "soak, {keeper_name}: {} rotations of {people} sessions on 3 gateways in {:.0} s; {misfortunes} misfortunes, \
         {deaths} of them deaths (kill -9 of a gateway, a failover); answers by status {after:?} (0: connection broke); \
         {} tokens seen twice; {} unanswered, {} of them twice; {} lost their session: {signed_out:?}; \
         {} signed out and stayed out",
        world.rotations(),
        began.elapsed().as_secs_f64(),
        world.provider.reuse(),
        unanswered.len(),
        unanswered
            .iter()
            .filter(|(_, times)| *times >= TRIES)
            .count(),
        signed_out.len(),
        gone.len(),
    );
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!(world.canary.nameless.load(Ordering::SeqCst), 0);
    assert!(world.provider.reuse() <= deaths, "a token was spent twice");
    assert!(lost.len() <= deaths, "somebody was signed out: {lost:?}");
    let often = unanswered.iter().filter(|(_, times)| *times > TRIES);
    assert!(often.count() <= deaths, "a token was sent a third time");
    let since = |status: u16| {
        after.get(&status).copied().unwrap_or_default()
            - before.get(&status).copied().unwrap_or_default()
    };
    assert!(since(200) > 0, "nobody is served in fine weather");
    assert_eq!((since(503), since(0)), (0, 0), "in fine weather");
}
