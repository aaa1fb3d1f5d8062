//! What a session that was read a moment ago costs the store, and what it is
//! worth while the store is away.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::keep_alive::KeepAlive;
use crate::harness::part::{self, Part};
use crate::harness::place::{Place, lives, told};
use crate::harness::planted::Planted;
use crate::harness::redis::{Monitor, Redis};
use crate::harness::until;
use crate::harness::wall_clock::WallClock;

/// Until a request of this person reads nothing: the store is listened to.
async fn warmed(line: &mut KeepAlive, redis: &Redis, monitor: &Monitor, person: &Planted) {
    let end = Instant::now() + until::PATIENCE;
    loop {
        monitor.heard(redis).await;
        assert!(lives(line, &person.cookie).await);
        if monitor.readings(redis).await.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "each request reads the store");
    }
}

#[tokio::test]
async fn a_warm_session_costs_the_store_nothing() {
    let name = "a_warm_session_costs_the_store_nothing";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let place = Place::start(&[redis.lines()], |plan| plan.server("workers = 4")).await;
    let monitor = redis.monitor().await;
    let people = place.planter.people("p", 5).await;
    let mut lines: Vec<_> = (0..8).map(|_| KeepAlive::to(place.here())).collect();
    for person in &people {
        warmed(&mut lines[0], &redis, &monitor, person).await;
    }
    for number in 0..1000 {
        let person = &people[number % people.len()];
        let line = number % lines.len();
        assert!(lives(&mut lines[line], &person.cookie).await);
    }
    assert_eq!(monitor.readings(&redis).await, Vec::<String>::new());
}

/// The idle time is kept in memory and written once a minute, and a session in
/// use never ends for want of it, at no gateway.
#[tokio::test]
async fn the_idle_time_of_a_warm_session_is_still_written() {
    let name = "the_idle_time_of_a_warm_session_is_still_written";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    const IDLE: i64 = 600;
    let redis = Redis::start().await;
    let stores = [redis.lines(), redis.lines()];
    let mut clock = None;
    let place = Place::start(&stores, |plan| {
        let (made, plan) = WallClock::of(plan.session("idle_timeout = \"10m\""));
        clock = Some(made);
        plan
    })
    .await;
    let clock = clock.expect("made");
    let monitor = redis.monitor().await;
    let person = place.planter.person("p".to_owned()).await;
    let [mut here, mut there] = [0, 1].map(|at| KeepAlive::to(&place.gateways[at]));
    warmed(&mut here, &redis, &monitor, &person).await;
    // One field of the session's one key.
    let touches = async || {
        let touched = "\"SETRANGE\" \"vestibule:t:{";
        let heard = monitor.heard(&redis).await;
        heard.iter().filter(|line| line.contains(touched)).count()
    };
    touches().await;
    for minute in 1..=12 {
        clock.is_off(minute * 61);
        for _ in 0..20 {
            assert!(lives(&mut here, &person.cookie).await, "{minute}: in use");
        }
        assert_eq!(touches().await, 1, "{minute}");
    }
    // In use there, so it is not idle here.
    assert!(lives(&mut there, &person.cookie).await);
    touches().await;
    clock.is_off(12 * 61 + IDLE + 61);
    for line in [&mut here, &mut there] {
        assert!(!lives(line, &person.cookie).await, "unused for too long");
    }
}

/// An order of the provider or a thief's cookie: whoever is refused with a
/// good seal is refused from memory for a while.
#[tokio::test]
async fn an_ended_session_is_refused_from_memory() {
    let name = "an_ended_session_is_refused_from_memory";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let place = Place::start(&[redis.lines()], |plan| plan).await;
    let monitor = redis.monitor().await;
    let mut line = KeepAlive::to(place.here());
    let people = place.planter.people("p", 2).await;
    for person in &people {
        warmed(&mut line, &redis, &monitor, person).await;
    }
    place.planter.end(&people[0]).await.expect("ended");
    let since = Instant::now();
    while lives(&mut line, &people[0].cookie).await {
        assert!(since.elapsed() < Duration::from_millis(250), "still served");
    }
    assert!(!lives(&mut line, &people[0].cookie).await);
    monitor.heard(&redis).await;
    for _ in 0..200 {
        assert!(!lives(&mut line, &people[0].cookie).await);
    }
    let readings = monitor.readings(&redis).await;
    // A memory of that kind lives for seconds only.
    assert!(readings.len() <= 20, "{} readings", readings.len());
    assert!(lives(&mut line, &people[1].cookie).await);
}

/// How old a reading may be in an outage counts from when the store would
/// still have told of a change, not from the reading itself.
#[tokio::test]
async fn r1_what_was_read_long_ago_but_listened_to_goes_on() {
    let name = "r1_what_was_read_long_ago_but_listened_to_goes_on";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    const STALE: Duration = Duration::from_secs(3);
    let mut redis = Redis::start().await;
    let place = Place::start(&[redis.lines()], |plan| plan.session("max_stale = \"3s\"")).await;
    let people = place.planter.people("p", 20).await;
    let stranger = place.planter.person("stranger".to_owned()).await;
    let mut line = KeepAlive::to(place.here());
    {
        let monitor = redis.monitor().await;
        for person in &people {
            warmed(&mut line, &redis, &monitor, person).await;
        }
    }
    // Longer than `max_stale`, and nobody asks for anything.
    sleep(STALE * 2).await;
    redis.kill();
    let killed = Instant::now();
    let status = async |line: &mut KeepAlive, person: &Planted| {
        let answer = line.get("/x", &person.cookie).await.expect("an answer");
        answer.0
    };
    for person in &people {
        assert_eq!(
            status(&mut line, person).await,
            200,
            "{:?}",
            killed.elapsed()
        );
    }
    assert!(killed.elapsed() < STALE, "too slow to try it");
    assert_eq!(status(&mut line, &stranger).await, 503, "never read");
    while killed.elapsed() < STALE + Duration::from_millis(500) {
        sleep(Duration::from_millis(20)).await;
    }
    for person in &people {
        assert_eq!(status(&mut line, person).await, 503, "read too long ago");
    }
    redis.restart().await;
    let back = Instant::now();
    for person in people.iter().chain([&stranger]) {
        while status(&mut line, person).await != 200 {
            assert!(back.elapsed() < until::PATIENCE, "nobody is signed out");
            sleep(Duration::from_millis(5)).await;
        }
    }
    println!("served again {:?} after the store was back", back.elapsed());
    assert!(
        back.elapsed() < Duration::from_secs(3),
        "{:?}",
        back.elapsed()
    );
    for person in &people {
        assert!(told(&mut line, &person.cookie).await.is_some());
    }
}
