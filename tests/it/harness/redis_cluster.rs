//! A cluster of three primaries with a replica each.

use ::redis::Value;

use super::redis::Redis;
use super::{port, until};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;

pub struct RedisCluster {
    /// The primaries at the start, then the replica of each.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// A node is given up after two seconds without a sign of life.
    pub async fn start() -> Self {
        Self::run(false).await
    }

    /// Of Valkey.
    pub async fn of_valkey() -> Self {
        Self::run(true).await
    }

    async fn run(valkey: bool) -> Self {
        let mut nodes = Vec::new();
        let mut ports = Vec::new();
        for _ in 0..PRIMARIES * 2 {
            let bus = port::free().to_string();
            let words = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus,
                "--cluster-replica-validity-factor",
                "0",
            ];
            nodes.push(if valkey {
                Redis::valkey(&words).await
            } else {
                Redis::start_with(&words).await
            });
            ports.push(bus);
        }
        let cluster = Self { nodes };
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            if number < PRIMARIES {
                let first = SLOTS * number / PRIMARIES;
                let last = SLOTS * (number + 1) / PRIMARIES - 1;
                let range = [first.to_string(), last.to_string()];
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &range[0], &range[1]])
                    .await;
            }
            if number > 0 {
                let port = cluster.nodes[0].address().port().to_string();
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &ports[0]])
                    .await;
            }
        }
        cluster.all_know(PRIMARIES * 2).await;
        for number in 0..PRIMARIES {
            let id = cluster.id(number).await;
            cluster.nodes[PRIMARIES + number]
                .command(&["CLUSTER", "REPLICATE", &id])
                .await;
        }
        for number in 0..PRIMARIES {
            cluster.nodes[number].replicas(1).await;
        }
        until::some(
            "every node sees a whole cluster with its replicas",
            || async {
                for node in &cluster.nodes {
                    let info = text(node.command(&["CLUSTER", "INFO"]).await);
                    let rows: Vec<Vec<Value>> =
                        ::redis::from_redis_value(node.command(&["CLUSTER", "SLOTS"]).await)
                            .ok()?;
                    // First and last slot, primary, replica.
                    let whole = info.contains("cluster_state:ok")
                        && rows.len() == PRIMARIES
                        && rows.iter().all(|row| row.len() == 4);
                    if !whole {
                        return None;
                    }
                }
                Some(())
            },
        )
        .await;
        cluster
    }

    async fn all_know(&self, count: usize) {
        until::some("every node knows every other", || async {
            for node in &self.nodes {
                let info = text(node.command(&["CLUSTER", "INFO"]).await);
                if !info.contains(&format!("cluster_known_nodes:{count}\r\n")) {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub async fn id(&self, node: usize) -> String {
        text(self.nodes[node].command(&["CLUSTER", "MYID"]).await)
    }

    /// Names two of the six.
    pub fn url(&self) -> String {
        format!(
            "redis-cluster://{},{}",
            self.nodes[0].address(),
            self.nodes[4].address()
        )
    }

    /// Lines for `[redis]`.
    pub fn lines(&self) -> String {
        format!("url = \"{}\"\n", self.url())
    }

    /// Which of the primaries at the start keeps the slot.
    pub fn keeper_of(slot: u16) -> usize {
        (0..PRIMARIES)
            .rfind(|number| usize::from(slot) >= SLOTS * number / PRIMARIES)
            .expect("a primary")
    }

    /// From now on keys move from one node to the other.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let name = slot.to_string();
        let (source, target) = (self.id(from).await, self.id(to).await);
        self.nodes[to]
            .command(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &source])
            .await;
        self.nodes[from]
            .command(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &target])
            .await;
    }

    pub async fn keys_of(&self, slot: u16, node: usize) -> Vec<String> {
        let name = slot.to_string();
        let words = ["CLUSTER", "GETKEYSINSLOT", &name, "1000"];
        ::redis::from_redis_value(self.nodes[node].command(&words).await).expect("names")
    }

    pub async fn move_keys(&self, keys: &[String], from: usize, to: usize) {
        if keys.is_empty() {
            return;
        }
        let port = self.nodes[to].address().port().to_string();
        let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        words.extend(keys.iter().map(String::as_str));
        self.nodes[from].command(&words).await;
    }

    pub async fn end_move(&self, slot: u16, from: usize, to: usize) {
        let name = slot.to_string();
        let target = self.id(to).await;
        for node in [to, from] {
            self.nodes[node]
                .command(&["CLUSTER", "SETSLOT", &name, "NODE", &target])
                .await;
        }
    }

    /// The whole of it, as the tools do.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to).await;
        let keys = self.keys_of(slot, from).await;
        self.move_keys(&keys, from, to).await;
        self.end_move(slot, from, to).await;
    }
}

fn text(value: Value) -> String {
    ::redis::from_redis_value(value).expect("text")
}
