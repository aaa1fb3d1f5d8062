//! The protocol: claim a durable intent, send once, commit before validating,
//! conditional on the token that was spent. The store's claim serialises
//! replicas, the flight serialises this process. Work is detached from the
//! request that caused it: a browser that goes away loses nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::alert::Alerts;
use super::due::{self, Due};
use super::flight::{Boarding, Flights, Pilot};
use super::outcome::{FailClass, Freshness};
use super::pace::{Pace, Turn};
use super::untold::Untold;
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::Fault;
use crate::base::kill_point;
use crate::base::random;
use crate::model::identity::ProviderId;
use crate::model::tokens::TokenSet;
use crate::provider::{Provider, Providers};
use crate::session::record::Owner;
use crate::session::sessions::{Ending, Found, Session, SessionError, Sessions};
use crate::session::store::{Claimed, Committed, StoreError};
use crate::telemetry::Telemetry;

/// The shortest lease of a claim.
const LEASE_LEAST: Duration = Duration::from_secs(15);
/// How much longer than the provider's deadline a lease is: it must outlive
/// its call, or another replica sends the same token meanwhile.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// How long a request waits for somebody's refresh.
const WAIT: Duration = Duration::from_secs(5);
/// A claim older than this is not sent: the process may have been paused.
const SEND_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Claims older than this are read again.
    pub identity_max_age: Duration,
    /// How long a session goes on without a valid access token while the
    /// provider is in trouble.
    pub outage_grace: Duration,
    /// The deadline of one call of a provider.
    pub provider_total: Duration,
}

impl Settings {
    fn lease(&self) -> Duration {
        LEASE_LEAST.max(self.provider_total.saturating_add(LEASE_MARGIN))
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Refresher {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) sessions: Arc<Sessions>,
    providers: Arc<Providers>,
    pub(super) telemetry: Telemetry,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    flights: Flights,
    pub(super) pace: Pace,
    pub(super) alerts: Alerts,
    pub(super) untold: Untold,
    control: Handle,
}

impl Refresher {
    /// `control` is the runtime for slow work.
    pub fn new(
        sessions: Arc<Sessions>,
        providers: Arc<Providers>,
        telemetry: Telemetry,
        clock: Clock,
        settings: Settings,
        control: Handle,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                sessions,
                providers,
                telemetry,
                clock,
                settings,
                flights: Flights::default(),
                pace: Pace::default(),
                alerts: Alerts::default(),
                untold: Untold::default(),
                control,
            }),
        }
    }

    /// Returns at once unless the access token has ended; then it waits, at
    /// most 5 s, for the one refresh of this session.
    pub async fn ensure_fresh(&self, session: Session) -> Freshness {
        let inner = &self.inner;
        let now = inner.clock.now();
        let due = match inner.due(&session) {
            due @ (Due::No | Due::Soon) => match inner.claims_asked_at(&session, now) {
                None => due,
                Some(asked_at) if now < asked_at.plus(inner.claims_pause()) => {
                    return Freshness::Ended {
                        reason: due::IDENTITY_TOO_OLD,
                    };
                }
                // Long enough ago to ask again, and worth waiting for.
                Some(_) => Due::Now,
            },
            due => due,
        };
        match due {
            Due::No => Freshness::Fresh(session),
            Due::CannotRefresh { reason } => Freshness::Ended { reason },
            Due::Soon => {
                if inner.may_begin(&session, now) {
                    self.launch(&session);
                }
                Freshness::Fresh(session)
            }
            Due::Now if session.header.retry_at > now => {
                let class = FailClass(session.header.fail_class);
                let retry_at = session.header.retry_at;
                inner.held(session, retry_at, class)
            }
            Due::Now => {
                let mut result = self.launch(&session);
                let landed = timeout(WAIT, result.wait_for(Option::is_some)).await;
                match landed {
                    Ok(Ok(freshness)) => freshness.clone().unwrap_or_else(still_under_way),
                    // The task ended without a word, or takes longer.
                    Ok(Err(_)) | Err(_) => inner.not_landed(session),
                }
            }
        }
    }

    /// Whether nothing is due for this session: it may be used as it is, and
    /// nothing needs to begin. Worked out once for each reading.
    pub fn is_quiet(&self, session: &Session, now: Timestamp) -> bool {
        if now < session.quiet_until() {
            return true;
        }
        let until = due::quiet_until(session, now, self.inner.limits(session));
        session.be_quiet_until(until);
        now < until
    }

    /// Whether the access token of `session` may still be passed on.
    pub fn access_token_lives(&self, session: &Session) -> bool {
        self.inner.clock.now() < session.header.access_exp
    }

    /// Refreshes under way in this process.
    pub fn under_way(&self) -> usize {
        self.inner.flights.count()
    }

    pub(super) fn launch(
        &self,
        session: &Session,
    ) -> tokio::sync::watch::Receiver<Option<Freshness>> {
        match self.inner.flights.board(session.id) {
            Boarding::Passenger(result) => result,
            Boarding::Pilot(pilot, result) => {
                let inner = Arc::clone(&self.inner);
                let session = session.clone();
                self.inner.control.spawn(async move {
                    let freshness = inner.fly(session, &pilot).await;
                    pilot.announce(freshness);
                });
                result
            }
        }
    }
}

