//! Where the server is that takes our writes: at a fixed address, or where
//! the sentinels say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::RedisError;
use ::redis::aio::MultiplexedConnection;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dialer::{Address, Dialer};
use super::refusal::meaning;
use crate::config::checked::HostPort;
use crate::session::store::StoreError;

/// For one sentinel to be reached and to answer.
const ANSWER: Duration = Duration::from_millis(500);
/// For the others, when more than half of them have answered.
const REST: Duration = Duration::from_millis(300);
/// How long a newer view than the present ones is remembered: its sentinel may
/// be slow just now. For good would be too long, for they can be set up anew.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What one sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    address: HostPort,
    /// Counts the changes of the primary.
    epoch: u64,
    /// It is promoting a replica, and has not done so yet.
    fails_over: bool,
    /// It has, just now.
    promoted: bool,
}

impl View {
    /// From what it knows of the primary, and where it would send us.
    fn new(facts: &HashMap<String, String>, address: HostPort) -> Option<Self> {
        let fact = |name: &str| facts.get(name).map(String::as_str);
        let is_old =
            fact("ip")? == address.host && fact("port")?.parse::<u16>().ok()? == address.port;
        let in_progress = fact("flags")?
            .split(',')
            .any(|flag| flag == "failover_in_progress");
        Some(Self {
            address,
            epoch: fact("config-epoch")?.parse().ok()?,
            fails_over: in_progress && is_old,
            promoted: in_progress && !is_old,
        })
    }
}

/// The newest of several views. A sentinel that was cut off speaks of the
/// past, and of a change that is being made only its leader knows: a primary
/// that comes back in that moment would take writes that nobody keeps.
fn newest(views: &[View]) -> Option<Result<&HostPort, StoreError>> {
    let newest = views
        .iter()
        .max_by_key(|view| (view.epoch, view.promoted))?;
    let under_way = views
        .iter()
        .any(|view| view.epoch == newest.epoch && view.fails_over && !newest.promoted);
    Some(if under_way {
        Err(StoreError::Unavailable(
            "the sentinels promote another primary".into(),
        ))
    } else {
        Ok(&newest.address)
    })
}

pub struct Sentinels {
    dialer: Dialer,
    addresses: Vec<HostPort>,
    /// The name that they know the primary by.
    primary: String,
    connections: Mutex<HashMap<HostPort, MultiplexedConnection>>,
    /// The newest epoch that any of them told, and when.
    seen: Mutex<Option<(u64, Instant)>>,
}

