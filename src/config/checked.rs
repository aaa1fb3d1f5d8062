//! The checked configuration: every value parsed, every contradiction gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

pub use super::identity_preset::{IdentityPreset, Preset};
pub use super::redis_url::{HostPort, RedisPlace, RedisUrl, RedisUrlError};
use crate::base::key_ring::KeyRing;
use crate::base::secret_file::LiveSecret;
use crate::model::access::{Access, AccessRule, LaneRule, Preflight};
use crate::model::identity::ProviderId;
use crate::model::origin::{Authority, Origin};
use crate::model::path_prefix::PathPrefix;
use crate::model::pattern::PathPattern;

#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub session: Session,
    pub store: Store,
    pub keys: Keys,
    /// Never empty.
    pub providers: BTreeMap<ProviderId, Provider>,
    /// Never empty; most specific host first, then longest path first.
    pub routes: Vec<Route>,
    pub pages: Pages,
    pub log: Log,
    pub limits: Limits,
    /// How often providers are asked without a sign-in; `None`: never.
    pub self_test: Option<Duration>,
    pub trace: Trace,
    pub shadow: Option<Shadow>,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: Vec<ListenAddr>,
    /// Where browsers sign in; `redirect_uri` is always built from it.
    pub public_url: Origin,
    /// Own endpoints live below it: "/oauth2". No trailing slash.
    pub prefix: String,
    pub trusted_proxies: Vec<IpNet>,
    /// Extra places that `return_to` may lead to.
    pub return_to_hosts: Vec<ReturnToHost>,
    /// `None`: plain text, for a front that does TLS.
    pub tls: Option<ServerTls>,
    /// Never zero.
    pub workers: usize,
    pub runtime: Runtime,
}

/// Our own certificate and its key: PEM files that fitted together when the
/// configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub certificate_file: PathBuf,
    pub private_key_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddr {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnToHost {
    /// `a.example.com` or `b.example.com:8443`.
    Exact(Authority),
    /// `.example.com`: everything below it, not the name itself.
    Below(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    PerCore,
    Shared,
}

#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    pub ready_requires_store: bool,
}

#[derive(Debug, Clone)]
pub struct Session {
    /// For what waits on disk while the store is away. May not exist.
    pub folder: PathBuf,
    pub lifetime: Duration,
    pub idle_timeout: Duration,
    pub identity_max_age: Duration,
    /// How long after the end of an access token its session goes on while
    /// the provider is in trouble, on routes that do not pass the token on.
    pub outage_grace: Duration,
    /// How old what was read of a session may be while the store is away.
    /// Zero: nobody is served then.
    pub max_stale: Duration,
    /// `session.cookie_domain`; `None` keeps the cookie on one host.
    pub cookie_domain: Option<String>,
    pub same_site: SameSite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
}

#[derive(Debug, Clone)]
pub enum Store {
    /// Tests and the library only.
    Memory,
    /// The database file itself.
    Embedded {
        path: PathBuf,
    },
    Redis(Redis),
}

#[derive(Debug, Clone)]
pub struct Redis {
    pub url: RedisUrl,
    pub username: Option<String>,
    pub password: Option<LiveSecret>,
    pub sentinel_username: Option<String>,
    pub sentinel_password: Option<LiveSecret>,
    pub ca_file: Option<PathBuf>,
    /// Also the namespace that is bound into every seal.
    pub key_prefix: String,
}

#[derive(Debug, Clone)]
pub struct Keys {
    pub ring: KeyRing,
    /// Where it was read from, for messages.
    pub origin: String,
}

#[derive(Debug, Clone)]
pub struct Provider {
    pub id: ProviderId,
    /// What the sign-in page calls it.
    pub name: String,
    pub issuer: String,
    /// The same provider as we reach it (an origin).
    pub internal_url: Option<Origin>,
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<LiveSecret>,
    pub scopes: Vec<String>,
    pub offline_access: OfflineAccess,
    pub email_verified: EmailVerified,
    pub claims: ClaimNames,
    /// Never refresh earlier than this before the end of the access token.
    pub refresh_skew_max: Duration,
    /// A token of unknown outcome may be sent again for so long; zero: only
    /// once, when the access token has ended.
    pub rotation_grace: Duration,
    /// Extra trust anchors (PEM) for calls to this provider.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflineAccess {
    /// Asked for where discovery lists the scope.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailVerified {
    Require,
    Trust,
    Ignore,
}

/// Where claims are found; a name beginning with "/" is a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    pub groups: String,
    pub email: String,
    pub username: String,
    pub name: String,
    /// Claims that some route puts into a header.
    pub extra: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Route {
    pub id: String,
    pub hosts: Vec<RouteHost>,
    pub path: PathPattern,
    pub upstream: Upstream,
    pub upstream_tls: UpstreamTls,
    /// Applied before anything is judged.
    pub prefix: PathPrefix,
    pub preserve_host: bool,
    /// `None` only where no request can reach the session lane.
    pub access: Option<Access>,
    /// Beats `access`.
    pub deny: Vec<AccessRule>,
    pub rules: Vec<LaneRule>,
    /// Whether `%2f` may stand in a path; session and deny lanes only.
    pub encoded_slash: bool,
    pub preflight: Preflight,
    pub identity: IdentityRules,
    /// `[route.ID.headers]`, beyond the preset.
    pub headers: Vec<CustomHeader>,
    pub pass_access_token: bool,
    pub response_timeout: Duration,
    /// `None`: unlimited.
    pub max_body: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteHost {
    Exact(Authority),
    /// `*.example.com`: every name below it, at any depth, not the name
    /// itself. The host here is "example.com".
    Below(Authority),
    /// Every host; only lanes on which nobody is known.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    Http(Authority),
    Https(Authority),
    /// HTTP/2 in plain text.
    H2c(Authority),
    Unix(PathBuf),
}

/// What an application is told about a person, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRules {
    pub preset: IdentityPreset,
    pub user_from: UserFrom,
    /// Subjects are told without the provider before them, however many
    /// providers there are.
    pub shared_namespace: bool,
    /// The one provider whose people the access rules let in: their subjects
    /// are told without the provider before them too.
    pub only_provider: Option<ProviderId>,
    /// Between two groups, and between two values of a claim. Never empty.
    pub group_separator: String,
    /// The application's own cookies, cleared when a browser changes hands.
    pub clear_cookies: Vec<String>,
    /// They are cleared when somebody else arrives, because a shared cookie
    /// brings people to a host where nobody signs in.
    pub clear_on_arrival: bool,
}

impl Default for IdentityRules {
    fn default() -> Self {
        Self {
            preset: IdentityPreset::default(),
            user_from: UserFrom::Subject,
            shared_namespace: false,
            only_provider: None,
            group_separator: ",".to_owned(),
            clear_cookies: Vec::new(),
            clear_on_arrival: false,
        }
    }
}

/// As the configuration spells it.
impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
            Self::H2c(authority) => write!(f, "h2c://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Whom `https` upstreams are taken for, and who we are to them. The files
/// were there and fitted together when the configuration was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The only trust anchors (PEM); `None`: the public ones.
    pub ca_file: Option<PathBuf>,
    pub client: Option<ClientCertificate>,
    /// Instead of the host of the upstream.
    pub server_name: Option<String>,
}

/// What we show to upstreams that ask who is there. PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// What an application knows people by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserFrom {
    Subject,
    /// Pinned to the first person who brings it.
    Username,
    /// Verified, and pinned to the first person who brings it.
    Email,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomHeader {
    pub name: HeaderName,
    pub value: HeaderSource,
}

/// What a custom header carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderSource {
    /// What `user_from` says.
    User,
    Subject,
    Username,
    Email,
    Name,
    Groups,
    /// A claim by its name or JSON pointer.
    Claim(String),
}

