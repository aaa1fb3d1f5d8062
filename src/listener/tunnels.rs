//! Upgraded connections. hyper forgets them once they are upgraded, so they
//! are counted here, and told when they have to end: each by its closer, all
//! of them when the drain is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// The registry of open tunnels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tunnels {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    open: AtomicUsize,
    closing: watch::Sender<bool>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                open: AtomicUsize::new(0),
                closing: watch::Sender::new(false),
            }),
        }
    }
}

impl Tunnels {
    /// Registers one tunnel for as long as the first value lives. Whoever
    /// keeps the second can end it; dropping that one ends nothing.
    pub fn open(&self) -> (Tunnel, TunnelCloser) {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        let (closer, closed) = watch::channel(false);
        let tunnel = Tunnel {
            all_closing: self.shared.closing.subscribe(),
            closed,
            shared: self.shared.clone(),
        };
        (tunnel, TunnelCloser(Arc::new(closer)))
    }

    /// How many are open now.
    pub fn count(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Tells every tunnel, also those still to come, to end.
    pub fn close_all(&self) {
        self.shared.closing.send_replace(true);
    }
}

/// One open tunnel.
#[derive(Debug)]
pub struct Tunnel {
    all_closing: watch::Receiver<bool>,
    closed: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Tunnel {
    /// Resolves when the tunnel has to end.
    pub async fn closing(&mut self) {
        let closed = async {
            if self.closed.wait_for(|closed| *closed).await.is_err() {
                // Nobody holds the closer any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            // The sender lives in `shared`, which this value holds.
            _ = self.all_closing.wait_for(|closing| *closing) => {}
            () = closed => {}
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends one tunnel from outside. Clones end the same tunnel.
#[derive(Debug, Clone)]
pub struct TunnelCloser(Arc<watch::Sender<bool>>);

impl TunnelCloser {
    pub fn close(&self) {
        self.0.send_replace(true);
    }

    /// Whether the tunnel still lives.
    pub fn is_open(&self) -> bool {
        !self.0.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tunnel_is_counted_and_told_to_end() {
        let tunnels = Tunnels::default();
        let (mut tunnel, _) = tunnels.open();
        assert_eq!(tunnels.count(), 1);
        tunnels.close_all();
        tunnel.closing().await;
        tunnels.open().0.closing().await;
        drop(tunnel);
        assert_eq!(tunnels.count(), 0);
    }

    #[tokio::test]
    async fn a_closer_ends_its_own_tunnel_and_its_loss_ends_none() {
        let tunnels = Tunnels::default();
        let (mut one, closer) = tunnels.open();
        let (mut other, lost) = tunnels.open();
        drop(lost);
        closer.close();
        one.closing().await;
        assert!(closer.is_open());
        drop(one);
        assert!(!closer.is_open());
        let patience = std::time::Duration::from_millis(20);
        let ended = tokio::time::timeout(patience, other.closing()).await;
        assert!(ended.is_err());
    }
}
