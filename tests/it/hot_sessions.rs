//! What is kept of sessions in memory, seen from outside: what never reaches
//! the store, what shows at once, and what still happens.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use vestibule::base::random;

use crate::harness::browser::Browser;
use crate::harness::gateway::Plan;
use crate::harness::keep_alive::KeepAlive;
use crate::harness::mirror::{Mirror, Told};
use crate::harness::part::{self, Part};
use crate::harness::place::{Place, lives, told, until_live};
use crate::harness::provider::{Endpoint, Provider};
use crate::harness::redis::Redis;
use crate::harness::scene::session_cookie;

/// What "milliseconds" may mean on a machine that does much else.
const SOON: Duration = Duration::from_millis(250);

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
    let plain = |plan: Plan| plan.server("workers = 4");
    let mut stores = vec![(None, Place::start(&[], plain).await)];
    if part::have(name, &[Part::Redis]) {
        let redis = Redis::start().await;
        let place = Place::start(&[redis.lines()], plain).await;
        stores.push((Some(redis), place));
    }
    for (redis, place) in &stores {
        let lines = (0..13).map(|_| KeepAlive::to(place.here()));
        whoever_signs_out_is_out(redis.as_ref(), place, lines.collect()).await;
    }
}

/// The same where every thread serves every connection, over TLS with either
/// protocol.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_counts_at_once_on_the_shared_runtime() {
    let name = "a_sign_out_counts_at_once_on_the_shared_runtime";
    let shared = |plan: Plan| plan.server("runtime = \"shared\"\nworkers = 2").tls();
    let mut stores = vec![(None, Place::start(&[], shared).await)];
    if part::have(name, &[Part::Redis]) {
        let redis = Redis::start().await;
        let place = Place::start(&[redis.lines()], shared).await;
        stores.push((Some(redis), place));
    }
    for (redis, place) in &stores {
        let gateway = place.here();
        let lines = (0..13).map(|number| {
            let protocol = ["http/1.1", "h2"][number % 2];
            KeepAlive::over_tls(gateway, protocol)
        });
        whoever_signs_out_is_out(redis.as_ref(), place, lines.collect()).await;
        let (threads, alone) = (gateway.cpu_of("tokio-"), gateway.cpu_of("worker-"));
        assert!(threads > alone, "shared: {threads:?}, {alone:?} alone");
    }
}

