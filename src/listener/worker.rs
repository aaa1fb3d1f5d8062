//! A worker: keeps connections, sweeps them, drains them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::accept::Acceptor;
use super::admission::{Admission, Seat};
use super::bind::Socketed;
use super::connection::{self, Connection, Handler, PeerAddr, Protocols};
use super::pulse::{Bounds, Pulse, SWEEP, Stage};
use super::spawner::Spawner;
use super::tls::{Agreed, Tls};
use super::tunnels::Tunnels;

/// A worker as the other workers see it.
#[derive(Debug)]
pub(super) struct Post {
    /// Connections that it keeps, tunnels included.
    pub(super) live: AtomicUsize,
    /// Told when `live` falls to zero.
    pub(super) empty: Notify,
    /// Bounded by the connection limit: each arrival holds a place.
    pub(super) mailbox: mpsc::UnboundedSender<Arrival>,
}

/// A connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) socket: ClientSocket,
    pub(super) peer: PeerAddr,
    pub(super) seat: Seat,
}

/// `Away`: taken off the accepting worker's reactor, to join another's.
#[derive(Debug)]
pub(super) enum ClientSocket {
    Tcp(tokio::net::TcpStream),
    TcpAway(std::net::TcpStream),
    Unix(tokio::net::UnixStream),
    UnixAway(std::os::unix::net::UnixStream),
}

pub(super) struct Worker<H> {
    pub(super) handler: Arc<H>,
    pub(super) protocols: Arc<Protocols>,
    pub(super) tls: Option<Tls>,
    pub(super) bounds: Bounds,
    pub(super) spawner: Spawner,
    pub(super) tunnels: Tunnels,
    pub(super) sockets: Vec<Socketed>,
    pub(super) admission: Arc<Admission>,
    pub(super) posts: Arc<[Arc<Post>]>,
    pub(super) own: usize,
    pub(super) arrivals: mpsc::UnboundedReceiver<Arrival>,
    pub(super) stage: watch::Receiver<Stage>,
}

impl<H: Handler> Worker<H> {
    /// Runs until the drain is over.
    pub(super) async fn run(mut self) {
        for socket in std::mem::take(&mut self.sockets) {
            let acceptor = Acceptor {
                admission: self.admission.clone(),
                posts: self.posts.clone(),
                own: self.own,
                stage: self.stage.clone(),
            };
            self.spawner.spawn(async move {
                if let Err(error) = acceptor.run(socket).await {
                    tracing::error!(%error, "a listening socket is lost");
                }
            });
        }
        let post = self.posts[self.own].clone();
        let mut pulses: Vec<Arc<Pulse>> = Vec::new();
        let mut tick = tokio::time::interval(SWEEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stage = Stage::Running;
        loop {
            if stage > Stage::Running && post.live.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => {
                    // A socket that cannot join the reactor is closed.
                    if let Ok(pulse) = self.start(arrival) {
                        pulse.set_stage(stage);
                        pulses.push(pulse);
                    }
                }
                _ = tick.tick() => {
                    // Only the list itself still holds the pulse of a
                    // connection that has ended.
                    pulses.retain(|pulse| Arc::strong_count(pulse) > 1);
                    for pulse in &pulses {
                        pulse.sweep(self.bounds);
                    }
                }
                changed = self.stage.changed() => {
                    stage = match changed {
                        Ok(()) => *self.stage.borrow_and_update(),
                        Err(_) => Stage::Ended,
                    };
                    for pulse in &pulses {
                        pulse.set_stage(stage);
                    }
                    if stage == Stage::Ended {
                        return;
                    }
                }
                () = post.empty.notified() => {}
            }
        }
    }

    fn start(&self, arrival: Arrival) -> io::Result<Arc<Pulse>> {
        let Arrival { socket, peer, seat } = arrival;
        match socket {
            ClientSocket::Tcp(stream) => Ok(self.tcp(stream, peer, seat)),
            ClientSocket::TcpAway(stream) => {
                let stream = tokio::net::TcpStream::from_std(stream)?;
                Ok(self.tcp(stream, peer, seat))
            }
            ClientSocket::Unix(stream) => Ok(self.serve(stream, peer, seat)),
            ClientSocket::UnixAway(stream) => {
                let stream = tokio::net::UnixStream::from_std(stream)?;
                Ok(self.serve(stream, peer, seat))
            }
        }
    }

    fn tcp(&self, stream: tokio::net::TcpStream, peer: PeerAddr, seat: Seat) -> Arc<Pulse> {
        let Some(tls) = self.tls.clone() else {
            return self.serve(stream, peer, seat);
        };
        let pulse = Arc::new(Pulse::default());
        let connection = Connection::new(peer, self.tunnels.clone());
        let (protocols, handler) = (self.protocols.clone(), self.handler.clone());
        let at_work = pulse.clone();
        let served = async move {
            let agreed = match Box::pin(tls.shake_hands(stream)).await {
                Ok(agreed) => agreed,
                Err(error) => {
                    // Scanners do this all day.
                    tracing::debug!(%error, "TLS handshake failed");
                    return;
                }
            };
            // Each on the heap: most connections would carry the other's
            // room in vain.
            let rest: Pin<Box<dyn Future<Output = ()> + Send>> = match agreed {
                Agreed::Http1(stream) => Box::pin(connection::serve(
                    &protocols, handler, connection, stream, at_work, seat,
                )),
                Agreed::Http2(stream) => Box::pin(connection::serve_multiplexed(
                    &protocols, handler, connection, stream, at_work, seat,
                )),
            };
            rest.await;
        };
        pulse.started(self.spawner.spawn(served));
        pulse
    }

    fn serve<S>(&self, stream: S, peer: PeerAddr, seat: Seat) -> Arc<Pulse>
    where
        S: Unpin + Send + 'static,
        TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin,
    {
        let pulse = Arc::new(Pulse::default());
        let connection = Connection::new(peer, self.tunnels.clone());
        let served = connection::serve(
            &self.protocols,
            self.handler.clone(),
            connection,
            stream,
            pulse.clone(),
            seat,
        );
        pulse.started(self.spawner.spawn(served));
        pulse
    }
}
