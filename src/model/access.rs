//! Who may pass, as written in the configuration and checked. Evaluated by
//! `policy`.

use std::collections::BTreeMap;

use http::Method;
use ipnet::IpNet;

use super::header_pattern::HeaderPattern;
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

impl Access {
    /// None where everybody who signs in may pass.
    pub fn rules(&self) -> &[AccessRule] {
        match self {
            Self::SignedIn => &[],
            Self::AnyOf(rules) => rules,
        }
    }
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
    /// Exactly as the provider spells them.
    pub subjects: Vec<String>,
    pub usernames: Vec<String>,
    /// By name or JSON pointer: one of these values.
    pub claims: BTreeMap<String, Vec<String>>,
    /// Where the client is. Narrows, never replaces signing in.
    pub client_networks: Vec<IpNet>,
}

/// What a request may do without more questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Only with a session that the access rules let pass.
    Session,
    /// For everybody; the identity of somebody who is signed in travels.
    Optional,
    /// For everybody; no identity travels.
    Public,
    /// For everybody with a token of the application, which alone can judge
    /// it. Neither identity nor cookies travel.
    BackendToken,
    /// For nobody.
    Deny,
}

impl Lane {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Optional => "optional",
            Self::BackendToken => "backend-token",
            Self::Public => "public",
            Self::Deny => "deny",
        }
    }

    /// Whether a request passes here without anybody being signed in. Rules
    /// of such lanes match a canonical path only.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Optional | Self::Public | Self::BackendToken)
    }

    /// Whether it matters who is signed in.
    pub const fn knows_people(self) -> bool {
        matches!(self, Self::Session | Self::Optional)
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
    /// What the request must carry besides. Backend-token lane only, and
    /// always there.
    pub header: Option<HeaderPattern>,
    pub lane: Lane,
    /// ANDed with the access of the route. Session lane only.
    pub access: Option<Access>,
    /// Beats every `access`, as that of the route. Session lane only.
    pub deny: Vec<AccessRule>,
    pub unauthenticated: Unauthenticated,
    /// Open lanes only: whether upgrades (websocket) may pass.
    pub upgrade: bool,
}

impl LaneRule {
    /// No request goes on to the next rule. An open lane leaves odd spellings
    /// and unknown methods to the session lane; they count as nothing here.
    pub fn takes_everything(&self) -> bool {
        self.path.is_everything() && self.methods.is_empty() && self.header.is_none()
    }

    /// A rule for one lane and nothing more.
    pub const fn plain(lane: Lane, path: PathPattern) -> Self {
        Self {
            methods: Vec::new(),
            path,
            header: None,
            lane,
            access: None,
            deny: Vec::new(),
            unauthenticated: Unauthenticated::Auto,
            upgrade: false,
        }
    }
}

/// What happens to a CORS preflight, which never carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preflight {
    /// Like every other request.
    #[default]
    Session,
    /// It goes to the application, without identity and cookies.
    Pass,
}