#[derive(Debug, Clone)]
pub struct Pages {
    /// One provider: go straight on.
    pub auto: bool,
    pub name: Option<String>,
    /// The logo's bytes and media type, read at start.
    pub logo: Option<(Vec<u8>, &'static str)>,
    /// `#rrggbb`.
    pub accent: Option<String>,
    pub contact_url: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub json: bool,
    /// error, warn, info, debug or trace.
    pub level: String,
    pub access: bool,
    /// Whether an access line names the rule that decided.
    pub decisions: bool,
}

/// Who is told how answers were decided.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// `None`: nobody.
    pub admins: Option<Access>,
}

/// A policy that is judged beside the real one and only logged.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// As messages name it.
    pub file: PathBuf,
    /// Of which only routes, hosts and the prefix count.
    pub config: Box<Config>,
}

/// `[limits]`, reference/reliability section 7.
#[derive(Debug, Clone)]
pub struct Limits {
    pub request_head: usize,
    pub header_count: usize,
    pub head_timeout: Duration,
    pub keep_alive: Duration,
    pub tls_handshake_timeout: Duration,
    /// At once; more wait for a place.
    pub tls_handshakes: usize,
    /// Of one HTTP/2 connection.
    pub streams: usize,
    pub body_idle: Duration,
    pub websocket_idle: Duration,
    pub connect_timeout: Duration,
    pub connections: usize,
    pub connections_per_address: usize,
    pub in_flight: usize,
    pub upstream_connections: usize,
    pub upstream_idle: Duration,
    /// Connects in a row that fail until an upstream counts as down; zero:
    /// it never does.
    pub upstream_failures: u32,
    /// How long requests to it then fail at once.
    pub upstream_pause: Duration,
    pub provider_connect: Duration,
    pub provider_total: Duration,
    pub provider_body: usize,
    pub provider_parallel: usize,
    /// Failed calls in a row until a provider counts as unreachable; zero:
    /// it never does.
    pub provider_failures: u32,
    /// How often it is then asked whether it is back.
    pub provider_pause: Duration,
    pub store_timeout: Duration,
    pub login_starts_per_minute: u32,
    /// Of one address, on the lanes public and backend-token.
    pub open_requests_per_minute: u32,
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_head: 32 * 1024,
            header_count: 100,
            head_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(60),
            tls_handshake_timeout: Duration::from_secs(10),
            tls_handshakes: 256,
            streams: 100,
            body_idle: Duration::from_secs(300),
            websocket_idle: Duration::from_secs(3600),
            connect_timeout: Duration::from_secs(5),
            connections: 10_000,
            connections_per_address: 256,
            in_flight: 4096,
            upstream_connections: 1024,
            upstream_idle: Duration::from_secs(4),
            upstream_failures: 3,
            upstream_pause: Duration::from_secs(2),
            provider_connect: Duration::from_secs(3),
            provider_total: Duration::from_secs(10),
            provider_body: 1024 * 1024,
            provider_parallel: 64,
            provider_failures: 5,
            provider_pause: Duration::from_secs(5),
            store_timeout: Duration::from_millis(500),
            login_starts_per_minute: 60,
            open_requests_per_minute: 6000,
            drain: Duration::from_secs(300),
        }
    }
}
