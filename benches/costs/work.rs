//! The pieces of the hot path, each to be repeated.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use secrecy::SecretString;
use tempfile::TempDir;
use vestibule::base::clock::{Clock, Timestamp};
use vestibule::base::random;
use vestibule::config;
use vestibule::config::checked::Config;
use vestibule::identity_headers::{Injection, ScrubList};
use vestibule::listener::{Connection, PeerAddr, Tunnels};
use vestibule::model::context::{Audience, RequestContext, RequestRef};
use vestibule::model::identity::{Groups, Identity, ProviderId};
use vestibule::model::origin::Scheme;
use vestibule::model::target::Target;
use vestibule::model::tokens::TokenSet;
use vestibule::page::{Action, ActionKind, Language, Pages, Problem};
use vestibule::proxy::{CookieField, CookieFilter, Rewrite, Survey};
use vestibule::route::{Found, Route, RouteTable};
use vestibule::session::cookie::{self, SessionCookies};
use vestibule::session::sessions::{self, NewSession, Session, Sessions, Warm};
use vestibule::session::store::memory::MemoryStore;
use vestibule::session::ticket::Ticket;
use vestibule::telemetry::{AccessLog, RequestLine, Telemetry};

use crate::Failure;
use crate::load;

/// Longer patterns are looked at before that of its route.
pub const PATH: &str = "/r1/item?page=2";

const AUTHORITY: &str = "app.localhost:4180";

/// How big the world is in which a piece is asked.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub routes: usize,
    pub rules: usize,
    pub groups: usize,
}

impl Size {
    /// A small installation.
    pub const USUAL: Self = Self {
        routes: 1,
        rules: 1,
        groups: 3,
    };
}

/// Everything that the pieces look at.
pub struct Bench {
    config: Config,
    headers: HeaderMap,
    uri: Uri,
    table: RouteTable,
    cookies: SessionCookies,
    sessions: Arc<Sessions>,
    now: Timestamp,
    _runtime: tokio::runtime::Runtime,
    ticket: Ticket,
    session: Session,
    telemetry: Telemetry,
    pages: Pages,
    _folder: TempDir,
}

pub fn identity(groups: usize) -> Identity {
    let clock = Clock::system();
    let mut all: Vec<String> = (1..groups)
        .map(|number| format!("group-{number}"))
        .collect();
    // The one that counts comes last.
    all.extend((groups > 0).then(|| "staff".to_owned()));
    Identity {
        provider: ProviderId("main".to_owned()),
        issuer: "https://id.example.com".to_owned(),
        subject: "7c9f2a34-1b7e-4f0e-9a55-0d8f3f1f6a11".to_owned(),
        username: Some("ann".to_owned()),
        name: Some("Ann Example".to_owned()),
        email: Some("ann@example.com".to_owned()),
        email_verified: true,
        groups: Groups::Known(all),
        claims: Default::default(),
        provider_session: None,
        read_at: clock.now(),
    }
}

/// Tokens of ordinary length: JWTs of about a kilobyte.
pub fn tokens(now: Timestamp) -> TokenSet {
    let token = |length| SecretString::from("t".repeat(length));
    TokenSet {
        access_token: token(1000),
        refresh_token: Some(token(200)),
        id_token: Some(token(900)),
        access_expires_at: now.plus(Duration::from_secs(3600)),
        received_at: now,
        scope: Some("openid email profile".to_owned()),
    }
}

/// As many routes below `/r1/`, `/r2/`… as asked, each with as many rules.
/// [`PATH`] belongs to the first, of which no rule matches.
pub fn routes(size: Size, upstream: &str) -> String {
    let mut text = String::new();
    for route in 1..=size.routes {
        let rules = (1..=size.rules)
            .map(|rule| format!("{{ path = \"/r{route}/open-{rule}/*\", lane = \"public\" }}, "));
        let rules: String = rules.collect();
        text.push_str(&format!(
            "[route.r{route}]\npath = \"/r{route}/*\"\nupstream = \"{upstream}\"\n\
             access = [ {{ groups = [\"staff\"] }}, {{ emails = [\"ann@example.com\"] }} ]\nidentity = \"dozzle\"\n\
             rules = [ {rules}]\n"
        ));
    }
    text
}

