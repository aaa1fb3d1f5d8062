//! Who somebody is, as told by verified claims. The key of a person is always
//! issuer and subject; names and mail addresses are attributes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// The id of a provider in the configuration (`[provider.ID]`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProviderId(pub String);

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The groups of a person. `Unknown` is not "none": it never matches
/// `access` and always matches `deny`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Groups {
    Known(Vec<String>),
    /// The provider said that there are more than it told, or the claim has a
    /// form that cannot be read.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    pub provider: ProviderId,
    pub issuer: String,
    pub subject: String,
    pub username: Option<String>,
    pub name: Option<String>,
    /// As the provider wrote it. Use [`Identity::verified_email`] to decide.
    pub email: Option<String>,
    pub email_verified: bool,
    pub groups: Groups,
    /// Further claims that some route wants in a header or judges by, by their
    /// name in the configuration. `null`: it is there and was not kept.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// The provider's own session id (`sid`), for sign-out at the provider.
    pub provider_session: Option<String>,
    /// When the provider last told these claims.
    pub read_at: Timestamp,
}

impl Identity {
    /// The mail address, if the provider vouches for it and it has exactly
    /// one "@" with something on both sides.
    pub fn verified_email(&self) -> Option<&str> {
        let email = self.email.as_deref()?;
        let (local, domain) = email.split_once('@')?;
        let whole = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
        (self.email_verified && whole).then_some(email)
    }
}
