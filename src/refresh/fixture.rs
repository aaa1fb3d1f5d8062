//! A signed-in person over a store in memory, with a clock that tests move.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::key_ring::KeyRing;
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::tokens::TokenSet;
use crate::session::sessions::{NewSession, Session, Sessions, Settings};
use crate::session::store::memory::MemoryStore;
use crate::session::ticket::{Scope, Ticket};

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) clock: Clock,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) session: Session,
}

pub(crate) fn tokens(clock: &Clock, text: &str, life: Duration) -> TokenSet {
    TokenSet {
        access_token: "access".to_owned().into(),
        refresh_token: Some(text.to_owned().into()),
        id_token: None,
        access_expires_at: clock.now().plus(life),
        received_at: clock.now(),
        scope: None,
    }
}

pub(crate) async fn signed_in(life: Duration) -> Rig {
    let clock = Clock::movable();
    let sessions = Sessions::new(
        Arc::new(MemoryStore::new(clock.clone())),
        KeyRing::parse(&KeyRing::generate()).unwrap(),
        clock.clone(),
        Settings {
            namespace: "n".into(),
            lifetime: MINUTE * 60 * 24 * 30,
            idle_timeout: Duration::ZERO,
        },
    );
    let sessions = Arc::new(sessions.caching(MINUTE / 2, tokio::runtime::Handle::current()));
    let (_, session) = another(&clock, &sessions, b"seed", life).await;
    Rig {
        clock,
        sessions,
        session,
    }
}

/// One more session of the same person; every seed gives another ticket.
pub(crate) async fn another(
    clock: &Clock,
    sessions: &Sessions,
    seed: &[u8],
    life: Duration,
) -> (Ticket, Session) {
    let identity = Identity {
        provider: ProviderId("main".into()),
        issuer: "https://id.test".into(),
        subject: "ann".into(),
        username: None,
        name: None,
        email: None,
        email_verified: false,
        groups: Groups::Known(Vec::new()),
        claims: BTreeMap::new(),
        provider_session: None,
        read_at: clock.now(),
    };
    let new = NewSession {
        identity: &identity,
        tokens: &tokens(clock, "first", life),
        scope: &scope(),
        seed,
        user_agent: None,
        began_at: clock.now(),
    };
    sessions.create(new).await.unwrap()
}

pub(crate) fn scope() -> Scope {
    Scope("app.test".into())
}