fn config_text(size: Size, folder: &std::path::Path) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:4180\"]\npublic_url = \"http://{AUTHORITY}\"\n\
         [session]\nstore = \"embedded\"\npath = \"{}\"\n\
         [provider.main]\nkind = \"oidc\"\nissuer = \"https://id.example.com\"\n\
         client_id = \"vestibule\"\nclient_secret_file = \"{}\"\n{}",
        folder.display(),
        folder.join("client_secret").display(),
        routes(size, "http://127.0.0.1:3000")
    )
}

impl Bench {
    pub fn new(size: Size) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let secret = folder.path().join("client_secret");
        std::fs::write(&secret, "a-secret-of-the-benchmark\n")
            .map_err(|error| error.to_string())?;
        restrict(&secret)?;
        let text = config_text(size, folder.path());
        let loaded = config::parse(&text, "the benchmark's", &[], folder.path())
            .map_err(|problems| format!("{problems}"))?;
        let config = loaded.config;
        let clock = Clock::system();
        let cookies = SessionCookies::new(&config.server, &config.session, clock.clone());
        let sessions = Sessions::new(
            Arc::new(MemoryStore::new(clock.clone())),
            config.keys.ring.clone(),
            clock.clone(),
            sessions::Settings {
                namespace: "benchmark".to_owned(),
                lifetime: config.session.lifetime,
                idle_timeout: config.session.idle_timeout,
            },
        );
        // For readings that age, which none does here.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let kept = Duration::from_secs(30);
        let sessions = Arc::new(sessions.caching(kept, runtime.handle().clone()));
        let (identity, tokens) = (identity(size.groups), tokens(clock.now()));
        let seed = random::bytes::<32>();
        let made = sessions.create(NewSession {
            identity: &identity,
            tokens: &tokens,
            scope: cookies.home_scope(),
            seed: &seed,
            user_agent: None,
            began_at: clock.now(),
        });
        let made = made.now_or_never().ok_or("memory does not wait")?;
        let (ticket, session) = made.map_err(|error| error.to_string())?;
        let read = sessions.find(&ticket).now_or_never();
        read.ok_or("memory does not wait")?
            .map_err(|error| error.to_string())?;
        let head = load::head(
            AUTHORITY,
            PATH,
            &format!("vestibule={}", ticket_text(&sessions, &ticket)),
        );
        let log = AccessLog::start(true, std::io::sink()).map_err(|error| error.to_string())?;
        Ok(Self {
            headers: headers(&head),
            uri: PATH.parse().map_err(|_| "no path")?,
            table: RouteTable::compile(&config),
            cookies,
            sessions,
            now: clock.now(),
            _runtime: runtime,
            ticket,
            session,
            telemetry: Telemetry::new(Some(log)),
            pages: Pages::new(&config.pages, &config.server.prefix),
            config,
            _folder: folder,
        })
    }

    /// The Cookie field: found, decoded, its MAC checked.
    pub fn cookie(&self) -> bool {
        let scope = self.cookies.home_scope();
        let fields = self.headers.get_all(http::header::COOKIE);
        let fields = fields.iter().map(HeaderValue::as_bytes);
        let found = self.cookies.of(scope).find(fields);
        self.sessions.open_ticket(&found, scope).is_some()
    }

    /// A session that was used a moment ago.
    pub fn session(&self) -> bool {
        matches!(self.sessions.warm(&self.ticket, self.now), Warm::Live(_))
    }

    pub fn target(&self) -> Option<Target> {
        Target::parse(&Method::GET, &self.uri, &self.headers).ok()
    }

    pub fn route<'a>(&'a self, target: &Target) -> Option<&'a Route> {
        match self.table.find(target) {
            Found::Route(route) => Some(route),
            _ => None,
        }
    }

    /// Lane and decision.
    pub fn policy(&self, route: &Route, target: &Target) -> bool {
        let lane = route.policy.lane(target, &self.headers);
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let decision = lane.decide(Some(&self.session.identity), client);
        matches!(decision, vestibule::policy::Decision::Permit(_))
    }

    /// The head as the upstream gets it: what clients may not say is left
    /// out, what it is to know is put in.
    pub fn scrub_and_inject(&self) -> Result<impl Fn() -> bool + '_, Failure> {
        let scrub = ScrubList::compile(&self.config.routes);
        let injection = self.injection();
        let ready = injection.render(&self.session.identity, None);
        let ready = ready.map_err(|error| error.to_string())?;
        let target = self.target().ok_or("not a target")?;
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = PeerAddr::Tcp((client, 40_000).into());
        let connection = Connection::new(peer, Tunnels::default());
        let context = RequestContext {
            target,
            client_addr: connection.address(),
            peer_addr: connection.address(),
            peer_trusted: false,
            scheme: Scheme::Https,
            audience: Audience::Navigation,
            reference: RequestRef(1),
            received_at: self.now,
        };
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.headers = self.headers.clone();
        let cookies = CookieFilter {
            strip: |field| match cookie::strip_own(field) {
                cookie::Stripped::Unchanged => CookieField::Unchanged,
                cookie::Stripped::Kept(rest) => http::HeaderValue::from_maybe_shared(rest)
                    .map_or(CookieField::Nothing, CookieField::Kept),
                cookie::Stripped::Nothing => CookieField::Nothing,
            },
            is_own: cookie::own_set_cookie,
        };
        Ok(move || {
            let rewrite = Rewrite {
                context: &context,
                connection: &connection,
                scrub: &scrub,
                cookies,
                passed_on: None,
                drop_cookies: false,
                own_host: None,
                stripped: None,
                identity: Some(&ready),
            };
            let there = Survey::of(&parts.headers, &scrub);
            let bytes = rewrite.bytes(&parts, there, &context.target);
            bytes.as_slice().ends_with(b"\r\n\r\n")
        })
    }

    /// Of the preset `default`, which has groups.
    fn injection(&self) -> Injection {
        let mut route = self.config.routes[0].clone();
        route.identity.preset = Default::default();
        Injection::compile(&route, false)
    }

    /// What happens to the headers of one person once per session and route.
    pub fn render(&self) -> impl Fn() -> bool + '_ {
        let injection = self.injection();
        move || injection.render(&self.session.identity, None).is_ok()
    }

    /// What somebody sees who may not pass.
    pub fn page(&self) -> bool {
        let page = self.pages.problem(
            Language::English,
            &Problem {
                status: http::StatusCode::FORBIDDEN,
                reason: "not_allowed",
                reference: RequestRef(0x0123_4567_89ab_cdef).to_string(),
                phase: None,
                because: None,
                next: vec![Action {
                    label: ActionKind::SwitchAccount,
                    href: format!("http://{AUTHORITY}/oauth2/sign_in"),
                }],
                retry_after: None,
                since: None,
                form_lost: false,
                signed_in_as: Some("Ann Example".to_owned()),
            },
        );
        page.status() == http::StatusCode::FORBIDDEN
    }

    pub fn reference(&self) -> String {
        self.session.id.reference()
    }

    /// Metrics and one line of the access log.
    pub fn log_line(&self, session: &str) {
        self.telemetry.request(&RequestLine {
            time: self.session.created_at,
            reference: RequestRef(0x0123_4567_89ab_cdef).text().as_bytes(),
            method: "GET",
            host: AUTHORITY,
            port: None,
            path: self.uri.path(),
            status: 200,
            bytes: Some(1024),
            duration: Duration::from_micros(431),
            client: b"127.0.0.1",
            route: Some("r1"),
            rule: None,
            lane: Some("session"),
            decision: Some("permit"),
            reason: None,
            session: Some(session.as_bytes()),
        });
    }
}

fn ticket_text(sessions: &Sessions, ticket: &Ticket) -> String {
    sessions.ticket_text(ticket)
}

/// The lines of a request head, without the first.
fn headers(head: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(head);
    let lines = text.lines().skip(1);
    lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect()
}

/// Secret files that others can read are refused.
fn restrict(path: &std::path::Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| error.to_string())
}
