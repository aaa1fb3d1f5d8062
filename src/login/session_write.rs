//! The last step of a sign-in: the session is stored, or nothing of it stays.
//! The code is spent by now, so a store that is away for a moment is waited
//! for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Inner;
use super::attempt_log::Attempt;
use super::error::{LoginError, Phase};
use super::exchange::{Finished, Stopped, Work};
use crate::base::fault::Fault;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;
use crate::provider::Provider;
use crate::session::sessions::{Draft, NewSession, SessionError};

/// The pause before the first new try; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(1);
/// No new try after this long.
const PATIENCE: Duration = Duration::from_secs(4);

impl Inner {
    pub(super) async fn write_session(
        &self,
        provider: &Arc<Provider>,
        work: &Work,
        identity: &Identity,
        tokens: TokenSet,
        attempt: Attempt<'_>,
    ) -> Result<Finished, Stopped> {
        let began = Instant::now();
        let new = NewSession {
            identity,
            tokens: &tokens,
            scope: &self.home,
            seed: &work.derived.ticket_seed,
            user_agent: work.user_agent.as_deref(),
            began_at: work.transaction.started_at,
        };
        let written = match self.sessions.draft(new) {
            Ok(draft) => self.write_patiently(draft, attempt).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(draft) => {
                attempt.passed(Phase::SessionWrite, began.elapsed());
                Ok(Finished {
                    ticket: draft.ticket,
                    session: draft.session,
                })
            }
            Err(error) => {
                let provider = Arc::clone(provider);
                self.control
                    .spawn(async move { provider.revoke(&tokens).await });
                Err(Stopped::at(Phase::SessionWrite, error.into()))
            }
        }
    }

    async fn write_patiently(
        &self,
        draft: Draft,
        attempt: Attempt<'_>,
    ) -> Result<Draft, SessionError> {
        let began = Instant::now();
        let mut pause = PAUSE;
        let mut tries = 0;
        loop {
            let error = match self.sessions.keep(&draft).await {
                Ok(()) => return Ok(draft),
                Err(error) => error,
            };
            if !error.may_pass() || began.elapsed() + pause > PATIENCE {
                // Ended by an order of the provider: that is done.
                if !matches!(error, SessionError::SignedOutMeanwhile) {
                    self.withdraw(&draft).await;
                }
                return Err(error);
            }
            tries += 1;
            attempt.again(Phase::SessionWrite, tries, &LoginError::from(error));
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    /// A write whose answer never came may have been done, or be done yet:
    /// then it must lead nowhere.
    async fn withdraw(&self, draft: &Draft) {
        let reason = "session_write_failed";
        if let Err(error) = self.sessions.revoke_because(&draft.session, reason).await {
            tracing::warn!(
                reason = error.reason(),
                session.reference = draft.session.id.reference(),
                "a session that was not stored whole could not be ended; its tokens are revoked"
            );
        }
    }
}
