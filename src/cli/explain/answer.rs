//! The answer: what the gateway would do, from the functions that do it.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;

use super::question::{ExplainSettings, QuestionError, Refusal};
use super::words;
use crate::base::fault::Fault;
use crate::base::header_names as names;
use crate::config::checked::{Config, Upstream};
use crate::identity_headers::Injection;
use crate::model::access::Unauthenticated;
use crate::model::identity::Identity;
use crate::model::target::{Target, TargetError};
use crate::policy::{Decision, Permit};
use crate::route::{Route, RouteTable, SessionHost};
use crate::server::{Endpoint, Entrance, Place, audience, entrance, place};

/// Everything that is told, in the order in which it is printed.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    pub method: String,
    pub url: String,
    /// `null`: nobody is signed in.
    pub person: Option<String>,
    /// Address that the request comes from.
    pub client: String,
    /// `permit`, `sign_in`, `deny`, `own`, `no_route`, `unknown_host` or
    /// `malformed`: the words of the access log.
    pub decision: &'static str,
    /// Whether the request reaches an application.
    pub permitted: bool,
    pub reason: Option<&'static str>,
    pub route: Option<String>,
    /// Counted from 0, as in `rules[0]`.
    pub rule: Option<usize>,
    pub rule_text: Option<String>,
    pub lane: Option<&'static str>,
    pub steps: Vec<String>,
    pub upstream: Option<Received>,
    pub browser: Reply,
    pub api: Reply,
}

/// What the application gets.
#[derive(Debug, Serialize)]
pub struct Received {
    pub url: String,
    pub host: String,
    pub websocket: bool,
    /// Whether the client's cookies stay behind, all of them.
    pub without_cookies: bool,
    pub headers: Vec<(String, String)>,
}

/// What the client gets.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reply {
    /// `null`: whatever the application, or our own page, answers.
    pub status: Option<u16>,
    /// Where a redirect begins to lead.
    pub location: Option<String>,
}

impl Reply {
    fn status(status: StatusCode) -> Self {
        Self {
            status: Some(status.as_u16()),
            location: None,
        }
    }
}

/// # Errors
/// The question makes no sense with this configuration.
pub fn answer(settings: &ExplainSettings, config: &Config) -> Result<Answer, QuestionError> {
    let identity = settings.identity(config)?;
    let headers = settings.request_headers()?;
    let target = settings.target(config, &headers)?;
    let mut answer = Answer {
        method: settings.method.clone(),
        url: settings.url.clone(),
        person: identity.as_ref().map(words::person),
        client: settings.client().to_string(),
        ..Answer::default()
    };
    let target = match target {
        Ok(target) => target,
        Err(refusal) => {
            malformed(&mut answer, "before any route is looked for", refusal);
            return Ok(answer);
        }
    };
    let routes = RouteTable::compile(config);
    match place(&routes, &config.server.prefix, &target) {
        Place::UnknownHost => {
            answer.decision = "unknown_host";
            answer.reason = Some("unknown_host");
            let host = &target.authority;
            answer.steps.push(format!("no route has the host {host}"));
            everybody(&mut answer, StatusCode::MISDIRECTED_REQUEST);
        }
        Place::NoRoute => {
            answer.decision = "no_route";
            answer.reason = Some("no_route");
            answer.steps.push(format!(
                "no route of the host {} has the path {}, or its spellings belong to different routes",
                target.authority,
                target.path()
            ));
            everybody(&mut answer, StatusCode::NOT_FOUND);
        }
        Place::Refused(error) => {
            let refusal = Refusal::Target(error);
            malformed(&mut answer, "as no route of this host takes it", refusal);
        }
        Place::Own(endpoint) => own(&mut answer, &endpoint, &target),
        Place::Route(route) => {
            let judged = match route.config.prefix.apply(&target) {
                Ok(judged) => judged,
                Err(error) => {
                    answer.route = Some(route.config.id.clone());
                    let refusal = Refusal::Target(error);
                    malformed(&mut answer, "without the prefix of its route", refusal);
                    return Ok(answer);
                }
            };
            if let Cow::Owned(judged) = &judged {
                answer.steps.push(format!(
                    "the route's prefixes make its path {}, which is what the rules see",
                    judged.path()
                ));
            }
            let hand_off = routes
                .session_host(&target.authority)
                .filter(|host| host.hand_off);
            let asked = Asked {
                settings,
                config,
                target: &judged,
                headers: &headers,
                identity: identity.as_ref(),
                hand_off: hand_off.as_deref(),
                public_host: routes.is_public_host(&target.authority),
            };
            of_route(&mut answer, &asked, route);
        }
    }
    Ok(answer)
}

fn everybody(answer: &mut Answer, status: StatusCode) {
    answer.browser = Reply::status(status);
    answer.api = Reply::status(status);
}

fn malformed(answer: &mut Answer, when: &str, refusal: Refusal) {
    answer.decision = "malformed";
    let status = match refusal {
        Refusal::NotHttp => {
            answer
                .steps
                .push("this is no HTTP request: a byte stands where none of its kind may".into());
            StatusCode::BAD_REQUEST
        }
        Refusal::Target(error) => {
            answer.reason = Some(error.reason());
            answer
                .steps
                .push(format!("refused {when}: {error} ({})", error.reason()));
            if error == TargetError::Trace {
                StatusCode::METHOD_NOT_ALLOWED
            } else {
                StatusCode::BAD_REQUEST
            }
        }
    };
    everybody(answer, status);
}

