//! A refresh that brought no tokens: what it means for the session, for the
//! other sessions of its provider, and for the operator.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::alert::{Alert, Told};
use super::outcome::{Effect, FailClass, Freshness, jittered, pause, token_is_unspent};
use super::refresher::{Inner, ended, still_under_way, store_unavailable};
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::base::random;
use crate::model::identity::ProviderId;
use crate::provider::{Class, ProviderError};
use crate::session::record::Owner;
use crate::session::sessions::{Ending, Found, Session, SessionError};
use crate::session::store::{Once, Release};

/// How long a refused refresh waits for whoever may have won with the same
/// token: their answer is there, their commit may still be on its way.
const WINNER_WAIT: Duration = Duration::from_secs(3);
/// A lost rotation is looked at again after this.
const LOST_PAUSE: Duration = Duration::from_secs(60);
/// Replicas that find the same fault within this time tell it once.
const ALERT_TOLD: Duration = Duration::from_secs(300);

/// Who else may have spent the refused token.
enum Rival {
    /// Has stored a newer one.
    Won(Session),
    /// Holds the claim now, or sent the token before us and was never heard
    /// of again: may still store what it bought.
    Silent(Session),
    Nobody(Session),
    Ended(Ending),
    Unreadable(SessionError),
}

impl Inner {
    pub(super) async fn failed(
        &self,
        session: Session,
        owner: Owner,
        error: &ProviderError,
    ) -> Freshness {
        let provider = &session.identity.provider;
        let class = FailClass::of(error);
        self.telemetry.refresh(error.reason(), &provider.0);
        tracing::warn!(
            reason = error.reason(),
            detail = error.detail,
            error = %error,
            status = error.status,
            attempts = error.attempts,
            failures = session.header.failures,
            provider.id = %provider,
            session.reference = session.id.reference(),
            "refresh failed"
        );
        self.alarm(&session, error).await;
        if Effect::of(error) == Effect::Ends {
            return self.refused(session, owner, error).await;
        }
        let now = self.clock.now();
        let soon = || now.plus(jittered(pause(error, session.header.failures)));
        let retry_at = match error.class {
            Class::ClientCredentialsRejected | Class::RefreshNotAllowed => {
                self.pace.hold_slowly(provider, now, class)
            }
            Class::RateLimited => {
                let retry_at = soon();
                self.pace.hold(provider, retry_at, class);
                retry_at
            }
            _ => soon(),
        };
        self.note_failed(&session, error.reason(), class, retry_at);
        let not_spent = token_is_unspent(error);
        self.release(&session, owner, not_spent, retry_at, class)
            .await;
        self.held(session, retry_at, class)
    }

    /// The provider said no to this token for good. A lost race looks the
    /// same: whoever won has stored a newer token by now, or is about to, and
    /// a winner's session is never ended.
    async fn refused(&self, session: Session, owner: Owner, error: &ProviderError) -> Freshness {
        let provider = &session.identity.provider;
        match self.rival(&session, owner).await {
            Rival::Won(current) => Freshness::Fresh(current),
            Rival::Ended(ending) => ended(ending),
            Rival::Unreadable(error) => store_unavailable(&error),
            Rival::Nobody(current) => {
                if error.class == Class::RefreshReused {
                    self.telemetry.refresh("rotation_lost", &provider.0);
                }
                self.end(current, error.reason()).await
            }
            Rival::Silent(current) if current.header.owner == owner => {
                // The record stays as it is: should the answer to the earlier
                // try be stored after all, the session lives on with it.
                self.telemetry.refresh("rotation_lost", &provider.0);
                tracing::warn!(
                    reason = "rotation_lost",
                    provider.id = %provider,
                    session.reference = current.id.reference(),
                    "an earlier refresh spent the token and its answer was lost, a new sign-in is needed"
                );
                let retry_at = self.clock.now().plus(LOST_PAUSE);
                let class = FailClass::ROTATION_LOST;
                self.note_failed(&current, class.reason(), class, retry_at);
                self.release(&current, owner, false, retry_at, class).await;
                Freshness::Ended {
                    reason: class.reason(),
                }
            }
            Rival::Silent(current) => self.not_landed(current),
        }
    }

