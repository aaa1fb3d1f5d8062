//! Sessions by the thousand, without a sign-in each: written into a gateway's
//! store by the gateway's own module, with the same keys and under the same
//! names, as one more replica would. It also ends and rewrites them.
//!
//! The one place of the harness that reaches into the gateway's modules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use secrecy::ExposeSecret;
use vestibule::base::clock::Clock;
use vestibule::base::random;
use vestibule::config::{self, Sources, checked};
use vestibule::model::identity::{Groups, Identity, ProviderId};
use vestibule::model::tokens::TokenSet;
use vestibule::session::sessions::{Found, NewSession, Reach, Session, Sessions, Settings};
use vestibule::session::store::redis::RedisStore;
use vestibule::session::store::sqlite::SqliteStore;
use vestibule::session::store::{Committed, Store};
use vestibule::session::ticket::Scope;

use super::gateway::Plan;
use super::mirror::Told;

/// Writes under way at once.
const AT_ONCE: usize = 64;
/// What one read of the store may take; the gateway's default.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

pub struct Planter {
    pub sessions: Sessions,
    issuer: String,
    scope: Scope,
}

/// Somebody whose session was planted.
#[derive(Clone)]
pub struct Planted {
    pub subject: String,
    /// The value of the session cookie.
    pub cookie: String,
    pub session: Session,
}

impl Planter {
    /// For the gateway of this plan and its replicas.
    pub fn of(plan: &Plan) -> Self {
        let sources = Sources {
            file: Some(plan.written()),
            environment: Vec::new(),
        };
        let config = config::load(&sources).expect("the plan is good").config;
        let clock = Clock::system();
        let (store, namespace): (Arc<dyn Store>, String) = match &config.store {
            checked::Store::Redis(redis) => {
                let store = RedisStore::new(redis, STORE_TIMEOUT).expect("the address is good");
                (Arc::new(store), redis.key_prefix.clone())
            }
            checked::Store::Embedded { path } => {
                let store = SqliteStore::open(path, clock.clone()).expect("the database opens");
                let namespace = store.namespace().to_owned();
                (Arc::new(store), namespace)
            }
            checked::Store::Memory => panic!("nobody else sees a store in memory"),
        };
        let settings = Settings {
            namespace,
            lifetime: config.session.lifetime,
            idle_timeout: config.session.idle_timeout,
        };
        Self {
            sessions: Sessions::new(store, config.keys.ring.clone(), clock, settings),
            issuer: plan.issuer().to_owned(),
            scope: Scope("app.localhost".to_owned()),
        }
    }

    /// `count` people, each with one session: `prefix-0`, `prefix-1`, …
    pub async fn people(&self, prefix: &str, count: usize) -> Vec<Planted> {
        let planting = (0..count).map(|number| self.person(format!("{prefix}-{number}")));
        stream::iter(planting).buffered(AT_ONCE).collect().await
    }

    pub async fn person(&self, subject: String) -> Planted {
        self.try_person(subject).await.expect("a session")
    }

    pub async fn try_person(&self, subject: String) -> Result<Planted, String> {
        self.person_with(subject, &random::bytes::<32>()).await
    }

    /// The cookie of whoever is planted with this seed.
    pub fn cookie_of(&self, seed: &[u8]) -> String {
        let ticket = self.sessions.ticket_from_seed(seed, &self.scope);
        self.sessions.ticket_text(&ticket)
    }

    /// With so many groups, of some forty bytes each.
    pub async fn person_of(&self, subject: String, groups: usize) -> Planted {
        let mut identity = self.identity(&subject, 0);
        let group = |number| format!("group-{number:06}-of-{subject:.<24}");
        identity.groups = Groups::Known((0..groups).map(group).collect());
        let seed = random::bytes::<32>();
        let planted = self.planted(identity, &seed).await;
        planted.expect("a session")
    }

    /// `seed` gives the ticket, before the session is there too.
    pub async fn person_with(&self, subject: String, seed: &[u8]) -> Result<Planted, String> {
        self.planted(self.identity(&subject, 0), seed).await
    }

    async fn planted(&self, identity: Identity, seed: &[u8]) -> Result<Planted, String> {
        let subject = identity.subject.clone();
        let tokens = self.tokens(&subject, 0);
        let new = NewSession {
            identity: &identity,
            tokens: &tokens,
            scope: &self.scope,
            seed,
            user_agent: None,
            began_at: Clock::system().now(),
        };
        let created = self.sessions.create(new).await;
        let (ticket, session) = created.map_err(|error| error.to_string())?;
        Ok(Planted {
            subject,
            cookie: self.sessions.ticket_text(&ticket),
            session,
        })
    }

    /// What the store says of whoever has this cookie, as an application on a
    /// route with `pass_access_token` is told. `None`: not signed in.
    pub async fn told_of(&self, cookie: &str) -> Option<Told> {
        let ticket = self.sessions.open_ticket(&[cookie], &self.scope);
        let found = self.sessions.find(&ticket.expect("a ticket of ours")).await;
        let Found::Live(session) = found.expect("the store answers") else {
            return None;
        };
        let tokens = session.tokens().expect("tokens");
        let Groups::Known(groups) = &session.identity.groups else {
            panic!("planted with groups");
        };
        Some(Told {
            user: session.identity.subject.clone(),
            groups: groups.join(","),
            access_token: tokens.access_token.expose_secret().to_owned(),
        })
    }

    /// The claims of `subject` as they are after `changes` of them.
    pub fn identity(&self, subject: &str, changes: usize) -> Identity {
        Identity {
            provider: ProviderId("main".to_owned()),
            issuer: self.issuer.clone(),
            subject: subject.to_owned(),
            username: Some(subject.to_owned()),
            name: None,
            email: Some(format!("{subject}@corp.test")),
            email_verified: true,
            groups: Groups::Known(vec!["staff".to_owned(), format!("change-{changes}")]),
            claims: BTreeMap::new(),
            provider_session: None,
            read_at: Clock::system().now(),
        }
    }

    /// The tokens of `subject` after `renewals`; none of them is due.
    pub fn tokens(&self, subject: &str, renewals: usize) -> TokenSet {
        let now = Clock::system().now();
        TokenSet {
            access_token: format!("access-{subject}-{renewals}").into(),
            refresh_token: Some(format!("refresh-{subject}-{renewals}").into()),
            id_token: None,
            access_expires_at: now.plus(Duration::from_secs(6 * 3600)),
            received_at: now,
            scope: None,
        }
    }

    /// New claims for a session, as a refresh or a look at userinfo brings them.
    pub async fn change(&self, person: &Planted, changes: usize) -> Result<(), String> {
        let identity = self.identity(&person.subject, changes);
        let done = self.sessions.put_identity(&person.session, &identity).await;
        done.map_err(|error| error.to_string())
    }

    /// New tokens for a session. True if the store took them.
    pub async fn renew(&self, person: &mut Planted, renewals: usize) -> Result<bool, String> {
        let tokens = self.tokens(&person.subject, renewals);
        let session = &person.session;
        let spent = session.header.rt_fp;
        let committed = self.sessions.commit(session, spent, &tokens, None).await;
        match committed.map_err(|error| error.to_string())? {
            Committed::Done { .. } => {
                person.session = session.with_tokens(&tokens);
                Ok(true)
            }
            Committed::Superseded | Committed::Gone => Ok(false),
        }
    }

    /// Ends a session, as far as the store can be told.
    pub async fn end(&self, person: &Planted) -> Result<Reach, String> {
        let done = self.sessions.sign_out(&person.session).await;
        done.map_err(|error| error.to_string())
    }
}
