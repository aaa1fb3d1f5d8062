//! Sign-outs that a provider orders without the browser (OpenID Connect
//! Back-Channel Logout 1.0).

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::base::clock::Clock;
use crate::base::fault::{Blame, Fault};
use crate::provider::{LOGOUT_TOKEN_REMEMBERED, LogoutTokenError, Providers};
use crate::session::provider_sign_out::SignOutOrder;
use crate::session::sessions::{SessionError, Sessions};
use crate::session::store::Once;
use crate::telemetry::Telemetry;

/// Orders worked on at once; each costs a signature and some calls to the
/// store.
const AT_ONCE: usize = 64;
/// How long the others wait for a place before they are told to come again.
const PATIENCE: Duration = Duration::from_secs(2);
const PURPOSE: &str = "logout token";

#[derive(Debug, thiserror::Error)]
pub enum BackChannelError {
    #[error(transparent)]
    Token(#[from] LogoutTokenError),
    #[error("this logout token was carried out before")]
    Replayed,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("too many sign-outs of providers are under way")]
    Busy,
    /// The detached task died; its cause is in the log.
    #[error("the sign-out ended without a result")]
    Lost,
}

impl Fault for BackChannelError {
    fn blame(&self) -> Blame {
        match self {
            Self::Token(error) => error.blame(),
            Self::Session(error) => error.blame(),
            Self::Replayed => Blame::Client,
            Self::Busy | Self::Lost => Blame::Gateway,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Token(error) => error.reason(),
            Self::Session(error) => error.reason(),
            Self::Replayed => "logout_token_replayed",
            Self::Busy => "overloaded",
            Self::Lost => "internal",
        }
    }
}

impl BackChannelError {
    /// The fault is the token's: sending it again changes nothing.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Token(error) => !matches!(error, LogoutTokenError::Provider(_)),
            Self::Replayed => true,
            Self::Session(_) | Self::Busy | Self::Lost => false,
        }
    }
}

/// The door: one value for the process.
#[derive(Clone)]
pub struct BackChannel {
    inner: Arc<Inner>,
}

struct Inner {
    sessions: Arc<Sessions>,
    providers: Arc<Providers>,
    telemetry: Telemetry,
    clock: Clock,
    control: Handle,
    places: Semaphore,
}

impl BackChannel {
    /// `control` is the runtime for slow work.
    pub fn new(
        sessions: Arc<Sessions>,
        providers: Arc<Providers>,
        telemetry: Telemetry,
        clock: Clock,
        control: Handle,
    ) -> Self {
        let inner = Inner {
            sessions,
            providers,
            telemetry,
            clock,
            control,
            places: Semaphore::new(AT_ONCE),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Carries out the order, to its end even if the provider hangs up. The
    /// answer is true only after every session that is meant has ended.
    pub async fn sign_out(&self, token: String) -> Result<(), BackChannelError> {
        let inner = Arc::clone(&self.inner);
        let work = self
            .inner
            .control
            .spawn(async move { inner.sign_out(&token).await });
        let result = work.await.unwrap_or(Err(BackChannelError::Lost));
        let reason = result.as_ref().err().map_or("ok", Fault::reason);
        self.inner.telemetry.back_channel_logout(reason);
        result
    }
}

impl Inner {
    async fn sign_out(&self, token: &str) -> Result<(), BackChannelError> {
        let place = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(BackChannelError::Busy);
        };
        let now = self.clock.now();
        let request = self.providers.logout_request(token, now).await?;
        let key = format!("{}\n{}", request.issuer, request.id);
        let key = key.as_bytes();
        let remembered = LOGOUT_TOKEN_REMEMBERED;
        match self.sessions.once(PURPOSE, key, remembered).await? {
            Once::Seen(done) if !done.is_empty() => return Err(BackChannelError::Replayed),
            // Begun and not finished: a crash, a store that failed half-way, or
            // a twin at this moment. Ending a session twice does no harm.
            Once::Seen(_) | Once::First => {}
        }
        let ended = self
            .sessions
            .sign_out_by_provider(SignOutOrder {
                issuer: &request.issuer,
                subject: request.subject.as_deref(),
                provider_session: request.session.as_deref(),
            })
            .await?;
        tracing::info!(
            issuer = %request.issuer,
            sessions.ended = ended,
            "the provider signed somebody out (back-channel logout)"
        );
        if let Err(error) = self
            .sessions
            .once_finish(PURPOSE, key, b"done".to_vec())
            .await
        {
            tracing::warn!(
                reason = error.reason(),
                "a logout token was carried out but not marked as used"
            );
        }
        Ok(())
    }
}
