//! Both servers over real loopback sockets, spoken to with a plain client.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::application::Revoker;
use super::start::{Parts, start};
use crate::base::bounded_body;

const LIFE: std::time::Duration = std::time::Duration::from_secs(60);
const CALLBACK: &str = "http://app.localhost:4180/oauth2/callback";
/// From RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

async fn send(at: std::net::SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(at).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "x")
        .body(Full::default())
        .unwrap()
}

fn post(path: &str, form: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    Request::post(path)
        .header("host", "x")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(body))
        .unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = bounded_body::read(response.into_body(), 1 << 20)
        .await
        .unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn json(response: Response<Incoming>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

fn location(response: &Response<Incoming>) -> String {
    response.headers()[LOCATION].to_str().unwrap().to_owned()
}

async fn running() -> (tempfile::TempDir, Parts) {
    let folder = tempfile::tempdir().unwrap();
    let parts = start(4180, folder.path(), LIFE).await.unwrap();
    (folder, parts)
}

fn authorize(person: &str) -> Vec<(&str, &str)> {
    vec![
        ("client_id", "vestibule-demo"),
        ("redirect_uri", CALLBACK),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "st&te"),
        ("nonce", "n0nce"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("person", person),
    ]
}

async fn code(parts: &Parts, person: &str) -> String {
    let response = send(parts.provider, post("/authorize", &authorize(person))).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = url::Url::parse(&location(&response)).unwrap();
    assert!(location.as_str().starts_with(CALLBACK));
    let of = |name: &str| {
        let mut pairs = location.query_pairs();
        pairs
            .find(|(known, _)| known == name)
            .unwrap()
            .1
            .into_owned()
    };
    assert_eq!(of("state"), "st&te");
    assert_eq!(of("iss"), "http://id.localhost:4180");
    of("code")
}

async fn token(
    folder: &tempfile::TempDir,
    parts: &Parts,
    form: &[(&str, &str)],
) -> Response<Incoming> {
    let secret = std::fs::read_to_string(folder.path().join("client_secret")).unwrap();
    let mut request = post("/token", form);
    let basic = STANDARD.encode(format!("vestibule-demo:{secret}"));
    request
        .headers_mut()
        .insert(AUTHORIZATION, format!("Basic {basic}").parse().unwrap());
    send(parts.provider, request).await
}

async fn exchange(
    folder: &tempfile::TempDir,
    parts: &Parts,
    code: &str,
    verifier: &str,
) -> Response<Incoming> {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", verifier),
    ];
    token(folder, parts, &form).await
}

async fn refresh(
    folder: &tempfile::TempDir,
    parts: &Parts,
    refresh_token: &str,
) -> Response<Incoming> {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
    ];
    token(folder, parts, &form).await
}

#[tokio::test]
async fn a_whole_sign_in() {
    let (folder, parts) = running().await;
    let discovery =
        json(send(parts.provider, get("/.well-known/openid-configuration")).await).await;
    assert_eq!(discovery["issuer"], "http://id.localhost:4180");
    assert_eq!(
        discovery["token_endpoint"],
        "http://id.localhost:4180/token"
    );

    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(authorize("ann"))
        .finish();
    let page = text(send(parts.provider, get(&format!("/authorize?{query}"))).await).await;
    assert!(page.contains("Continue as Ann") && page.contains("Continue as Ben"));
    assert!(
        page.contains("name=\"state\" value=\"st&#38;te\""),
        "{page}"
    );

    let code = code(&parts, "ann").await;
    let response = exchange(&folder, &parts, &code, VERIFIER).await;
    assert_eq!(response.status(), StatusCode::OK);
    let tokens = json(response).await;
    assert_eq!(tokens["expires_in"], 60);

    // The token is checked with nothing but the published keys.
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(json(send(parts.provider, get("/jwks")).await).await).unwrap();
    let id_token = tokens["id_token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(id_token).unwrap();
    let key = keys.find(&header.kid.unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["vestibule-demo"]);
    validation.set_issuer(&["http://id.localhost:4180"]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Value>(id_token, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["nonce"], "n0nce");
    assert_eq!(claims["groups"], serde_json::json!(["admins", "staff"]));

    let mut request = get("/userinfo");
    let bearer = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
    request
        .headers_mut()
        .insert(AUTHORIZATION, bearer.parse().unwrap());
    let info = json(send(parts.provider, request).await).await;
    assert_eq!(info["sub"], claims["sub"]);

    let spent = exchange(&folder, &parts, &code, VERIFIER).await;
    assert_eq!(json(spent).await["error"], "invalid_grant");
}

#[tokio::test]
async fn refresh_tokens_rotate_and_fail_on_order() {
    let (folder, parts) = running().await;
    let code = code(&parts, "ben").await;
    let tokens = json(exchange(&folder, &parts, &code, VERIFIER).await).await;
    let first = tokens["refresh_token"].as_str().unwrap();

    parts.control.fail_next_refresh();
    let failed = refresh(&folder, &parts, first).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);

    let response = refresh(&folder, &parts, first).await;
    assert_eq!(response.status(), StatusCode::OK);
    let next = json(response).await;
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);

    let mut status = get("/status");
    status.headers_mut().insert(
        "x-forwarded-access-token",
        next["access_token"].as_str().unwrap().parse().unwrap(),
    );
    let status = json(send(parts.application, status).await).await;
    assert_eq!(status["refreshes"], 1);
    assert!(status["access_token_left"].as_u64().unwrap() > 50);

    let reused = refresh(&folder, &parts, first).await;
    assert_eq!(reused.status(), StatusCode::BAD_REQUEST);
    let dead = refresh(&folder, &parts, next["refresh_token"].as_str().unwrap()).await;
    assert_eq!(json(dead).await["error"], "invalid_grant");
}

