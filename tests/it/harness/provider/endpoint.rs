//! The provider's endpoints.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::time::sleep;
use vestibule::base::clock::Clock;

use super::delivery::{self, HungUp};
use super::dialect::RefreshTokens;
use super::grant::{Code, Refreshed};
use super::script::{Alter, Endpoint, Fault, Recorded, Script, User};
use super::signing::{self, b64};
use super::{CLIENT_ID, CLIENT_SECRET, Shared};

type Answer = Response<Bytes>;

pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<delivery::Body>, HungUp> {
    let (head, body) = request.into_parts();
    let body = vestibule::base::bounded_body::read(body, 1 << 20)
        .await
        .map_err(|_| HungUp)?;
    let form = pairs(&body);
    let recorded = Recorded {
        endpoint: endpoint_of(head.uri.path(), &form),
        query: pairs(head.uri.query().unwrap_or_default().as_bytes()),
        form,
        basic: basic(&head.headers),
    };
    let fault = {
        let mut script = shared.script.lock().expect("script");
        script.recorded.push(recorded.clone());
        script.take_fault(recorded.endpoint)
    };
    match &fault {
        Some(Fault::Respond {
            status,
            content_type,
            body,
        }) => {
            return Ok(delivery::whole(plain(*status, content_type, body.clone())));
        }
        Some(Fault::Busy {
            status,
            retry_after,
        }) => {
            let mut response = plain(*status, "text/plain", "busy".to_owned());
            response
                .headers_mut()
                .insert("retry-after", (*retry_after).into());
            return Ok(delivery::whole(response));
        }
        Some(Fault::Flood(bytes)) => return Ok(delivery::flood(*bytes)),
        Some(Fault::Bomb(bytes)) => {
            let mut response = delivery::flood(*bytes);
            let gzip = http::HeaderValue::from_static("gzip");
            response.headers_mut().insert("content-encoding", gzip);
            return Ok(response);
        }
        Some(Fault::HangUpBefore) => {
            let token = recorded.parameter("refresh_token").unwrap_or_default();
            shared.grants.lock().expect("grants").hang_up(&token);
            return Err(HungUp);
        }
        Some(Fault::Hold(gate)) => gate.acquire().await.map_err(|_| HungUp)?.forget(),
        Some(Fault::Delay(time)) => sleep(*time).await,
        _ => {}
    }
    let bearer = head.headers.get("authorization").and_then(|value| {
        value
            .to_str()
            .ok()?
            .strip_prefix("Bearer ")
            .map(str::to_owned)
    });
    let response = respond(&shared, &recorded, bearer.as_deref());
    match &fault {
        Some(Fault::HangUpAfter) => return Err(HungUp),
        Some(Fault::HoldAnswer(gate)) => gate.acquire().await.map_err(|_| HungUp)?.forget(),
        Some(Fault::DelayAnswer(time)) => sleep(*time).await,
        Some(Fault::Truncate(sent)) => return Ok(delivery::truncated(response, *sent)),
        Some(Fault::Drip(piece, pause)) => return Ok(delivery::dripping(response, *piece, *pause)),
        _ => {}
    }
    Ok(delivery::whole(response))
}

fn endpoint_of(path: &str, form: &[(String, String)]) -> Endpoint {
    match path {
        "/.well-known/openid-configuration" => Endpoint::Discovery,
        "/jwks" => Endpoint::Jwks,
        "/authorize" => Endpoint::Authorize,
        "/token" if form.iter().any(|pair| pair.1 == "refresh_token") => Endpoint::Refresh,
        "/token" => Endpoint::Code,
        "/userinfo" => Endpoint::Userinfo,
        "/end_session" => Endpoint::EndSession,
        "/revoke" => Endpoint::Revocation,
        _ => Endpoint::Unknown,
    }
}