fn own(answer: &mut Answer, endpoint: &Endpoint, target: &Target) {
    answer.decision = "own";
    answer.steps.push(
        "the gateway answers this path itself, before any route; it never reaches an application"
            .to_owned(),
    );
    if *endpoint == Endpoint::Unknown {
        answer
            .steps
            .push("it has no such endpoint on this host".to_owned());
        everybody(answer, StatusCode::NOT_FOUND);
    } else if !endpoint.takes(&target.method) {
        answer
            .steps
            .push("this endpoint does not take the method".to_owned());
        everybody(answer, StatusCode::METHOD_NOT_ALLOWED);
    }
}

/// What is asked of a route.
struct Asked<'a> {
    settings: &'a ExplainSettings,
    config: &'a Config,
    /// What is judged and sent.
    target: &'a Target,
    headers: &'a HeaderMap,
    identity: Option<&'a Identity>,
    hand_off: Option<&'a SessionHost>,
    public_host: bool,
}

fn of_route(answer: &mut Answer, asked: &Asked<'_>, route: &Route) {
    let client = asked.settings.client();
    let explained = route
        .policy
        .explain(asked.target, asked.headers, asked.identity, client);
    let decided_by = explained
        .rules
        .last()
        .filter(|step| step.mismatches.is_empty());
    let rule = decided_by.map(|step| &route.config.rules[step.index]);
    answer.route = Some(route.config.id.clone());
    answer.rule = decided_by.map(|step| step.index);
    answer.rule_text = rule.map(words::rule);
    answer.lane = Some(explained.lane.as_str());
    let steps = words::steps(&route.config, &explained, asked.identity.is_some());
    answer.steps.extend(steps);
    if explained.networks && asked.settings.from.is_none() {
        answer.steps.push(format!(
            "access depends on the client's address, and {client} stands for one somewhere else: add --from"
        ));
    }
    match explained.decision {
        Decision::Permit(permit) => {
            let identity = asked.identity.filter(|_| permit.carries_identity());
            match identity_headers(asked, route, identity) {
                Ok(headers) => {
                    answer.decision = "permit";
                    answer.permitted = true;
                    answer.upstream = Some(received(asked, route, headers, &permit));
                }
                Err((reason, why)) => {
                    answer.decision = "deny";
                    answer.reason = Some(reason);
                    answer.steps.push(why);
                    everybody(answer, StatusCode::FORBIDDEN);
                }
            }
        }
        Decision::SignIn { unauthenticated } => {
            answer.decision = "sign_in";
            let allowed = unauthenticated == Unauthenticated::Auto;
            answer.browser = sign_in(asked, browser_headers(), allowed);
            answer.api = sign_in(asked, HeaderMap::new(), allowed);
        }
        Decision::Deny(reason) => {
            answer.decision = "deny";
            answer.reason = Some(reason.reason());
            everybody(answer, StatusCode::FORBIDDEN);
        }
    }
}

/// A person who follows a link.
fn browser_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/html"));
    headers.insert(names::SEC_FETCH_MODE, HeaderValue::from_static("navigate"));
    headers.insert(names::SEC_FETCH_DEST, HeaderValue::from_static("document"));
    headers
}

fn sign_in(asked: &Asked<'_>, mut headers: HeaderMap, allowed: bool) -> Reply {
    for (name, value) in asked.headers {
        headers.append(name, value.clone());
    }
    let config = asked.config;
    let server = &config.server;
    let audience = audience(&asked.target.method, &headers);
    let straight_on = config.pages.auto && config.providers.len() == 1;
    let own = format!("{}{}", server.public_url, server.prefix);
    let location = match entrance(
        audience,
        allowed,
        straight_on,
        asked.public_host,
        asked.hand_off,
    ) {
        Entrance::Unauthorized => return Reply::status(StatusCode::UNAUTHORIZED),
        Entrance::SignInPage => format!("{own}/sign_in"),
        Entrance::Start | Entrance::HandOff(_) => format!("{own}/start"),
        Entrance::Provider => config
            .providers
            .values()
            .next()
            .map_or_else(String::new, |provider| provider.issuer.clone()),
    };
    Reply {
        status: Some(StatusCode::FOUND.as_u16()),
        location: Some(location),
    }
}

type Named = Vec<(String, String)>;

fn identity_headers(
    asked: &Asked<'_>,
    route: &Route,
    identity: Option<&Identity>,
) -> Result<Named, (&'static str, String)> {
    let Some(identity) = identity else {
        return Ok(Vec::new());
    };
    let several = asked.config.providers.len() > 1;
    let ready = Injection::compile(&route.config, several)
        .render(identity, None)
        .map_err(|error| (error.reason(), error.to_string()))?;
    let shown = |value: &HeaderValue| {
        if value.is_sensitive() {
            "(their access token)".to_owned()
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    Ok(ready
        .iter()
        .map(|(name, value)| (name.to_string(), shown(value)))
        .collect())
}

fn received(asked: &Asked<'_>, route: &Route, headers: Named, permit: &Permit) -> Received {
    let asked_for = asked.target.path_and_query.as_str();
    let (origin, own_host) = match &route.config.upstream {
        Upstream::Http(authority) => (format!("http://{authority}"), authority.to_string()),
        Upstream::Https(authority) => (format!("https://{authority}"), authority.to_string()),
        Upstream::H2c(authority) => (format!("h2c://{authority}"), authority.to_string()),
        Upstream::Unix(path) => (format!("unix:{} ", path.display()), "localhost".to_owned()),
    };
    let mut headers = headers;
    if let Some(from) = asked.settings.from {
        headers.push((names::X_FORWARDED_FOR.to_string(), from.to_string()));
    }
    Received {
        url: format!("{origin}{asked_for}"),
        host: if route.config.preserve_host {
            asked.target.authority.to_string()
        } else {
            own_host
        },
        websocket: permit.upgrade_allowed() && asked.target.method == Method::GET,
        without_cookies: permit.drops_cookies(),
        headers,
    }
}
