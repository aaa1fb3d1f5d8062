//! Upgraded connections. hyper forgets them once they are upgraded, so they
//! are counted here, and told when the drain is over.

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
    /// Registers one tunnel for as long as the returned value lives.
    pub fn open(&self) -> Tunnel {
        self.shared.open.fetch_add(1, Ordering::Relaxed);
        Tunnel {
            closing: self.shared.closing.subscribe(),
            shared: self.shared.clone(),
        }
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
    closing: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Tunnel {
    /// Resolves when the tunnel has to end.
    pub async fn closing(&mut self) {
        // The sender lives in `shared`, which this value holds.
        let _ = self.closing.wait_for(|closing| *closing).await;
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tunnel_is_counted_and_told_to_end() {
        let tunnels = Tunnels::default();
        let mut tunnel = tunnels.open();
        assert_eq!(tunnels.count(), 1);
        tunnels.close_all();
        tunnel.closing().await;
        tunnels.open().closing().await;
        drop(tunnel);
        assert_eq!(tunnels.count(), 0);
    }
}