fn respond(shared: &Shared, request: &Recorded, bearer: Option<&str>) -> Answer {
    let script = shared.script.lock().expect("script");
    let mut response = match request.endpoint {
        Endpoint::Discovery => json_answer(200, &discovery(&shared.issuer, &script)),
        Endpoint::Jwks => json_answer(200, &signing::key_set(&script.keys)),
        Endpoint::Authorize => authorize(shared, &script, request),
        Endpoint::Code | Endpoint::Refresh => token(shared, &script, request),
        Endpoint::Userinfo => userinfo(shared, &script, bearer),
        Endpoint::EndSession => match request.parameter("post_logout_redirect_uri") {
            Some(back) => redirect(&back, &[("state", request.parameter("state"))]),
            None => plain(
                200,
                "text/html",
                "<p>signed out at the provider</p>".to_owned(),
            ),
        },
        Endpoint::Revocation => match authenticated(&script, request) {
            Ok(()) => {
                let token = form(request, "token");
                shared.grants.lock().expect("grants").revoke(&token);
                plain(200, "text/plain", String::new())
            }
            Err(which) => refused(&script, which),
        },
        Endpoint::Unknown => plain(404, "text/plain", "no such endpoint".to_owned()),
    };
    if let Some(alter) = script.alter.get(&request.endpoint) {
        altered(&mut response, alter);
    }
    let now = script.skewed(Clock::system().now().as_secs());
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
    response
        .headers_mut()
        .insert("date", date.parse().expect("header"));
    response
}

/// Changes the JSON object of the body, or the parameters of a redirect.
fn altered(response: &mut Answer, alter: &Alter) {
    let location = response.headers().get("location");
    if let Some(location) = location.and_then(|value| value.to_str().ok()) {
        let mut url = url::Url::parse(location).expect("own redirect");
        let mut parameters: Map<String, Value> = url
            .query_pairs()
            .map(|(name, value)| (name.into_owned(), json!(value)))
            .collect();
        alter(&mut parameters);
        url.query_pairs_mut().clear().extend_pairs(
            parameters
                .iter()
                .map(|(name, value)| (name, value.as_str().expect("a text"))),
        );
        let location = url.as_str().parse().expect("header");
        response.headers_mut().insert("location", location);
    } else if let Ok(Value::Object(mut object)) = serde_json::from_slice(response.body()) {
        alter(&mut object);
        *response.body_mut() = Value::Object(object).to_string().into();
    }
}

fn discovery(issuer: &str, script: &Script) -> Value {
    let dialect = &script.dialect;
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
    put("issuer", json!(issuer));
    put(
        "authorization_endpoint",
        json!(format!("{issuer}/authorize")),
    );
    put("token_endpoint", json!(format!("{issuer}/token")));
    put("jwks_uri", json!(format!("{issuer}/jwks")));
    put("response_types_supported", json!(["code"]));
    put("subject_types_supported", json!(["public"]));
    put(
        "id_token_signing_alg_values_supported",
        json!([dialect.algorithm]),
    );
    put("scopes_supported", json!(dialect.scopes_supported));
    put("code_challenge_methods_supported", json!(["S256"]));
    put(
        "token_endpoint_auth_methods_supported",
        json!(dialect.auth_methods),
    );
    if dialect.iss_parameter {
        put(
            "authorization_response_iss_parameter_supported",
            json!(true),
        );
    }
    if dialect.userinfo {
        put("userinfo_endpoint", json!(format!("{issuer}/userinfo")));
    }
    if dialect.end_session {
        put(
            "end_session_endpoint",
            json!(format!("{issuer}/end_session")),
        );
    }
    if script.revocation {
        put("revocation_endpoint", json!(format!("{issuer}/revoke")));
    }
    if let Some(alter) = &script.alter_discovery {
        alter(&mut document);
    }
    Value::Object(document)
}

