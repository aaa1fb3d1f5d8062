//! Tunnels end with the session that opened them. A request is judged once;
//! a tunnel lives for hours, so its session is looked at again.
//!
//! A sign-out in this process ends its tunnels at once, one elsewhere when
//! the session is read the next time. A store that cannot answer ends none.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::base::fault::Fault;
use crate::listener::TunnelCloser;
use crate::session::record::SessionId;
use crate::session::sessions::{Found, Session, Sessions};

/// How often a session with open tunnels is read again.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Hands tunnels to the task that looks after them. The task ends with the
/// last handle.
#[derive(Debug, Clone)]
pub struct TunnelGuard {
    /// Each message stands for an open tunnel, so the connection limit
    /// bounds them.
    tunnels: mpsc::UnboundedSender<Guarded>,
}

#[derive(Debug)]
struct Guarded {
    session: Session,
    closer: TunnelCloser,
}

impl TunnelGuard {
    /// The task lives on `control`.
    pub fn start(sessions: Arc<Sessions>, control: &Handle) -> Self {
        Self::looking_every(LOOK_EVERY, sessions, control)
    }

    fn looking_every(every: Duration, sessions: Arc<Sessions>, control: &Handle) -> Self {
        let (tunnels, arrivals) = mpsc::unbounded_channel();
        let watch = Watch {
            every,
            sessions,
            watched: HashMap::new(),
            looks: VecDeque::new(),
        };
        control.spawn(watch.run(arrivals));
        Self { tunnels }
    }

    /// From now on the tunnel lives no longer than the session.
    pub(super) fn guard(&self, session: Session, closer: TunnelCloser) {
        if let Err(unguarded) = self.tunnels.send(Guarded { session, closer }) {
            // The runtime of the task is gone: the process is ending.
            unguarded.0.closer.close();
        }
    }
}

struct Watched {
    session: Session,
    closers: Vec<TunnelCloser>,
}

struct Watch {
    every: Duration,
    sessions: Arc<Sessions>,
    watched: HashMap<SessionId, Watched>,
    /// When to look at which session; the earliest first.
    looks: VecDeque<(Instant, SessionId)>,
}