impl Sentinels {
    pub fn new(dialer: Dialer, addresses: Vec<HostPort>, primary: String) -> Self {
        Self {
            dialer,
            addresses,
            primary,
            connections: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Where the newest view among them has it.
    async fn primary(&self) -> Result<HostPort, StoreError> {
        let mut answers: FuturesUnordered<_> =
            self.addresses.iter().map(|one| self.ask(one)).collect();
        let mut views = Vec::new();
        let mut failure = StoreError::Unavailable("no sentinel is configured".into());
        let mut end = Instant::now() + ANSWER * 2;
        while let Ok(Some(answer)) = timeout_at(end, answers.next()).await {
            match answer {
                Ok(view) => views.push(view),
                Err(error) => failure = error,
            }
            if views.len() * 2 > self.addresses.len() {
                end = end.min(Instant::now() + REST);
            }
        }
        self.remember(&views)?;
        match newest(&views) {
            Some(primary) => primary.cloned(),
            None => Err(failure),
        }
    }

    /// Refuses views that are all older than one of a moment ago.
    fn remember(&self, views: &[View]) -> Result<(), StoreError> {
        let Some(epoch) = views.iter().map(|view| view.epoch).max() else {
            return Ok(());
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((newer, at)) if newer > epoch && at.elapsed() < REMEMBERED => {
                Err(StoreError::Unavailable(
                    "the sentinels that answer do not know of the last change yet".into(),
                ))
            }
            _ => {
                *seen = Some((epoch, Instant::now()));
                Ok(())
            }
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<HostPort, MultiplexedConnection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Over the connection of last time, or a new one if that fails. One that
    /// hangs is not put back.
    async fn answer(
        &self,
        sentinel: &HostPort,
    ) -> Result<(HashMap<String, String>, (String, u16)), StoreError> {
        let kept = self.connections().remove(sentinel);
        if let Some(mut connection) = kept
            && let Ok(answer) = self.both(&mut connection).await
        {
            self.connections().insert(sentinel.clone(), connection);
            return Ok(answer);
        }
        let mut connection = self.dialer.dial(&Address::Tcp(sentinel.clone())).await?;
        let answer = self.both(&mut connection).await;
        let answer = answer.map_err(|error| meaning(&error))?;
        self.connections().insert(sentinel.clone(), connection);
        Ok(answer)
    }

    /// The facts first: an address that is newer than they are does no harm.
    async fn both(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(HashMap<String, String>, (String, u16)), RedisError> {
        let mut command = ::redis::cmd("SENTINEL");
        command.arg("MASTER").arg(&self.primary);
        let facts = command.query_async(connection).await?;
        let mut command = ::redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        Ok((facts, command.query_async(connection).await?))
    }

    async fn ask(&self, sentinel: &HostPort) -> Result<View, StoreError> {
        let name = &self.primary;
        let unavailable = |text: &str| {
            StoreError::Unavailable(format!("sentinel {sentinel} for primary {name}: {text}"))
        };
        match timeout(ANSWER, self.answer(sentinel)).await {
            Ok(Ok((facts, (host, port)))) => View::new(&facts, HostPort { host, port })
                .ok_or_else(|| unavailable("it answers in another form")),
            Ok(Err(StoreError::Credentials(text))) => Err(StoreError::Credentials(format!(
                "sentinel {sentinel}: {text}"
            ))),
            Ok(Err(error)) => Err(unavailable(&error.to_string())),
            Err(_) => Err(unavailable("it does not answer")),
        }
    }
}

#[derive(Clone)]
pub enum Source {
    Fixed(Address),
    /// A node of a cluster: it may become a replica and answers all the same,
    /// by sending us on.
    Node(Address),
    Sentinels(Arc<Sentinels>),
}

impl Source {
    pub async fn find(&self) -> Result<Address, StoreError> {
        match self {
            Self::Fixed(address) | Self::Node(address) => Ok(address.clone()),
            Self::Sentinels(sentinels) => sentinels.primary().await.map(Address::Tcp),
        }
    }

    /// Ends when the server is no longer at `address`.
    pub async fn moved(&self, address: &Address, every: Duration) {
        let Self::Sentinels(sentinels) = self else {
            return std::future::pending().await;
        };
        loop {
            sleep(every).await;
            // Sentinels that do not answer say nothing about the primary.
            if let Ok(present) = sentinels.primary().await
                && Address::Tcp(present) != *address
            {
                return;
            }
        }
    }

    /// Whether a server that refuses writes is of use for them all the same.
    pub const fn sends_on(&self) -> bool {
        matches!(self, Self::Node(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> HostPort {
        HostPort {
            host: "10.0.0.1".into(),
            port,
        }
    }

    fn view(port: u16, epoch: u64, flags: &str, known: u16) -> View {
        let facts = [
            ("ip", "10.0.0.1".to_owned()),
            ("port", known.to_string()),
            ("flags", flags.to_owned()),
            ("config-epoch", epoch.to_string()),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value));
        View::new(&facts.into(), at(port)).expect("a whole answer")
    }

    #[test]
    fn the_newest_view_counts_not_the_most_common() {
        let old = view(1, 3, "master", 1);
        let cut_off = view(9, 2, "master", 9);
        let leader = view(2, 4, "master,s_down,o_down,failover_in_progress", 1);
        let promoting = view(1, 3, "master,s_down,o_down,failover_in_progress", 1);
        let of = |views: &[&View]| {
            let views: Vec<View> = views.iter().map(|view| (*view).clone()).collect();
            newest(&views).map(|primary| primary.cloned().map_err(|error| error.to_string()))
        };
        assert_eq!(of(&[&old, &cut_off, &old]), Some(Ok(at(1))));
        assert_eq!(of(&[&cut_off, &cut_off, &old]), Some(Ok(at(1))));
        assert_eq!(of(&[&old, &leader, &old]), Some(Ok(at(2))));
        assert!(of(&[&old, &promoting, &old]).expect("views").is_err());
        assert_eq!(of(&[&promoting, &leader]), Some(Ok(at(2))));
        // Its epoch was read a moment before its address.
        let just_now = view(2, 3, "master,failover_in_progress", 1);
        assert_eq!(of(&[&just_now, &old, &promoting]), Some(Ok(at(2))));
        assert_eq!(of(&[]), None);
        assert_eq!(View::new(&HashMap::new(), at(1)), None);
    }
}
