//! Sessions on a cluster, of which nobody is told what changes: each reading
//! counts for a moment.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::keep_alive::KeepAlive;
use crate::harness::part::{self, Part};
use crate::harness::place::{Place, lives};
use crate::harness::redis_cluster::RedisCluster;

/// The moment is 2 s; the rest is for a machine that does much else.
const BOUND: Duration = Duration::from_secs(4);

#[tokio::test]
async fn on_a_cluster_a_sign_out_counts_elsewhere_within_seconds() {
    let name = "on_a_cluster_a_sign_out_counts_elsewhere_within_seconds";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    const PEOPLE: usize = 4;
    let cluster = RedisCluster::start().await;
    let stores = [cluster.lines(), cluster.lines()];
    let place = Place::start(&stores, |plan| plan.server("workers = 2")).await;
    let [mut here, mut there] = [0, 1].map(|at| KeepAlive::to(&place.gateways[at]));
    let origin = place.here().plan().origin();
    let people = place.planter.people("p", PEOPLE).await;
    let mut monitors = Vec::new();
    for node in &cluster.nodes[..3] {
        monitors.push((node, node.monitor().await));
    }
    let readings = async || {
        let mut count = 0;
        for (node, monitor) in &monitors {
            count += monitor.readings(node).await.len();
        }
        count
    };
    let mut slowest = Duration::ZERO;
    for person in &people {
        assert!(lives(&mut here, &person.cookie).await);
        readings().await;
        let began = Instant::now();
        let mut asked = 0;
        while began.elapsed() < Duration::from_millis(200) {
            assert!(lives(&mut there, &person.cookie).await);
            asked += 1;
        }
        // A ticket and a session, read once, or twice where a moment ended.
        let read = readings().await;
        assert!(asked > 10, "too slow to try it: {asked}");
        assert!(
            read > 0 && read <= 4,
            "{read} readings for {asked} requests"
        );

        let answer = here.sign_out(&origin, &person.cookie).await;
        let (status, text) = answer.expect("an answer");
        assert!(matches!(status, 200 | 303), "{status}: {text}");
        let since = Instant::now();
        assert!(!lives(&mut here, &person.cookie).await, "here at once");
        while lives(&mut there, &person.cookie).await {
            assert!(since.elapsed() < BOUND, "there still");
            sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(since.elapsed());
    }
    println!("the other gateway followed within {slowest:?}");
    // It was served from memory in between.
    assert!(slowest > Duration::from_millis(500), "{slowest:?}");
    for person in &people {
        assert!(!lives(&mut there, &person.cookie).await);
    }
}
