//! The relying party's conversation with an OpenID Connect provider:
//! discovery, keys, the code exchange, refresh, ID tokens, userinfo, and what
//! each answer means.
//!
//! Owns: the outbound HTTP client, metadata and key caches, the duties on
//! tokens, the classes of failure. Keeps nothing about a session.
//! Must not know: sessions, stores, cookies, routes, pages.

mod breaker;
mod browser_urls;
mod claims;
mod classify;
mod client;
mod connector;
mod conversation;
mod document;
mod error;
mod id_token;
mod json;
mod jwks;
mod logout_token;
mod metadata;
mod peer_certificate;
mod registry;
mod revocation;
mod self_check;
mod token_endpoint;
mod userinfo;

#[cfg(test)]
mod scripted;

pub use breaker::Refusal;
pub use browser_urls::AuthorizationRequest;
pub use conversation::{Provider, Verified};
pub use error::{Class, IdTokenFlaw, Phase, ProviderError, Sent};
pub use logout_token::{LogoutRequest, LogoutTokenError, REMEMBER as LOGOUT_TOKEN_REMEMBERED};
pub use metadata::Metadata;
pub use registry::Providers;
pub use self_check::{Finding, SelfCheck, Step, Verdict};
pub use token_endpoint::CodeExchange;