impl Watch {
    /// One session is read at a time: the cost is bounded, and a revocation
    /// waits for one read at most.
    async fn run(mut self, mut arrivals: mpsc::UnboundedReceiver<Guarded>) {
        let mut revoked = self.sessions.revocations();
        loop {
            let next = self.looks.front().map(|(at, _)| *at);
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                revoked = revoked.recv() => match revoked {
                    Ok(session) => self.close(session, "session_signed_out"),
                    Err(RecvError::Lagged(_)) => self.look_at_all_now(),
                    Err(RecvError::Closed) => return,
                },
                arrived = arrivals.recv() => match arrived {
                    Some(guarded) => self.take(guarded),
                    None => return,
                },
                () = due => self.look().await,
            }
        }
    }

    /// A revocation between the decision about the request and now was not
    /// for us to hear, hence the first look at once.
    fn take(&mut self, guarded: Guarded) {
        let Guarded { session, closer } = guarded;
        let id = session.id;
        match self.watched.entry(id) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.closers.retain(TunnelCloser::is_open);
                known.closers.push(closer);
            }
            Entry::Vacant(vacant) => {
                vacant.insert(Watched {
                    session,
                    closers: vec![closer],
                });
                self.looks.push_front((Instant::now(), id));
                return;
            }
        }
        self.look_now(id);
    }

    fn look_now(&mut self, id: SessionId) {
        self.looks.retain(|(_, queued)| *queued != id);
        self.looks.push_front((Instant::now(), id));
    }

    fn look_at_all_now(&mut self) {
        let now = Instant::now();
        for (at, _) in &mut self.looks {
            *at = now;
        }
    }

    async fn look(&mut self) {
        let Some((_, id)) = self.looks.pop_front() else {
            return;
        };
        let Some(watched) = self.watched.get_mut(&id) else {
            return;
        };
        watched.closers.retain(TunnelCloser::is_open);
        if watched.closers.is_empty() {
            self.watched.remove(&id);
            return;
        }
        match self.sessions.reload(&watched.session).await {
            Ok(Found::Live(session)) => watched.session = session,
            Ok(Found::Ended(ending)) => {
                self.close(id, ending.reason());
                return;
            }
            Err(error) => tracing::debug!(
                session.reference = id.reference(),
                reason = error.reason(),
                "session of an open tunnel cannot be read; the tunnel goes on"
            ),
        }
        self.looks.push_back((Instant::now() + self.every, id));
    }

    fn close(&mut self, id: SessionId, reason: &'static str) {
        let Some(watched) = self.watched.remove(&id) else {
            return;
        };
        self.looks.retain(|(_, queued)| *queued != id);
        tracing::info!(
            session.reference = id.reference(),
            reason,
            tunnels = watched.closers.len(),
            "session ended; its tunnels are closed"
        );
        for closer in watched.closers {
            closer.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Tunnel, Tunnels};
    use crate::refresh::fixture::{Rig, another, signed_in};

    const MINUTE: Duration = Duration::from_secs(60);

    async fn guarded(rig: &Rig, guard: &TunnelGuard, tunnels: &Tunnels) -> (Session, Tunnel) {
        let (_, session) = another(&rig.clock, &rig.sessions, b"one", MINUTE).await;
        let (tunnel, closer) = tunnels.open();
        guard.guard(session.clone(), closer);
        (session, tunnel)
    }

    async fn ends(tunnel: &mut Tunnel, within: Duration) -> bool {
        tokio::time::timeout(within, tunnel.closing()).await.is_ok()
    }

    #[tokio::test]
    async fn a_sign_out_ends_the_tunnels_of_that_session_only() {
        let rig = signed_in(MINUTE).await;
        let guard = TunnelGuard::start(Arc::clone(&rig.sessions), &Handle::current());
        let tunnels = Tunnels::default();
        let (session, mut one) = guarded(&rig, &guard, &tunnels).await;
        let (mut second, closer) = tunnels.open();
        guard.guard(session.clone(), closer);
        let (_, other) = another(&rig.clock, &rig.sessions, b"two", MINUTE).await;
        let (mut others, closer) = tunnels.open();
        guard.guard(other, closer);
        rig.sessions.revoke(&session).await.unwrap();
        assert!(ends(&mut one, MINUTE).await);
        assert!(ends(&mut second, MINUTE).await);
        assert!(!ends(&mut others, Duration::from_millis(50)).await);
    }

    #[tokio::test]
    async fn a_session_that_ended_before_the_tunnel_was_guarded_ends_it() {
        let rig = signed_in(MINUTE).await;
        let guard = TunnelGuard::start(Arc::clone(&rig.sessions), &Handle::current());
        let (_, session) = another(&rig.clock, &rig.sessions, b"one", MINUTE).await;
        rig.sessions.revoke(&session).await.unwrap();
        let (mut tunnel, closer) = Tunnels::default().open();
        guard.guard(session, closer);
        assert!(ends(&mut tunnel, MINUTE).await);
    }

    #[tokio::test]
    async fn a_session_that_ends_by_time_takes_its_tunnels_along() {
        let rig = signed_in(MINUTE).await;
        let every = Duration::from_millis(10);
        let sessions = Arc::clone(&rig.sessions);
        let guard = TunnelGuard::looking_every(every, sessions, &Handle::current());
        let (session, mut tunnel) = guarded(&rig, &guard, &Tunnels::default()).await;
        assert!(!ends(&mut tunnel, every * 5).await);
        rig.clock
            .advance(session.expires_at.since(session.created_at).as_millis() as i64);
        assert!(ends(&mut tunnel, MINUTE).await);
    }
}