fn authorize(shared: &Shared, script: &Script, request: &Recorded) -> Answer {
    let value = |name: &str| request.parameter(name).unwrap_or_default();
    let complete = value("client_id") == CLIENT_ID
        && value("response_type") == "code"
        && value("code_challenge_method") == "S256"
        && value("scope").split(' ').any(|scope| scope == "openid");
    if !complete {
        return plain(
            400,
            "text/html",
            "<h1>bad authorization request</h1>".to_owned(),
        );
    }
    let iss = script
        .iss_parameter
        .clone()
        .unwrap_or_else(|| shared.issuer.clone());
    let iss = (script.dialect.iss_parameter || script.iss_parameter.is_some()).then_some(iss);
    let state = Some(value("state"));
    let back = value("redirect_uri");
    let judged = script.judge.as_ref().and_then(|judge| judge(request));
    let judged = judged.map(|error| (error.to_owned(), "as the script says".to_owned()));
    if let Some((error, description)) = judged.as_ref().or(script.refuse.as_ref()) {
        let error = Some(error.clone());
        let description = Some(description.clone());
        return redirect(
            &back,
            &[
                ("error", error),
                ("error_description", description),
                ("state", state),
                ("iss", iss),
            ],
        );
    }
    let code = shared.grants.lock().expect("grants").code(Code {
        user: script.user.clone(),
        redirect_uri: back.clone(),
        challenge: value("code_challenge"),
        nonce: request.parameter("nonce"),
        scope: value("scope"),
        spent: false,
    });
    redirect(
        &back,
        &[("code", Some(code)), ("state", state), ("iss", iss)],
    )
}

fn form(request: &Recorded, name: &str) -> String {
    request
        .form
        .iter()
        .find(|pair| pair.0 == name)
        .map(|pair| pair.1.clone())
        .unwrap_or_default()
}

/// Whether the client proved itself, in one of the ways the dialect knows.
fn authenticated(script: &Script, request: &Recorded) -> Result<(), &'static str> {
    let in_form = (form(request, "client_id"), form(request, "client_secret"));
    let (method, (id, secret)) = match &request.basic {
        Some(_) if !in_form.1.is_empty() => return Err("two_methods"),
        Some(basic) => ("client_secret_basic", basic.clone()),
        None => ("client_secret_post", in_form),
    };
    let mut known = script.dialect.auth_methods.iter();
    let proven = id == CLIENT_ID && secret == CLIENT_SECRET && known.any(|known| known == method);
    if proven { Ok(()) } else { Err("client") }
}

fn token(shared: &Shared, script: &Script, request: &Recorded) -> Answer {
    if let Err(which) = authenticated(script, request) {
        return refused(script, which);
    }
    let form = |name: &str| form(request, name);
    let mut grants = shared.grants.lock().expect("grants");
    let (user, scope, nonce, refresh_token) = if request.endpoint == Endpoint::Refresh {
        match grants.refresh(
            &form("refresh_token"),
            script.dialect.rotation,
            script.grace,
        ) {
            Refreshed::Unknown => return refused(script, "refresh_unknown"),
            Refreshed::Spent => return refused(script, "refresh_spent"),
            Refreshed::Granted {
                user,
                scope,
                refresh_token,
            } => (user, scope, None, refresh_token),
        }
    } else {
        let Some(code) = grants.codes.get_mut(&form("code")) else {
            return refused(script, "code_unknown");
        };
        if std::mem::replace(&mut code.spent, true) {
            return refused(script, "code_spent");
        }
        if code.redirect_uri != form("redirect_uri") {
            return refused(script, "redirect_uri");
        }
        if b64(digest(&SHA256, form("code_verifier").as_bytes())) != code.challenge {
            return refused(script, "pkce");
        }
        let code = code.clone();
        let wanted = match script.dialect.refresh_tokens {
            RefreshTokens::Always => true,
            RefreshTokens::OfflineAccess => code.scope.split(' ').any(|s| s == "offline_access"),
            RefreshTokens::Never => false,
        };
        let refresh_token = wanted.then(|| grants.refresh_token(&code.user, &code.scope));
        (code.user, code.scope, code.nonce, refresh_token)
    };
    let now = Clock::system().now();
    let ends = now.plus(Duration::from_secs(script.access_lifetime));
    let access_token = grants.access_token(&user, ends);
    drop(grants);
    let mut answer = Map::new();
    answer.insert("access_token".to_owned(), json!(access_token));
    answer.insert("token_type".to_owned(), json!(script.dialect.token_type));
    answer.insert("scope".to_owned(), json!(scope));
    match script.dialect.expires_in.as_str() {
        "number" => drop(answer.insert("expires_in".to_owned(), json!(script.access_lifetime))),
        "string" => {
            answer.insert(
                "expires_in".to_owned(),
                json!(script.access_lifetime.to_string()),
            );
        }
        _ => {}
    }
    if let Some(refresh_token) = refresh_token {
        answer.insert("refresh_token".to_owned(), json!(refresh_token));
    }
    if request.endpoint == Endpoint::Code || script.dialect.id_token_on_refresh {
        let id_token = id_token(&shared.issuer, script, &user, nonce, &access_token);
        answer.insert("id_token".to_owned(), json!(id_token));
    }
    if let Some(alter) = &script.alter_token_answer {
        alter(&mut answer);
    }
    json_answer(200, &Value::Object(answer))
}

