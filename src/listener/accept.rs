//! Accepting, and choosing the worker that keeps a connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::admission::{Admission, Seat};
use super::bind::Socketed;
use super::connection::PeerAddr;
use super::pulse::Stage;
use super::worker::{Arrival, ClientSocket, Post};

/// How long to wait when the process has no file descriptor left: the
/// connection stays in the queue, and asking again at once would spin.
const BACK_OFF: Duration = Duration::from_millis(100);

/// One worker's end of one listening socket.
pub(super) struct Acceptor {
    pub(super) admission: Arc<Admission>,
    pub(super) posts: Arc<[Arc<Post>]>,
    /// Which of `posts` this worker is.
    pub(super) own: usize,
    pub(super) stage: watch::Receiver<Stage>,
}

impl Acceptor {
    pub(super) async fn run(mut self, socket: Socketed) -> io::Result<()> {
        match socket {
            Socketed::Tcp(listener) => {
                let listener = TcpListener::from_std(listener)?;
                let mut turn = 0;
                loop {
                    tokio::select! {
                        biased;
                        _ = self.stage.changed() => return Ok(()),
                        accepted = listener.accept() => match accepted {
                            Ok((stream, address)) => {
                                turn += 1;
                                self.tcp(stream, address, turn);
                            }
                            Err(error) => pause(&error).await,
                        },
                    }
                }
            }
            Socketed::Unix(listener) => {
                let listener = UnixListener::from_std(listener)?;
                let mut turn = 0;
                loop {
                    tokio::select! {
                        biased;
                        _ = self.stage.changed() => return Ok(()),
                        accepted = listener.accept() => match accepted {
                            Ok((stream, _)) => {
                                turn += 1;
                                self.place(PeerAddr::Unix, turn, |own| {
                                    Some(if own {
                                        ClientSocket::Unix(stream)
                                    } else {
                                        ClientSocket::UnixAway(stream.into_std().ok()?)
                                    })
                                });
                            }
                            Err(error) => pause(&error).await,
                        },
                    }
                }
            }
        }
    }

    fn tcp(&self, stream: tokio::net::TcpStream, address: SocketAddr, turn: usize) {
        if stream.set_nodelay(true).is_err() {
            return; // the client is gone already
        }
        self.place(PeerAddr::Tcp(address), turn, |own| {
            Some(if own {
                ClientSocket::Tcp(stream)
            } else {
                ClientSocket::TcpAway(stream.into_std().ok()?)
            })
        });
    }

    /// Without a free place the socket is closed at once.
    fn place(
        &self,
        peer: PeerAddr,
        turn: usize,
        socket: impl FnOnce(bool) -> Option<ClientSocket>,
    ) {
        let address = match peer {
            PeerAddr::Tcp(address) => Some(address.ip()),
            PeerAddr::Unix => None,
        };
        let Some(entry) = self.admission.enter(address) else {
            return;
        };
        let chosen = self.choose(turn);
        let seat = Seat::new(entry, self.posts[chosen].clone());
        let Some(socket) = socket(chosen == self.own) else {
            return;
        };
        // A worker that has ended drops what is sent to it; so do we.
        let _ = self.posts[chosen]
            .mailbox
            .send(Arrival { socket, peer, seat });
    }

    /// The less loaded of this worker and one other.
    fn choose(&self, turn: usize) -> usize {
        let count = self.posts.len();
        if count == 1 {
            return self.own;
        }
        let other = (self.own + 1 + turn % (count - 1)) % count;
        let load = |index: usize| self.posts[index].live.load(Ordering::Relaxed);
        if load(other) < load(self.own) {
            other
        } else {
            self.own
        }
    }
}

/// Errors of one connection are its own; anything else waits.
async fn pause(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    );
    if !of_the_client {
        tracing::warn!(%error, "cannot accept a connection, waiting");
        tokio::time::sleep(BACK_OFF).await;
    }
}
