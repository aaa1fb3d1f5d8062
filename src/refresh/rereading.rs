//! Who somebody is may have changed: claims are read again with the tokens
//! that a refresh brought.

use super::due;
use super::outcome::{Effect, Freshness};
use super::refresher::Inner;
use crate::base::fault::Fault;
use crate::model::tokens::TokenSet;
use crate::provider::Provider;
use crate::session::sessions::Session;

impl Inner {
    pub(super) async fn reread_claims(
        &self,
        provider: &Provider,
        session: Session,
        renewed: &TokenSet,
    ) -> Freshness {
        match provider.reidentify(renewed, &session.identity).await {
            Ok(None) => {
                let now = self.clock.now();
                if now < due::claims_end(&session, self.limits(&session)) {
                    return Freshness::Fresh(session);
                }
                self.untold.note(&session, now);
                Freshness::Ended {
                    reason: due::IDENTITY_TOO_OLD,
                }
            }
            Ok(Some(identity)) => {
                if let Err(error) = self.sessions.put_identity(&session, &identity).await {
                    tracing::warn!(
                        reason = error.reason(),
                        session.reference = session.id.reference(),
                        "claims were read again but not stored; the next refresh reads them again"
                    );
                }
                Freshness::Fresh(session.with_identity(identity))
            }
            Err(error) if Effect::of(&error) == Effect::Ends => {
                tracing::error!(
                    reason = error.reason(),
                    session.reference = session.id.reference(),
                    provider.id = %session.identity.provider,
                    "refreshed tokens are not this person's, session ended"
                );
                self.end(session, error.reason()).await
            }
            Err(error) => {
                tracing::warn!(
                    reason = error.reason(),
                    detail = %error,
                    provider.id = %session.identity.provider,
                    session.reference = session.id.reference(),
                    "claims could not be read again after a refresh"
                );
                Freshness::Fresh(session)
            }
        }
    }
}
