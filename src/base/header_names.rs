//! Every header name that the gateway speaks beyond HTTP's own.

use http::HeaderName;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: HeaderName = HeaderName::from_static($text);)*

        /// The same names as text, for a `match`.
        pub mod text {
            $($(#[$doc])* pub const $name: &str = $text;)*
        }
    };
}

names! {
    X_FORWARDED_FOR = "x-forwarded-for";
    X_FORWARDED_PROTO = "x-forwarded-proto";
    X_FORWARDED_HOST = "x-forwarded-host";
    X_FORWARDED_PORT = "x-forwarded-port";
    X_FORWARDED_PREFIX = "x-forwarded-prefix";
    X_REAL_IP = "x-real-ip";
    X_REQUEST_ID = "x-request-id";
    X_REQUESTED_WITH = "x-requested-with";
    SEC_FETCH_SITE = "sec-fetch-site";
    SEC_FETCH_MODE = "sec-fetch-mode";
    SEC_FETCH_DEST = "sec-fetch-dest";
    SEC_PURPOSE = "sec-purpose";
    KEEP_ALIVE = "keep-alive";
    PROXY_CONNECTION = "proxy-connection";
    HTTP2_SETTINGS = "http2-settings";
    CLEAR_SITE_DATA = "clear-site-data";
    CROSS_ORIGIN_OPENER_POLICY = "cross-origin-opener-policy";
    /// The user id of the default preset.
    X_FORWARDED_USER = "x-forwarded-user";
    X_FORWARDED_EMAIL = "x-forwarded-email";
    X_FORWARDED_GROUPS = "x-forwarded-groups";
    X_FORWARDED_PREFERRED_USERNAME = "x-forwarded-preferred-username";
    X_FORWARDED_ACCESS_TOKEN = "x-forwarded-access-token";
    REMOTE_USER = "remote-user";
    REMOTE_EMAIL = "remote-email";
    REMOTE_NAME = "remote-name";
    REMOTE_GROUPS = "remote-groups";
    REMOTE_USER_UNDERSCORED = "remote_user";
    X_REMOTE_USER = "x-remote-user";
    X_FORWARDED_NAME = "x-forwarded-name";
    X_FORWARDED_MAIL = "x-forwarded-mail";
    X_FORWARDED_DISPLAYNAME = "x-forwarded-displayname";
    X_WEBAUTH_USER = "x-webauth-user";
    X_WEBAUTH_EMAIL = "x-webauth-email";
    X_WEBAUTH_NAME = "x-webauth-name";
    X_WEBAUTH_FULLNAME = "x-webauth-fullname";
    X_WEBAUTH_GROUPS = "x-webauth-groups";
    X_PROXY_USER = "x-proxy-user";
    X_PROXY_ROLES = "x-proxy-roles";
    /// How an answer was decided; for people in `trace.admins` only.
    X_VESTIBULE_DECISION = "x-vestibule-decision";
}

/// Cookies of the session by scope, and of logins under way. A cookie name is
/// part of the same contract as a header name.
pub const SESSION_COOKIE_HOST: &str = "__Host-vestibule";
pub const SESSION_COOKIE_DOMAIN: &str = "__Secure-vestibule";
/// Plain http on loopback only.
pub const SESSION_COOKIE_LOOPBACK: &str = "vestibule";
/// Followed by the tag of the attempt.
pub const TRANSACTION_COOKIE_HOST: &str = "__Host-vestibule-t-";
pub const TRANSACTION_COOKIE: &str = "vestibule-t-";
/// Whose browser it was on this host, below a shared cookie domain.
pub const PERSON_COOKIE_HOST: &str = "__Host-vestibule-p-1";
pub const PERSON_COOKIE: &str = "vestibule-p-1";
/// Followed by the tag of the hand-off.
pub const HAND_OFF_COOKIE_HOST: &str = "__Host-vestibule-h-";
pub const HAND_OFF_COOKIE: &str = "vestibule-h-";
/// What a browser keeps of a sign-in that succeeded, for a minute or two.
pub const RECENT_COOKIE_HOST: &str = "__Host-vestibule-r-";
pub const RECENT_COOKIE: &str = "vestibule-r-";
