//! What is kept of sessions in memory, seen from outside: what never reaches
//! the store, what shows at once, and what still happens.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use vestibule::base::random;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::keep_alive::KeepAlive;
use crate::harness::mirror::{Mirror, Told};
use crate::harness::part::{self, Part};
use crate::harness::planted::Planter;
use crate::harness::provider::Provider;
use crate::harness::redis::Redis;

/// What "milliseconds" may mean on a machine that does much else.
const SOON: Duration = Duration::from_millis(250);

/// Gateways that share a store, with people planted in it.
struct Place {
    provider: Provider,
    _mirror: Mirror,
    gateways: Vec<Gateway>,
    planter: Planter,
}

impl Place {
    /// One gateway for each of `stores`, lines of `[redis]`; a single one with
    /// the embedded store where there is none.
    async fn start(stores: &[String], change: impl FnOnce(Plan) -> Plan) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let mirror = Mirror::start().await;
        let plan = Plan::new(&provider.issuer, &mirror.url())
            .route("pass_access_token = true")
            .log_level("info");
        let plan = change(plan);
        let mut gateways = Vec::new();
        if stores.is_empty() {
            gateways.push(plan.clone().start().await);
        }
        for store in stores {
            let own = if gateways.is_empty() {
                plan.clone()
            } else {
                plan.replica()
            };
            gateways.push(own.redis(store).start().await);
        }
        Self {
            planter: Planter::of(gateways[0].plan()),
            provider,
            _mirror: mirror,
            gateways,
        }
    }

    fn here(&self) -> &Gateway {
        &self.gateways[0]
    }
}

async fn told(line: &mut KeepAlive, cookie: &str) -> Option<Told> {
    let (status, text) = line.get("/x", cookie).await.expect("an answer");
    assert!(matches!(status, 200 | 401), "{status}: {text}");
    (status == 200).then(|| Told::of(&text).expect("the mirror's answer"))
}

async fn lives(line: &mut KeepAlive, cookie: &str) -> bool {
    told(line, cookie).await.is_some()
}

/// A cookie is judged by its seal before anything is looked up, or guesses
/// would cost the store a reading each.
#[tokio::test]
async fn made_up_cookies_never_reach_the_store() {
    let name = "made_up_cookies_never_reach_the_store";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let place = Place::start(&[redis.lines()], |plan| plan).await;
    let ann = place.planter.person("ann".to_owned()).await;
    let mut line = KeepAlive::to(place.here());
    assert!(lives(&mut line, &ann.cookie).await);
    let monitor = redis.monitor().await;
    for number in 0..300 {
        let mut forged = ann.cookie.clone().into_bytes();
        let at = 3 + number % (forged.len() - 3);
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).expect("text");
        // Where the very last sign carries no bit of the ticket, it must not
        // be taken either.
        assert!(!lives(&mut line, &forged).await, "{at}");
    }
    assert_eq!(monitor.readings(&redis).await, Vec::<String>::new());
}

/// What was not there a moment ago is no reason to turn somebody away who has
/// just signed in, at this gateway or at another one.
#[tokio::test]
async fn a_ticket_counts_as_soon_as_its_session_is_there() {
    let name = "a_ticket_counts_as_soon_as_its_session_is_there";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let place = Place::start(&[redis.lines()], |plan| plan).await;
    let mut lines = [(); 3].map(|()| KeepAlive::to(place.here()));
    let mut slowest = Duration::ZERO;
    for number in 0..150 {
        let seed = random::bytes::<32>();
        let cookie = place.planter.cookie_of(&seed);
        let [line, hammers @ ..] = &mut lines;
        if number % 2 == 0 {
            assert!(!lives(line, &cookie).await);
        }
        let writing = place.planter.person_with(format!("p-{number}"), &seed);
        let reading = hammers.iter_mut().map(|line| async {
            for _ in 0..8 {
                lives(line, &cookie).await;
            }
        });
        let (written, _) = tokio::join!(writing, join_all(reading));
        written.expect("a session");
        let since = Instant::now();
        while !lives(line, &cookie).await {
            assert!(since.elapsed() < SOON, "{number}: still unknown");
        }
        slowest = slowest.max(since.elapsed());
    }
    println!("new sessions counted within {slowest:?}");
}

