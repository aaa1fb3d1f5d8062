//! Who may pass, as written in the configuration and checked. Evaluated by
//! `policy`.

use http::Method;

use super::identity::ProviderId;
use super::pattern::PathPattern;

/// `access` of a route or of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// `"signed-in"` or `"anyone"`: whoever the provider signs in.
    SignedIn,
    /// One of these rules must match. Never empty.
    AnyOf(Vec<AccessRule>),
}

/// Every key that is present must match; inside a key one value is enough.
/// An absent key is an empty list here; at least one is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRule {
    pub provider: Option<ProviderId>,
    pub groups: Vec<String>,
    /// Whole addresses, lower case.
    pub emails: Vec<String>,
    /// ASCII domains, lower case, without "@".
    pub email_domains: Vec<String>,
}

/// What a request may do without more questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Only with a session that the access rules let pass.
    Session,
    /// For everybody; no identity travels.
    Public,
    /// For nobody.
    Deny,
}

impl Lane {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Public => "public",
            Self::Deny => "deny",
        }
    }
}

/// How a session lane answers somebody who is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unauthenticated {
    /// Redirect a navigation to the sign-in, answer 401 to everything else.
    #[default]
    Auto,
    /// Always 401.
    Status401,
}

/// One entry of `rules` of a route; the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRule {
    /// Empty: every method. GET does not imply HEAD.
    pub methods: Vec<Method>,
    pub path: PathPattern,
    pub lane: Lane,
    /// ANDed with the access of the route. Session lane only.
    pub access: Option<Access>,
    pub unauthenticated: Unauthenticated,
    /// Public lane only: whether upgrades (websocket) may pass.
    pub upgrade: bool,
}
