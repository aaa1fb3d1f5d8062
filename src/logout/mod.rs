//! Signing out: the record ends first, then the browser's cookie, then the
//! session at the provider.
//!
//! Owns: revocation on request, proof that the person asked, RP-initiated
//! logout (OpenID Connect RP-Initiated Logout 1.0), back-channel logout.
//! Must not know: pages, routes.

mod back_channel;

pub use back_channel::{BackChannel, BackChannelError};

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use url::Url;

use crate::base::clock::{Clock, Timestamp};
use crate::base::key_ring::{KeyId, KeyRing, RingKey};
use crate::base::offload::Offload;
use crate::base::random;
use crate::base::seal::{self, Binding};
use crate::provider::Providers;
use crate::session::sessions::{Reach, Session, SessionError, Sessions};
use crate::session::ticket::Ticket;

/// A sign-out at the provider may take this long to come back.
const STATE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// How long a browser may take from another host to `public_url`'s.
const PASSED_ON_LIFETIME: std::time::Duration = std::time::Duration::from_secs(30);
const PASSED_ON: &str = "sign-out passed on";

/// The door: one value for the process.
pub struct Logout {
    pub sessions: Arc<Sessions>,
    pub providers: Arc<Providers>,
    pub ring: KeyRing,
    pub namespace: String,
    pub clock: Clock,
    /// `{public_url}{prefix}/sign_out`: registered at the provider.
    pub post_logout_redirect_uri: String,
    /// Has tokens revoked while nobody waits.
    pub offload: Offload,
}

impl Logout {
    /// Ends the session here and in the store, or here until the store can be
    /// told, and has its tokens revoked, which nobody waits for; then says
    /// where the browser can end its session at the provider, if the provider
    /// announces such a place. Whoever asks lets it come to its end.
    pub async fn end(
        &self,
        session: &Session,
        return_to: &str,
    ) -> Result<Option<Url>, SessionError> {
        // Read before the record ends: the hint is sealed in it.
        let tokens = session.tokens().ok();
        let id_token = tokens.as_ref().and_then(|tokens| tokens.id_token.clone());
        let reach = self.sessions.sign_out(session).await?;
        tracing::info!(
            session.reference = session.id.reference(),
            provider.id = %session.identity.provider,
            everywhere = reach == Reach::Everywhere,
            "signed out"
        );
        let Some(provider) = self.providers.get(&session.identity.provider) else {
            return Ok(None);
        };
        if let Some(tokens) = tokens {
            let provider = Arc::clone(provider);
            self.offload
                .detach(async move { provider.revoke(&tokens).await });
        }
        let state = self.seal_state(return_to);
        Ok(provider
            .end_session_url(
                id_token.as_ref(),
                &self.post_logout_redirect_uri,
                Some(&state),
            )
            .await)
    }

    /// Ends the sessions of tickets that cannot be read because the store is
    /// away. Nothing is known of their provider, so nothing ends there.
    pub async fn end_unread(&self, tickets: &[Ticket]) -> Result<(), SessionError> {
        for ticket in tickets {
            self.sessions.sign_out_unread(ticket).await?;
        }
        tracing::info!(
            tickets = tickets.len(),
            everywhere = false,
            "signed out, and the store is told when it is back"
        );
        Ok(())
    }

    /// Whether other replicas have yet to learn of sign-outs at this one.
    pub fn others_follow(&self) -> bool {
        self.sessions.sign_outs_waiting() > 0
    }

    /// Leaves the address at the provider for `public_url`'s host, where the
    /// browser goes first to lose its cookie. It holds the ID token, so only
    /// a code travels.
    pub async fn pass_on(&self, at_provider: &Url) -> Result<String, SessionError> {
        let code = random::bytes::<32>();
        let address = at_provider.as_str().as_bytes();
        self.sessions
            .leave(PASSED_ON, &code, address, PASSED_ON_LIFETIME)
            .await?;
        Ok(URL_SAFE_NO_PAD.encode(code))
    }

    /// What `pass_on` left; once.
    pub async fn passed_on(&self, code: &str) -> Result<Option<Url>, SessionError> {
        let bytes = URL_SAFE_NO_PAD.decode(code).ok();
        let Some(code) = bytes.and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(None);
        };
        let address = self.sessions.take(PASSED_ON, &code).await?;
        Ok(address.and_then(|address| Url::parse(std::str::from_utf8(&address).ok()?).ok()))
    }

    /// Ends a session that another sign-in of the same browser replaced. Its
    /// tokens expire: at some providers both belong to one session there, and
    /// a revocation would end the new one too.
    pub async fn replace(&self, session: &Session) -> Result<(), SessionError> {
        self.sessions
            .revoke_because(session, "session_replaced")
            .await
    }

    /// A token that only the holder of this ticket can show.
    pub fn csrf_token(&self, ticket: &Ticket) -> String {
        self.csrf_token_of(self.ring.writer(), ticket)
    }

    /// Any key of the ring will do: a page may come from a replica that
    /// writes with another one.
    pub fn csrf_token_fits(&self, ticket: &Ticket, shown: &str) -> bool {
        self.ring.all().iter().any(|key| {
            let token = self.csrf_token_of(key, ticket);
            token.as_bytes().ct_eq(shown.as_bytes()).into()
        })
    }

    fn csrf_token_of(&self, key: &RingKey, ticket: &Ticket) -> String {
        let text = self.sessions.ticket_text(ticket);
        let digest = key.derive("sign-out csrf", &[text.as_bytes()]);
        URL_SAFE_NO_PAD.encode(&digest[..16])
    }

    /// Where to go after the provider sent the browser back; `None` if the
    /// state is missing, changed or old (RP-Initiated Logout section 3).
    pub fn return_to(&self, state: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(state).ok()?;
        let (id, sealed) = bytes.split_first_chunk::<2>()?;
        let key = self.ring.find(KeyId(*id))?;
        let plain = seal::open(&key.derive("logout state", &[]), self.binding(), sealed).ok()?;
        let (at, return_to) = plain.split_first_chunk::<8>()?;
        let at = Timestamp(u64::from_be_bytes(*at));
        if self.clock.now().since(at) > STATE_LIFETIME {
            return None;
        }
        String::from_utf8(return_to.to_vec()).ok()
    }

    fn seal_state(&self, return_to: &str) -> String {
        let key = self.ring.writer();
        let mut plain = self.clock.now().as_millis().to_be_bytes().to_vec();
        plain.extend_from_slice(return_to.as_bytes());
        let mut out = key.id().0.to_vec();
        out.extend(seal::seal(
            &key.derive("logout state", &[]),
            self.binding(),
            &plain,
        ));
        URL_SAFE_NO_PAD.encode(out)
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            namespace: &self.namespace,
            kind: "logout-state",
            name: b"",
        }
    }
}