fn id_token(
    issuer: &str,
    script: &Script,
    user: &User,
    nonce: Option<String>,
    access_token: &str,
) -> String {
    let now = script.skewed(Clock::system().now().as_secs());
    let hash = digest(&SHA256, access_token.as_bytes());
    let mut claims = user.claims.clone();
    for name in &script.dialect.only_in_userinfo {
        claims.remove(name);
    }
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(issuer));
    put("sub", json!(user.subject));
    put("aud", json!(CLIENT_ID));
    put("iat", json!(now));
    put("exp", json!(now + 600));
    put("auth_time", json!(now));
    put("at_hash", json!(b64(&hash.as_ref()[..16])));
    if let Some(nonce) = nonce {
        put("nonce", json!(nonce));
    }
    if let Some(alter) = &script.alter_id_token {
        alter(&mut claims);
    }
    signing::token(&script.signing, &script.keys, &claims, |head| {
        if script.dialect.no_kid {
            head.remove("kid");
        }
        if let Some(alter) = &script.alter_head {
            alter(head);
        }
    })
}

fn userinfo(shared: &Shared, script: &Script, bearer: Option<&str>) -> Answer {
    let user = bearer.and_then(|token| shared.grants.lock().expect("grants").bearer(token));
    let Some(user) = user else {
        return json_answer(401, &json!({ "error": "invalid_token" }));
    };
    let mut claims = user.claims.clone();
    claims.insert("sub".to_owned(), json!(user.subject));
    if let Some(alter) = &script.alter_userinfo {
        alter(&mut claims);
    }
    json_answer(200, &Value::Object(claims))
}

fn refused(script: &Script, which: &str) -> Answer {
    let error = script.dialect.error(which);
    let mut body = json!({ "error": error.error });
    if let Some(description) = error.description {
        body["error_description"] = json!(description);
    }
    json_answer(error.status, &body)
}

fn redirect(back: &str, parameters: &[(&str, Option<String>)]) -> Answer {
    let Ok(mut url) = url::Url::parse(back) else {
        return plain(400, "text/html", "<h1>bad redirect_uri</h1>".to_owned());
    };
    for (name, value) in parameters {
        if let Some(value) = value {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    let mut response = plain(302, "text/plain", String::new());
    response
        .headers_mut()
        .insert("location", url.as_str().parse().expect("header"));
    response
}

fn json_answer(status: u16, body: &Value) -> Answer {
    plain(status, "application/json", body.to_string())
}

fn plain(status: u16, content_type: &str, body: String) -> Answer {
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-store")
        .body(Bytes::from(body))
        .expect("response")
}

fn pairs(text: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text).into_owned().collect()
}

/// RFC 6749 2.3.1: both halves are form-encoded before base64.
fn basic(headers: &http::HeaderMap) -> Option<(String, String)> {
    let value = headers
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |half: &str| {
        let pair = format!("x={half}");
        pairs(pair.as_bytes()).remove(0).1
    };
    Some((decoded(id), decoded(secret)))
}