    async fn rival(&self, session: &Session, owner: Owner) -> Rival {
        let end = Instant::now() + WINNER_WAIT;
        loop {
            let current = match self.sessions.reload(session).await {
                Ok(Found::Live(current)) => current,
                Ok(Found::Ended(ending)) => return Rival::Ended(ending),
                Err(error) => return Rival::Unreadable(error),
            };
            let header = &current.header;
            if header.rt_fp != session.header.rt_fp {
                return Rival::Won(current);
            }
            let sent_before = header.tries > 1 || header.graced;
            let ours = header.owner == owner;
            if ours && !sent_before {
                return Rival::Nobody(current);
            }
            if Instant::now() >= end {
                return Rival::Silent(current);
            }
            let jitter = u64::from(random::bytes::<1>()[0]) / 2;
            sleep(Duration::from_millis(100 + jitter)).await;
        }
    }

    /// No refresh before `retry_at`: what the session may do until then.
    pub(super) fn held(
        &self,
        session: Session,
        retry_at: Timestamp,
        class: FailClass,
    ) -> Freshness {
        let now = self.clock.now();
        if now < session.header.access_exp {
            return Freshness::Fresh(session);
        }
        if class.ends_with_access_token() {
            return Freshness::Ended {
                reason: class.reason(),
            };
        }
        if now < session.header.access_exp.plus(self.settings.outage_grace) {
            return Freshness::Fresh(session);
        }
        Freshness::Unavailable {
            reason: class.reason(),
            retry_after: retry_at.since(now).max(Duration::from_secs(1)),
        }
    }

    /// The refresh that was waited for takes longer.
    pub(super) fn not_landed(&self, session: Session) -> Freshness {
        let ends = session.header.access_exp.plus(self.settings.outage_grace);
        if self.clock.now() < ends {
            return Freshness::Fresh(session);
        }
        still_under_way()
    }

    /// Tells the operator once what many sessions share, and lets refreshes
    /// take turns while tokens are refused in numbers.
    async fn alarm(&self, session: &Session, error: &ProviderError) {
        let provider = &session.identity.provider;
        let Some(alert) = Alert::of(&error.class) else {
            return;
        };
        let now = self.clock.now();
        let told = self
            .alerts
            .note(alert, error.reason(), provider, session.id, now);
        if told != Told::Nothing && alert == Alert::GrantsRefused {
            self.pace.space_out(provider, now);
        }
        if told != Told::Now {
            return;
        }
        let key = format!("{} {provider}", alert.as_str());
        let seen = self.sessions.once("alert", key.as_bytes(), ALERT_TOLD);
        // Without a store it is told by everybody rather than by nobody.
        if matches!(seen.await, Ok(Once::Seen(_))) {
            return;
        }
        self.telemetry.alert(alert.as_str(), &provider.0);
        tracing::error!(
            alert = alert.as_str(),
            reason = error.reason(),
            detail = error.detail,
            provider.id = %provider,
            "{}",
            alert.text()
        );
    }

    /// A refresh of this provider worked: nobody is held back any longer.
    pub(super) fn worked(&self, provider: &ProviderId) {
        let was_held = self.pace.release(provider);
        if self.alerts.worked(provider) || was_held {
            tracing::info!(provider.id = %provider, "refreshes work again");
        }
    }

    pub(super) async fn end(&self, session: Session, reason: &'static str) -> Freshness {
        match self.sessions.revoke_because(&session, reason).await {
            Ok(()) => Freshness::Ended { reason },
            Err(error) => store_unavailable(&error),
        }
    }

    pub(super) async fn release(
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