pub(super) fn still_under_way() -> Freshness {
    Freshness::Unavailable {
        reason: "refresh_under_way",
        retry_after: Duration::from_secs(1),
    }
}

impl Inner {
    pub(super) fn due(&self, session: &Session) -> Due {
        due::due(session, self.clock.now(), self.limits(session))
    }

    pub(super) fn limits(&self, session: &Session) -> due::Limits {
        let skew_max = self
            .providers
            .get(&session.identity.provider)
            .map_or(Duration::from_secs(300), |provider| {
                provider.config().refresh_skew_max
            });
        due::Limits {
            identity_max_age: self.settings.identity_max_age,
            skew_max,
        }
    }

    fn rotation_grace(&self, session: &Session) -> Duration {
        self.providers
            .get(&session.identity.provider)
            .map_or(Duration::ZERO, |provider| provider.config().rotation_grace)
    }

    /// Whether a refresh that nobody waits for may begin. A token of unknown
    /// outcome gets its last try when the old access token ends; until then
    /// only the provider's grace allows to send it.
    pub(super) fn may_begin(&self, session: &Session, now: Timestamp) -> bool {
        let header = &session.header;
        let in_grace = || now < header.sent_at.plus(self.rotation_grace(session));
        header.retry_at <= now
            && (header.intent_fp.is_none() || (header.lease_until <= now && in_grace()))
    }

    /// When the provider was asked for newer claims in vain, where they are
    /// too old by now.
    pub(super) fn claims_asked_at(&self, session: &Session, now: Timestamp) -> Option<Timestamp> {
        if now < due::claims_end(session, self.limits(session)) {
            return None;
        }
        self.untold.asked_at(session)
    }

    fn claims_pause(&self) -> Duration {
        due::claims_pause(self.settings.identity_max_age)
    }

    /// One refresh, from the first look to the last retry of its commit.
    async fn fly(&self, session: Session, pilot: &Pilot) -> Freshness {
        let started = Instant::now();
        let lease = self.settings.lease();
        let grace = self.rotation_grace(&session);
        if let Some(provider) = self.providers.get(&session.identity.provider)
            && let Err(error) = provider.metadata().await
        {
            // Fetched before the lease begins, so that it covers one call.
            // The refresh meets the same fault and leaves it in the record.
            tracing::debug!(reason = error.reason(), "no metadata for a refresh");
        }
        let mut session = session;
        let mut has_turn = false;
        loop {
            // Somebody may have been faster than the request that asked.
            session = match self.sessions.reload(&session).await {
                Ok(Found::Live(session)) => session,
                Ok(Found::Ended(ending)) => return ended(ending),
                Err(error) => return store_unavailable(&error),
            };
            let last_try = match self.due(&session) {
                Due::No => return Freshness::Fresh(session),
                Due::CannotRefresh { reason } => return Freshness::Ended { reason },
                Due::Soon => false,
                Due::Now => true,
            };
            let now = self.clock.now();
            let header = &session.header;
            if header.retry_at > now {
                let (retry_at, class) = (header.retry_at, FailClass(header.fail_class));
                return self.held(session, retry_at, class);
            }
            if !has_turn {
                has_turn = true;
                match self.pace.turn(&session.identity.provider, now) {
                    Turn::Now => {}
                    Turn::After(wait) => {
                        sleep(wait).await;
                        continue;
                    }
                    Turn::Held { until, class } => return self.held(session, until, class),
                }
            }
            let owner = Owner(random::bytes());
            let claimed_at = Instant::now();
            let claimed = self
                .sessions
                .claim(&session, owner, lease, last_try, grace)
                .await;
            match claimed {
                Err(error) => return store_unavailable(&error),
                Ok(Claimed::Granted) => {
                    return self.spend(session, owner, claimed_at, pilot).await;
                }
                Ok(Claimed::Gone) => return ended(Ending::SignedOut),
                Ok(Claimed::Superseded) => {}
                Ok(Claimed::Busy { .. }) => {
                    if started.elapsed() > lease {
                        return self.not_landed(session);
                    }
                    let jitter = u64::from(random::bytes::<1>()[0]) / 2;
                    sleep(Duration::from_millis(50 + jitter)).await;
                }
                Ok(Claimed::BackOff {
                    retry_at,
                    fail_class,
                }) => return self.held(session, retry_at, FailClass(fail_class)),
                Ok(Claimed::Unknown { .. }) => {
                    if !last_try {
                        // The old access token works; the last try comes at
                        // its end.
                        return Freshness::Fresh(session);
                    }
                    // The last try was spent too, without an answer.
                    self.telemetry
                        .refresh("outcome_unknown", &session.identity.provider.0);
                    return Freshness::Ended {
                        reason: "outcome_unknown",
                    };
                }
            }
        }
    }

