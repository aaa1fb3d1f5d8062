//! Where the server is that takes our writes: at a fixed address, or where
//! the sentinels say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::dialer::{Address, Dialer};
use super::refusal::meaning;
use crate::config::checked::HostPort;
use crate::session::store::StoreError;

/// For one sentinel to be reached and to answer.
const ANSWER: Duration = Duration::from_millis(500);

pub struct Sentinels {
    dialer: Dialer,
    addresses: Vec<HostPort>,
    /// The name that they know the primary by.
    primary: String,
    connections: Mutex<HashMap<HostPort, MultiplexedConnection>>,
}

impl Sentinels {
    pub fn new(dialer: Dialer, addresses: Vec<HostPort>, primary: String) -> Self {
        Self {
            dialer,
            addresses,
            primary,
            connections: Mutex::default(),
        }
    }

    /// What most of them say. One that was cut off speaks of the past, so the
    /// first answer is not enough while others may come.
    async fn primary(&self) -> Result<HostPort, StoreError> {
        let mut answers: FuturesUnordered<_> =
            self.addresses.iter().map(|one| self.ask(one)).collect();
        let mut votes: Vec<(HostPort, usize)> = Vec::new();
        let mut failure = StoreError::Unavailable("no sentinel is configured".into());
        while let Some(answer) = answers.next().await {
            let address = match answer {
                Ok(address) => address,
                Err(error) => {
                    failure = error;
                    continue;
                }
            };
            let count = match votes.iter_mut().find(|(other, _)| *other == address) {
                Some((_, count)) => {
                    *count += 1;
                    *count
                }
                None => {
                    votes.push((address.clone(), 1));
                    1
                }
            };
            if count * 2 > self.addresses.len() {
                return Ok(address);
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(address, _)| address).ok_or(failure)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<HostPort, MultiplexedConnection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Over the connection of last time, or a new one if that fails. One that
    /// hangs is not put back.
    async fn address(&self, sentinel: &HostPort) -> Result<Option<(String, u16)>, StoreError> {
        let mut command = ::redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
        let kept = self.connections().remove(sentinel);
        if let Some(mut connection) = kept
            && let Ok(address) = command.query_async(&mut connection).await
        {
            self.connections().insert(sentinel.clone(), connection);
            return Ok(address);
        }
        let mut connection = self.dialer.dial(&Address::Tcp(sentinel.clone())).await?;
        let address = command.query_async(&mut connection).await;
        let address = address.map_err(|error| meaning(&error))?;
        self.connections().insert(sentinel.clone(), connection);
        Ok(address)
    }

    async fn ask(&self, sentinel: &HostPort) -> Result<HostPort, StoreError> {
        let of = |error: StoreError| match error {
            StoreError::Credentials(text) => {
                StoreError::Credentials(format!("sentinel {sentinel}: {text}"))
            }
            other => StoreError::Unavailable(format!("sentinel {sentinel}: {other}")),
        };
        match timeout(ANSWER, self.address(sentinel)).await {
            Ok(Ok(Some((host, port)))) => Ok(HostPort { host, port }),
            Ok(Ok(None)) => Err(StoreError::Unavailable(format!(
                "sentinel {sentinel} knows no primary named {}",
                self.primary
            ))),
            Ok(Err(error)) => Err(of(error)),
            Err(_) => Err(StoreError::Unavailable(format!(
                "sentinel {sentinel} does not answer"
            ))),
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
