//! The protocol: claim a durable intent, send once, commit before validating,
//! conditional on the token that was spent. The store's claim serialises
//! replicas, the flight serialises this process. Work is detached from the
//! request that caused it: a browser that goes away loses nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::due::{self, Due};
use super::flight::{Boarding, Flights, Pilot};
use super::outcome::{Effect, FailClass, Freshness, back_off, token_is_unspent};
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::Fault;
use crate::base::kill_point;
use crate::base::random;
use crate::model::tokens::TokenSet;
use crate::provider::{Provider, ProviderError, Providers};
use crate::session::record::Owner;
use crate::session::sessions::{Ending, Found, Session, SessionError, Sessions};
use crate::session::store::{Claimed, Committed, Release, StoreError};
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
    telemetry: Telemetry,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    flights: Flights,
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
                control,
            }),
        }
    }

    /// Returns at once unless the access token has ended; then it waits, at
    /// most 5 s, for the one refresh of this session.
    pub async fn ensure_fresh(&self, session: Session) -> Freshness {
        match self.inner.due(&session) {
            Due::No => Freshness::Fresh(session),
            Due::CannotRefresh => Freshness::Ended {
                reason: "access_token_ended",
            },
            Due::Soon => {
                // A token of unknown outcome gets its last try when the old
                // access token ends; until then nobody may send it.
                let header = &session.header;
                if header.retry_at <= self.inner.clock.now() && header.intent_fp.is_none() {
                    self.launch(&session);
                }
                Freshness::Fresh(session)
            }
            Due::Now => {
                let mut result = self.launch(&session);
                let landed = timeout(WAIT, result.wait_for(Option::is_some)).await;
                match landed {
                    Ok(Ok(freshness)) => freshness.clone().unwrap_or_else(still_under_way),
                    // The task ended without a word, or takes longer.
                    Ok(Err(_)) | Err(_) => still_under_way(),
                }
            }
        }
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

fn still_under_way() -> Freshness {
    Freshness::Unavailable {
        reason: "refresh_under_way",
        retry_after: Duration::from_secs(1),
    }
}

impl Inner {
    pub(super) fn due(&self, session: &Session) -> Due {
        let skew_max = self
            .providers
            .get(&session.identity.provider)
            .map_or(Duration::from_secs(300), |provider| {
                provider.config().refresh_skew_max
            });
        let limits = due::Limits {
            identity_max_age: self.settings.identity_max_age,
            skew_max,
        };
        due::due(session, self.clock.now(), limits)
    }

    /// One refresh, from the first look to the last retry of its commit.
    async fn fly(&self, session: Session, pilot: &Pilot) -> Freshness {
        let started = Instant::now();
        let lease = self.settings.lease();
        if let Some(provider) = self.providers.get(&session.identity.provider)
            && let Err(error) = provider.metadata().await
        {
            // Fetched before the lease begins, so that it covers one call.
            // The refresh meets the same fault and leaves it in the record.
            tracing::debug!(reason = error.reason(), "no metadata for a refresh");
        }
        let mut session = session;
        loop {
            // Somebody may have been faster than the request that asked.
            session = match self.sessions.reload(&session).await {
                Ok(Found::Live(session)) => session,
                Ok(Found::Ended(ending)) => return ended(ending),
                Err(error) => return store_unavailable(&error),
            };
            let last_try = match self.due(&session) {
                Due::No => return Freshness::Fresh(session),
                Due::CannotRefresh => {
                    return Freshness::Ended {
                        reason: "access_token_ended",
                    };
                }
                Due::Soon => false,
                Due::Now => true,
            };
            let owner = Owner(random::bytes());
            let claimed_at = Instant::now();
            let claimed = self.sessions.claim(&session, owner, lease, last_try).await;
            match claimed {
                Err(error) => return store_unavailable(&error),
                Ok(Claimed::Granted) => {
                    return self.spend(session, owner, claimed_at, pilot).await;
                }
                Ok(Claimed::Gone) => return ended(Ending::SignedOut),
                Ok(Claimed::Superseded) => {}
                Ok(Claimed::Busy { .. }) => {
                    if started.elapsed() > lease {
                        return still_under_way();
                    }
                    let jitter = u64::from(random::bytes::<1>()[0]) / 4;
                    sleep(Duration::from_millis(50 + jitter)).await;
                }
                Ok(Claimed::BackOff {
                    retry_at,
                    fail_class,
                }) => return self.wait_until(session, retry_at, FailClass(fail_class)),
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
            self.release(&session, owner, true, self.clock.now(), FailClass(0))
                .await;
            return Freshness::Ended {
                reason: "provider_removed",
            };
        };
        let tokens = match session.tokens() {
            Ok(tokens) => tokens,
            Err(error) => {
                self.release(&session, owner, true, self.clock.now(), FailClass(0))
                    .await;
                return store_unavailable(&error);
            }
        };
        if claimed_at.elapsed() > SEND_WITHIN {
            self.release(&session, owner, true, self.clock.now(), FailClass(0))
                .await;
            return still_under_way();
        }
        kill_point::at("refresh", "unsent");
        let answer = provider.refresh(&tokens).await;
        kill_point::at("refresh", "answered");
        match answer {
            Ok(renewed) => self.keep(provider, session, renewed, pilot).await,
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
        let session = match self.sessions.reload(&session).await {
            Ok(Found::Live(session)) => session,
            Ok(Found::Ended(ending)) => return ended(ending),
            Err(_) => session.with_tokens(&renewed),
        };
        self.reread_claims(provider, session, &renewed).await
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

    async fn failed(&self, session: Session, owner: Owner, error: &ProviderError) -> Freshness {
        let provider = &session.identity.provider;
        self.telemetry.refresh(error.reason(), &provider.0);
        tracing::warn!(
            reason = error.reason(),
            provider.id = %provider,
            session.reference = session.id.reference(),
            "refresh failed"
        );
        let effect = Effect::of(error);
        match effect {
            Effect::Ends => {
                // A lost race looks the same: whoever won has stored a newer
                // token by now, or is about to.
                match self.sessions.reload(&session).await {
                    Ok(Found::Live(current)) if current.header.rt_fp != session.header.rt_fp => {
                        Freshness::Fresh(current)
                    }
                    Ok(Found::Live(current)) => self.end(current, error.reason()).await,
                    Ok(Found::Ended(ending)) => ended(ending),
                    Err(error) => store_unavailable(&error),
                }
            }
            Effect::EndsWithAccessToken if self.clock.now() >= session.header.access_exp => {
                self.end(session, error.reason()).await
            }
            Effect::EndsWithAccessToken | Effect::Keeps => {
                let failures = u32::from(session.header.fail_class != 0) * 2;
                let retry_at = self.clock.now().plus(back_off(error.retry_after, failures));
                let class = FailClass::of(error);
                let not_spent = token_is_unspent(error);
                self.release(&session, owner, not_spent, retry_at, class)
                    .await;
                self.wait_until(session, retry_at, class)
            }
        }
    }

    fn wait_until(&self, session: Session, retry_at: Timestamp, class: FailClass) -> Freshness {
        let now = self.clock.now();
        if now < session.header.access_exp {
            return Freshness::Fresh(session);
        }
        Freshness::Unavailable {
            reason: class.reason(),
            retry_after: retry_at.since(now).max(Duration::from_secs(1)),
        }
    }

    pub(super) async fn end(&self, session: Session, reason: &'static str) -> Freshness {
        match self.sessions.revoke(&session).await {
            Ok(()) => Freshness::Ended { reason },
            Err(error) => store_unavailable(&error),
        }
    }

    async fn release(
        &self,
        session: &Session,
        owner: Owner,
        clear_intent: bool,
        retry_at: Timestamp,
        class: FailClass,
    ) {
        let release = Release {
            owner,
            clear_intent,
            retry_at,
            fail_class: class.0,
        };
        if let Err(error) = self.sessions.release(session, release).await {
            // The lease runs out by itself.
            tracing::warn!(
                reason = error.reason(),
                session.reference = session.id.reference(),
                "refresh lease could not be released"
            );
        }
    }
}

fn ended(ending: Ending) -> Freshness {
    Freshness::Ended {
        reason: ending.reason(),
    }
}

fn store_unavailable(error: &SessionError) -> Freshness {
    Freshness::Unavailable {
        reason: error.reason(),
        retry_after: Duration::from_secs(2),
    }
}

#[cfg(test)]
mod tests;