    /// The intent is durable: send, once.
    async fn spend(
        &self,
        session: Session,
        owner: Owner,
        claimed_at: Instant,
        pilot: &Pilot,
    ) -> Freshness {
        let Some(provider) = self.providers.get(&session.identity.provider) else {
            self.release(&session, owner, true, self.clock.now(), FailClass::NONE)
                .await;
            return Freshness::Ended {
                reason: "provider_removed",
            };
        };
        let tokens = match session.tokens() {
            Ok(tokens) => tokens,
            Err(error) => {
                self.release(&session, owner, true, self.clock.now(), FailClass::NONE)
                    .await;
                return store_unavailable(&error);
            }
        };
        if claimed_at.elapsed() > SEND_WITHIN {
            self.release(&session, owner, true, self.clock.now(), FailClass::NONE)
                .await;
            return still_under_way();
        }
        kill_point::at("refresh", "unsent");
        let answer = provider.refresh(&tokens).await;
        kill_point::at("refresh", "answered");
        match answer {
            Ok(renewed) => {
                self.worked(provider.id());
                self.keep(provider, session, renewed, pilot).await
            }
            Err(error) => self.failed(session, owner, &error).await,
        }
    }

    /// Commit first: the old token is spent whatever comes next. Then look at
    /// what the new tokens say.
    async fn keep(
        &self,
        provider: &Provider,
        session: Session,
        renewed: TokenSet,
        pilot: &Pilot,
    ) -> Freshness {
        let spent = session.header.rt_fp;
        let provider_id = session.identity.provider.clone();
        let mut pause = Duration::from_millis(50);
        loop {
            match self.sessions.commit(&session, spent, &renewed, None).await {
                Ok(Committed::Done { .. } | Committed::Superseded) => break,
                Ok(Committed::Gone) => {
                    self.telemetry.refresh("session_gone", &provider_id.0);
                    self.revoke(&provider_id, renewed);
                    return ended(Ending::SignedOut);
                }
                Err(error) => {
                    tracing::error!(
                        reason = error.reason(),
                        session.reference = session.id.reference(),
                        provider.id = %provider_id,
                        "renewed tokens cannot be stored yet, kept in memory and retried"
                    );
                    pilot.announce(self.unstored(&session, &renewed, &error));
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                    let hopeless = matches!(
                        error,
                        SessionError::Corrupt { .. } | SessionError::Store(StoreError::Corrupt(_))
                    );
                    if hopeless || self.clock.now() >= session.expires_at {
                        return store_unavailable(&error);
                    }
                }
            }
        }
        kill_point::at("refresh", "kept");
        self.telemetry.refresh("refreshed", &provider_id.0);
        self.note_refreshed(&session, &renewed);
        let session = match self.sessions.reload(&session).await {
            Ok(Found::Live(session)) => session,
            Ok(Found::Ended(ending)) => return ended(ending),
            Err(_) => session.with_tokens(&renewed),
        };
        self.reread_claims(provider, session, &renewed).await
    }

    /// Signed out while the refresh was under way: nobody will ever use what
    /// it brought.
    fn revoke(&self, provider: &ProviderId, tokens: TokenSet) {
        if let Some(provider) = self.providers.get(provider).map(Arc::clone) {
            self.control
                .spawn(async move { provider.revoke(&tokens).await });
        }
    }

    /// What passengers hear while renewed tokens cannot be stored: they serve
    /// as long as they live, not as long as the store refuses.
    fn unstored(&self, session: &Session, renewed: &TokenSet, error: &SessionError) -> Freshness {
        if self.clock.now() < renewed.access_expires_at {
            Freshness::Fresh(session.with_tokens(renewed))
        } else {
            store_unavailable(error)
        }
    }
}

pub(super) fn ended(ending: Ending) -> Freshness {
    Freshness::Ended {
        reason: ending.reason(),
    }
}

pub(super) fn store_unavailable(error: &SessionError) -> Freshness {
    Freshness::Unavailable {
        reason: error.reason(),
        retry_after: Duration::from_secs(2),
    }
}

#[cfg(test)]
mod tests;