/// Whoever signs out is out when the answer is there: at every worker, on
/// connections that were open before, and for whoever reads at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_counts_at_once_on_every_worker() {
    let name = "a_sign_out_counts_at_once_on_every_worker";
    let mut stores = vec![(
        None,
        Place::start(&[], |plan| plan.server("workers = 4")).await,
    )];
    if part::have(name, &[Part::Redis]) {
        let redis = Redis::start().await;
        let place = Place::start(&[redis.lines()], |plan| plan.server("workers = 4")).await;
        stores.push((Some(redis), place));
    }
    for (redis, place) in &stores {
        let origin = place.here().plan().origin();
        let mut door = KeepAlive::to(place.here());
        let mut lines: Vec<_> = (0..12).map(|_| KeepAlive::to(place.here())).collect();
        for number in 0..40 {
            let person = place.planter.person(format!("p-{number}")).await;
            let cookie = &person.cookie;
            if redis.is_none() && number == 0 {
                // The planter is another process to an embedded store.
                until_live(&mut door, cookie).await;
            }
            let all = lines.iter_mut().map(|line| lives(line, cookie));
            let all = join_all(all).await;
            assert!(all.iter().all(|lives| *lives), "{number}: {all:?}");
            let hammering = async {
                let reads = lines[..4].iter_mut().map(|line| async {
                    for _ in 0..6 {
                        lives(line, cookie).await;
                    }
                });
                join_all(reads).await;
            };
            let leaving = async {
                sleep(Duration::from_micros(number * 50)).await;
                let (status, text) = door.sign_out(&origin, cookie).await.expect("an answer");
                assert!(matches!(status, 200 | 303), "{status}: {text}");
            };
            tokio::join!(leaving, hammering);
            let all = lines.iter_mut().map(|line| lives(line, cookie));
            let all = join_all(all).await;
            assert!(all.iter().all(|lives| !lives), "{number}: {all:?}");
        }
        assert!(lines.iter().all(|line| line.made == 1), "kept alive");
    }
}

async fn until_live(line: &mut KeepAlive, cookie: &str) {
    let since = Instant::now();
    while !lives(line, cookie).await {
        assert!(since.elapsed() < Duration::from_secs(2), "still unknown");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Tokens that one gateway renews are what the other passes on, and nobody
/// waits for them while the old ones are good.
#[tokio::test]
async fn renewed_tokens_are_passed_on_by_the_other_gateway_too() {
    let name = "renewed_tokens_are_passed_on_by_the_other_gateway_too";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let place = Place::start(&[redis.lines(), redis.lines()], |plan| plan).await;
    place.provider.set(|script| script.access_lifetime = 8);
    let ann = crate::harness::browser::Browser::new();
    let answer = ann.open(&place.here().url("/x")).await;
    let first = Told::of(&answer.text()).expect("the mirror's answer");
    place.provider.set(|script| script.access_lifetime = 3600);
    let cookie = crate::harness::scene::session_cookie(&ann);
    let [mut here, mut there] = [0, 1].map(|at| KeepAlive::to(&place.gateways[at]));
    let end = Instant::now() + Duration::from_secs(8);
    let mut renewed = None;
    let mut slowest = Duration::ZERO;
    while Instant::now() < end {
        let began = Instant::now();
        let now = told(&mut here, &cookie).await.expect("nobody is sent away");
        slowest = slowest.max(began.elapsed());
        if now.access_token != first.access_token {
            renewed = Some((Instant::now(), now.access_token));
            break;
        }
        assert!(lives(&mut there, &cookie).await);
    }
    let (seen_at, token) = renewed.expect("renewed before the end");
    loop {
        let told = told(&mut there, &cookie).await.expect("still signed in");
        if told.access_token == token {
            break;
        }
        assert!(seen_at.elapsed() < SOON, "the old token is still passed on");
    }
    println!(
        "followed within {:?}, the slowest answer took {slowest:?}",
        seen_at.elapsed()
    );
    assert_eq!(
        place
            .provider
            .count(crate::harness::provider::Endpoint::Refresh),
        1
    );
}