/// Signs 40 people out, over one of the connections after the other.
async fn whoever_signs_out_is_out(redis: Option<&Redis>, place: &Place, mut lines: Vec<KeepAlive>) {
    let origin = place.here().plan().origin();
    for number in 0..40 {
        lines.rotate_left(1);
        let (door, lines) = lines.split_first_mut().expect("connections");
        let person = place.planter.person(format!("p-{number}")).await;
        let cookie = &person.cookie;
        if redis.is_none() && number == 0 {
            // The planter is another process to an embedded store.
            until_live(door, cookie).await;
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

/// A connection of an ingress carries what many people ask, and a browser
/// that of one person: nobody is taken for whoever asked before.
#[tokio::test]
async fn people_who_share_a_connection_are_told_apart() {
    let place = Place::start(&[], |plan| plan).await;
    let people = place.planter.people("p", 3).await;
    let mut line = KeepAlive::to(place.here());
    for person in &people {
        until_live(&mut line, &person.cookie).await;
    }
    let nobody = 3;
    for number in [0, 0, 1, 0, 1, nobody, 1, 1, 2, nobody, 2, 0, 0, 2] {
        let cookie = people.get(number).map(|person| person.cookie.as_str());
        let told = told(&mut line, cookie.unwrap_or("none")).await;
        let expected = people.get(number).map(|person| person.subject.clone());
        assert_eq!(told.map(|told| told.user), expected, "{number}");
    }
    assert_eq!(line.made, 1, "kept alive");
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
    let ann = Browser::new();
    let answer = ann.open(&place.here().url("/x")).await;
    let first = Told::of(&answer.text()).expect("the mirror's answer");
    place.provider.set(|script| script.access_lifetime = 3600);
    let cookie = session_cookie(&ann);
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
    assert_eq!(place.provider.count(Endpoint::Refresh), 1);
}

/// Two processes on one database: what one of them does, or a third, the
/// other knows a moment later.
#[tokio::test]
async fn processes_on_one_database_follow_each_other() {
    /// Looked at once a second; twice that on a busy machine.
    const BOUND: Duration = Duration::from_secs(2);
    let place = Place::overlapping().await;
    let mut lines = [0, 1].map(|at| KeepAlive::to(&place.gateways[at]));
    let people = place.planter.people("p", 30).await;
    for person in &people {
        for line in &mut lines {
            until_live(line, &person.cookie).await;
        }
    }
    let mut slowest = Duration::ZERO;
    for (number, person) in people.iter().enumerate() {
        let (one, other) = lines.split_at_mut(1);
        let (here, there) = match number % 2 {
            0 => (&mut one[0], &mut other[0]),
            _ => (&mut other[0], &mut one[0]),
        };
        let origin = place.here().plan().origin();
        assert!(lives(there, &person.cookie).await);
        match number % 3 {
            // Claims that a third process writes.
            0 => {
                place.planter.change(person, 1).await.expect("written");
                let since = Instant::now();
                for line in [here, there] {
                    loop {
                        let told = told(line, &person.cookie).await.expect("signed in");
                        if told.groups == "staff,change-1" {
                            break;
                        }
                        assert!(since.elapsed() < BOUND, "{number}: {told:?}");
                        sleep(Duration::from_millis(5)).await;
                    }
                }
                slowest = slowest.max(since.elapsed());
            }
            _ => {
                let (status, _) = here
                    .sign_out(&origin, &person.cookie)
                    .await
                    .expect("answers");
                assert!(matches!(status, 200 | 303), "{status}");
                assert!(!lives(here, &person.cookie).await, "here at once");
                let since = Instant::now();
                while lives(there, &person.cookie).await {
                    assert!(since.elapsed() < BOUND, "{number}: there still");
                    sleep(Duration::from_millis(5)).await;
                }
                slowest = slowest.max(since.elapsed());
            }
        }
    }
    println!("the other process followed within {slowest:?}");
}

/// A session has a ticket for each host. Whatever ends it ends them all, also
/// at a gateway that knows both of them.
#[tokio::test]
async fn every_ticket_of_a_session_ends_with_it() {
    let name = "every_ticket_of_a_session_ends_with_it";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let (provider, mirror) = (Provider::start("oidc-plain").await, Mirror::start().await);
    let plan = Plan::bare(&provider.issuer).redis(&redis.lines());
    let hosts = ["one", "two"].map(|name| format!("{name}.localhost:{}", plan.port()));
    let routes = hosts.iter().enumerate().map(|(number, host)| {
        format!(
            "[route.r{number}]\nhost = \"{host}\"\nupstream = \"{}\"\naccess = \"signed-in\"\n",
            mirror.url()
        )
    });
    let plan = plan.route(&routes.collect::<String>());
    let (here, there) = (plan.clone().start().await, plan.replica().start().await);
    let home = format!("app.localhost:{}", plan.port());
    for ends_at in [0, 1] {
        let browser = Browser::new();
        for host in &hosts {
            let answer = browser.open(&format!("http://{host}/x")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let thief = browser.twin();
        for authority in hosts.iter().chain([&home]) {
            thief.detour(authority, there.address());
        }
        let everywhere = async |status: u16, within: Duration| {
            let since = Instant::now();
            for who in [&browser, &thief] {
                for host in &hosts {
                    let url = format!("http://{host}/x");
                    while who.fetch("GET", &url, &[]).await.status != status {
                        assert!(since.elapsed() < within, "{host}: not {status}");
                    }
                }
            }
        };
        for _ in 0..3 {
            everywhere(200, Duration::ZERO).await;
        }
        // The thief keeps his cookies; the person's are cleared one by one.
        let page = format!("http://{}/oauth2/sign_out", hosts[ends_at]);
        let signs_out = browser.twin();
        assert_eq!(signs_out.open(&page).await.status, 200);
        everywhere(401, SOON).await;
    }
    drop(here);
}