#[tokio::test]
async fn the_provider_refuses_what_it_must() {
    let (folder, parts) = running().await;
    for (name, value) in [
        ("client_id", "other"),
        ("redirect_uri", "http://evil.example/"),
    ] {
        let mut form = authorize("ann");
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        let response = send(parts.provider, post("/authorize", &form)).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}");
        assert!(!response.headers().contains_key(LOCATION));
    }
    for (name, value, error) in [
        ("code_challenge_method", "plain", "invalid_request"),
        ("response_type", "token", "unsupported_response_type"),
        ("scope", "email", "invalid_scope"),
        ("prompt", "none", "login_required"),
        ("person", "", "access_denied"),
    ] {
        let mut form = authorize("ann");
        form.retain(|(known, _)| *known != name);
        form.push((name, value));
        let response = send(parts.provider, post("/authorize", &form)).await;
        assert!(
            location(&response).contains(&format!("error={error}")),
            "{name}"
        );
    }
    let good = code(&parts, "ann").await;
    let wrong = exchange(&folder, &parts, &good, "wrong").await;
    assert_eq!(json(wrong).await["error"], "invalid_grant");
    let nobody = send(parts.provider, post("/token", &[("grant_type", "x")])).await;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    let nobody = send(parts.provider, get("/userinfo")).await;
    assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
    let nowhere = send(parts.provider, get("/nowhere")).await;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn sign_out_ends_the_grant_and_returns_home_only() {
    let (folder, parts) = running().await;
    let code = code(&parts, "ann").await;
    let tokens = json(exchange(&folder, &parts, &code, VERIFIER).await).await;
    let form = |to: &str| {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("id_token_hint", tokens["id_token"].as_str().unwrap())
            .append_pair("post_logout_redirect_uri", to)
            .append_pair("state", "a b")
            .finish();
        get(&format!("/end_session?{query}"))
    };
    for evil in ["http://evil.example/", "http://app.localhost:41800/"] {
        let response = send(parts.provider, form(evil)).await;
        assert_eq!(response.status(), StatusCode::OK, "{evil}");
    }
    let home = "http://app.localhost:4180/oauth2/sign_in";
    let response = send(parts.provider, form(home)).await;
    assert_eq!(location(&response), format!("{home}?state=a+b"));
    let dead = refresh(&folder, &parts, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(dead.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stopped_provider_refuses_connections_and_comes_back() {
    let (_folder, parts) = running().await;
    // A kept connection is closed too.
    let stream = TcpStream::connect(parts.provider).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(get("/jwks")).await.unwrap();
    text(answer).await;
    parts.control.stop_provider(Duration::from_millis(300));
    for (path, said) in [
        ("/authorize", "sign in anew"),
        ("/end_session", "signed out at the gateway"),
    ] {
        let page = send(parts.provider_pages, get(path)).await;
        assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
        let page = text(page).await;
        assert!(page.contains(said), "{page}");
    }
    let _ = connection.await.unwrap();
    while TcpStream::connect(parts.provider).await.is_ok() {
        assert!(!parts.control.stopped_for().is_zero(), "never stopped");
        tokio::task::yield_now().await;
    }
    while TcpStream::connect(parts.provider).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(parts.control.stopped_for().is_zero());
    let answer = send(parts.provider, get("/jwks")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(parts.running(), 3);
}

fn as_ann(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-forwarded-user", "7d1c3e5a-ann"),
        ("x-forwarded-preferred-username", "ann"),
        ("x-forwarded-groups", "admins,<script>"),
        ("x-forwarded-access-token", "secret-access-token"),
        ("sec-fetch-site", "same-origin"),
        ("cookie", "theme=dark; other=1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    request.headers_mut().extend(headers);
    request
}

#[tokio::test]
async fn the_application_shows_what_it_got_and_no_token() {
    let (_folder, parts) = running().await;
    let page = text(send(parts.application, as_ann(get("/?did=stopped"))).await).await;
    assert!(page.contains("Hello, ann"));
    assert!(page.contains("X-Forwarded-User"));
    assert!(page.contains("theme, other"));
    assert!(page.contains("stopped for 30 seconds"));
    assert!(page.contains("/oauth2/sign_out"));
    assert!(!page.contains("secret-access-token"));
    assert!(!page.contains("<script>"));
    let admin = text(send(parts.application, as_ann(get("/admin"))).await).await;
    assert!(admin.contains("Admins only"));
    for (path, kind) in [("/demo.css", "text/css"), ("/demo.js", "text/javascript")] {
        let answer = send(parts.application, get(path)).await;
        assert!(
            answer.headers()[CONTENT_TYPE]
                .to_str()
                .unwrap()
                .starts_with(kind)
        );
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, String)>>);

impl Revoker for Heard {
    fn revoke(&self, issuer: &str, subject: &str) -> BoxFuture<'static, Result<usize, String>> {
        let heard = (issuer.to_owned(), subject.to_owned());
        self.0.lock().unwrap().push(heard);
        Box::pin(std::future::ready(Ok(1)))
    }
}

#[tokio::test]
async fn the_buttons_do_what_they_say() {
    let (_folder, parts) = running().await;
    let press = async |path: &str| {
        let answer = send(parts.application, as_ann(post(path, &[]))).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        location(&answer)
    };
    assert_eq!(press("/session/revoke").await, "/?did=not-revoked");
    let heard = Arc::new(Heard::default());
    parts.connect(Arc::clone(&heard) as Arc<dyn Revoker>);
    assert_eq!(press("/session/revoke").await, "/?did=revoked");
    assert_eq!(
        *heard.0.lock().unwrap(),
        [(
            "http://id.localhost:4180".to_owned(),
            "7d1c3e5a-ann".to_owned()
        )]
    );
    assert_eq!(press("/provider/fail-refresh").await, "/?did=failing");
    assert!(parts.control.will_fail_refresh());
    assert_eq!(press("/provider/stop").await, "/?did=stopped");
    assert!(!parts.control.stopped_for().is_zero());

    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "http://evil.example"),
    ] {
        let mut foreign = as_ann(post("/provider/stop", &[]));
        foreign.headers_mut().remove("sec-fetch-site");
        foreign.headers_mut().insert(name, value.parse().unwrap());
        let answer = send(parts.application, foreign).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}");
    }
}

#[tokio::test]
async fn uploads_are_counted_and_events_tick() {
    let (_folder, parts) = running().await;
    let body = Bytes::from(vec![7; 300_000]);
    let request = Request::post("/upload")
        .header("host", "x")
        .body(Full::new(body))
        .unwrap();
    let counted = json(send(parts.application, request).await).await;
    assert_eq!(counted["bytes"], 300_000);

    let mut events = send(parts.application, get("/events")).await.into_body();
    for count in 0..2 {
        let frame = events.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {count}\n\n"));
    }
}

#[tokio::test]
async fn the_websocket_echoes() {
    let (_folder, parts) = running().await;
    let stream = TcpStream::connect(parts.application).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://app.localhost/echo", stream)
        .await
        .unwrap();
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    let plain = send(parts.application, get("/echo")).await;
    assert_eq!(plain.status(), StatusCode::UPGRADE_REQUIRED);
}

#[tokio::test]
async fn a_restart_keeps_secret_and_sessions() {
    let (folder, parts) = running().await;
    let code = code(&parts, "ann").await;
    let tokens = json(exchange(&folder, &parts, &code, VERIFIER).await).await;
    drop(parts);
    let parts = start(4180, folder.path(), LIFE).await.unwrap();
    let next = refresh(&folder, &parts, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(next.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_config_is_toml_and_names_both_hosts() {
    let (folder, parts) = running().await;
    let config: toml::Table = parts.config.parse().unwrap();
    assert_eq!(
        config["server"]["public_url"].as_str(),
        Some("http://app.localhost:4180")
    );
    assert_eq!(
        config["provider"]["demo"]["internal_url"].as_str(),
        Some(format!("http://{}", parts.provider).as_str())
    );
    let secret = std::fs::read_to_string(folder.path().join("client_secret")).unwrap();
    assert!(!parts.config.contains(&secret));
    assert!(parts.greeting.contains("ssh -L 4180:localhost:4180"));
    use std::os::unix::fs::PermissionsExt;
    for file in ["client_secret", "provider.json"] {
        let mode = std::fs::metadata(folder.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

/// Writes the demonstration's pages for a look in a browser:
/// `VESTIBULE_PAGES=/tmp/pages cargo test --lib demo:: -- --ignored`.
#[tokio::test]
#[ignore = "writes files for looking at"]
async fn write_pages_to_look_at() {
    let folder =
        std::path::PathBuf::from(std::env::var_os("VESTIBULE_PAGES").expect("VESTIBULE_PAGES"));
    let folder = folder.join("demo");
    std::fs::create_dir_all(&folder).unwrap();
    let (_folder, parts) = running().await;
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(authorize("ann"))
        .finish();
    let authorize = format!("/authorize?{query}");
    for (name, at, path) in [
        ("application.html", parts.application, "/"),
        ("notice.html", parts.application, "/?did=stopped"),
        ("admin.html", parts.application, "/admin"),
        ("demo.css", parts.application, "/demo.css"),
        ("authorize.html", parts.provider, authorize.as_str()),
        ("provider.html", parts.provider, "/"),
    ] {
        let page = text(send(at, as_ann(get(path))).await).await;
        std::fs::write(
            folder.join(name),
            page.replace("\"/demo.css\"", "\"demo.css\""),
        )
        .unwrap();
    }
}
