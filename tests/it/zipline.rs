//! Zipline behind the gateway with the recipe that people get: uploads with
//! its own tokens, shared files for everybody, everything else by sign-in.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Provider, User};
use crate::harness::wire::{self, Answer};
use crate::harness::zipline::{Seen, TOKEN, Zipline};

const MIB: usize = 1024 * 1024;
const FORM: &str = "multipart/form-data; boundary=----ShareX7f3a";

struct Place {
    provider: Provider,
    zipline: Zipline,
    gateway: Gateway,
}

impl Place {
    async fn start() -> Self {
        let provider = Provider::start("oidc-plain").await;
        let zipline = Zipline::start().await;
        let plan = Plan::recipe("zipline.toml", &provider.issuer, &zipline.url());
        Self {
            gateway: plan.start().await,
            provider,
            zipline,
        }
    }

    fn url(&self, path: &str) -> String {
        self.gateway.url(path)
    }

    async fn signed_in(&self, browser: &Browser, user: User) {
        self.provider.set(|script| script.user = user);
        let answer = browser.open(&self.url("/dashboard")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.url.path(), "/dashboard");
    }

    /// Nothing of this request may have come through.
    async fn stays_outside(&self, what: &str, request: impl Future<Output = Answer>) -> Answer {
        let before = self.zipline.seen().len();
        let answer = request.await;
        assert_eq!(self.zipline.seen().len(), before, "{what} reached Zipline");
        answer
    }

    /// Opens a session in Zipline itself, as its own page does.
    async fn application_session(&self, browser: &Browser, name: &str) {
        let body = Bytes::from(json!({ "username": name, "password": "x" }).to_string());
        let headers = [("content-type", "application/json")];
        let url = self.url("/api/auth/login");
        let answer = browser.fetch_with("POST", &url, &headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(browser.cookies_named("zipline_session").len(), 1);
    }
}

fn form(kind: &str, content: &[u8]) -> Bytes {
    let mut body = format!(
        "------ShareX7f3a\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: {kind}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n------ShareX7f3a--\r\n");
    body.into()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn name_of(answer: &Answer) -> String {
    let json = answer.json();
    json["files"][0]["name"]
        .as_str()
        .expect("a name")
        .to_owned()
}

/// Zipline is told nobody, and no cookie of ours.
#[track_caller]
fn knows_nobody(seen: &Seen) {
    for (name, value) in &seen.headers {
        let name = name.as_str();
        let families = ["remote-", "x-remote-", "x-webauth-", "x-auth-request-"];
        let speaks_of_people = families.iter().any(|family| name.starts_with(family))
            || (name.starts_with("x-forwarded-")
                && ![
                    "x-forwarded-for",
                    "x-forwarded-proto",
                    "x-forwarded-host",
                    "x-forwarded-port",
                ]
                .contains(&name));
        assert!(!speaks_of_people, "{name}: {value:?}");
        let text = String::from_utf8_lossy(value.as_bytes());
        assert!(!text.contains("vestibule="), "our cookie in {name}");
    }
}

#[tokio::test]
async fn sharex_uploads_with_its_own_token_and_no_sign_in() {
    let place = Place::start().await;
    let content = b"a screenshot".repeat(1000);
    // ShareX has no cookies; a script in a browser may have, and they stay behind.
    let sharex = Browser::new();
    for cookies in ["", "vestibule=v1.AAAA; zipline_session=somebody"] {
        let mut headers = vec![
            ("authorization", TOKEN),
            ("content-type", FORM),
            ("x-zipline-format", "random"),
            ("x-zipline-original-name", "true"),
            ("x-forwarded-user", "admin"),
        ];
        if !cookies.is_empty() {
            headers.push(("cookie", cookies));
        }
        let url = place.url("/api/upload");
        let body = form("image/png", &content);
        let answer = sharex.fetch_with("POST", &url, &headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.set_cookies(), [""; 0]);
        let name = name_of(&answer);
        assert_eq!(
            place.zipline.stored(&name),
            Some((content.len() as u64, sha256(&content)))
        );
        // Built from Host, so Host must be the one that the client asked.
        let url = format!("http://{}/u/{name}", place.gateway.authority());
        assert_eq!(answer.json()["files"][0]["url"], url.as_str());
        let seen = place.zipline.last();
        assert_eq!(seen.headers["authorization"], TOKEN);
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
        assert_eq!(seen.headers["x-zipline-format"], "random");
        assert_eq!(seen.headers["x-zipline-original-name"], "true");
        assert!(!seen.headers.contains_key("cookie"));
        knows_nobody(&seen);
        assert_eq!(sharex.open(&url).await.body, content);
    }
}

#[tokio::test]
async fn only_the_shape_of_a_token_opens_the_lane_and_only_zipline_judges_it() {
    let place = Place::start().await;
    let url = place.url("/api/upload");
    let nobody = Browser::new();
    let wrong = "x".repeat(280);
    let headers = [("authorization", wrong.as_str()), ("content-type", FORM)];
    let answer = nobody
        .fetch_with("POST", &url, &headers, form("text/plain", b"x"))
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json(), json!({ "error": "could not decrypt token" }));

    let bearer = format!("Bearer {TOKEN}");
    for headers in [
        &[][..],
        &[("authorization", "")],
        &[("authorization", "short")],
        &[("authorization", bearer.as_str())],
        &[("authorization", TOKEN), ("authorization", TOKEN)],
    ] {
        let what = format!("{headers:?}");
        let answer = place
            .stays_outside(&what, nobody.fetch("POST", &url, headers))
            .await;
        assert_eq!(answer.status, 401, "{what}");
    }
}

#[tokio::test]
async fn shared_files_are_for_everybody_with_their_ranges() {
    let place = Place::start().await;
    let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    place.zipline.keep("cat.png", "image/png", &content);
    let visitor = Browser::new();
    let raw = place.url("/raw/cat.png");
    let views = place.zipline.views();
    for url in [place.url("/u/cat.png"), raw.clone()] {
        let answer = visitor.fetch("GET", &url, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &content[..])
        );
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert_eq!(answer.header("content-type"), "image/png");
        assert_eq!(answer.set_cookies(), [""; 0]);
        knows_nobody(&place.zipline.last());
        let answer = visitor.fetch("HEAD", &url, &[]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), "100000");
    }
    // Views count and may be few: each visit arrives exactly once.
    assert_eq!(place.zipline.views(), views + 2);

    let range = [("range", "bytes=1000-1999"), ("if-range", "\"x\"")];
    let answer = visitor.fetch("GET", &raw, &range).await;
    assert_eq!(answer.status, 206);
    assert_eq!(answer.header("content-range"), "bytes 1000-1999/100000");
    assert_eq!(answer.header("content-length"), "1000");
    assert_eq!(answer.body, content[1000..2000]);
    assert_eq!(place.zipline.last().headers["if-range"], "\"x\"");
    let answer = visitor
        .fetch("GET", &raw, &[("range", "bytes=99000-")])
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (206, 1000));
    // Not by the book, and passed on as it is.
    let answer = visitor
        .fetch("GET", &raw, &[("range", "bytes=200000-300000")])
        .await;
    assert_eq!(answer.status, 416);
    assert_eq!(answer.body, content);

    for (method, path) in [
        ("POST", "/u/cat.png"),
        ("DELETE", "/raw/cat.png"),
        ("GET", "/u"),
        ("GET", "/u/../dashboard"),
        ("GET", "/u/%2e%2e/dashboard"),
        ("GET", "/raw/..%2fdashboard"),
        ("GET", "/U/cat.png"),
        ("GET", "//u/cat.png"),
    ] {
        let what = format!("{method} {path}");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            place.gateway.authority()
        );
        let before = place.zipline.seen().len();
        let answer = wire::raw(
            place.gateway.address(),
            request.as_bytes(),
            std::time::Duration::from_secs(5),
        )
        .await;
        let status = wire::status_of(&answer);
        assert!(matches!(status, 302 | 303 | 400 | 401), "{what}: {status}");
        assert_eq!(place.zipline.seen().len(), before, "{what} reached Zipline");
    }
}

#[tokio::test]
async fn setup_is_never_public() {
    let place = Place::start().await;
    place.zipline.make_fresh();
    let long = "A".repeat(280);
    let tokens = [None, Some(TOKEN), Some(long.as_str())];
    for path in [
        "/setup",
        "/setup/",
        "/SETUP",
        "//setup",
        "/api/setup",
        "/api/setup/",
        "/API/Setup",
        "/api//setup",
        "/api/%73etup",
        "/api/setup?x=/u/a",
        "/api/x/../setup",
        "/api/%2e/setup",
        "/u/..%2fapi/setup",
        "/api/auth/login",
        "/api/auth/register",
        "/reload",
        "/invite/abc",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            for token in tokens {
                let authorization =
                    token.map_or_else(String::new, |token| format!("Authorization: {token}\r\n"));
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nHost: {}\r\n{authorization}X-Original-URL: /u/a\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    place.gateway.authority()
                );
                let before = place.zipline.seen().len();
                let quiet = std::time::Duration::from_secs(5);
                let answer = wire::raw(place.gateway.address(), request.as_bytes(), quiet).await;
                let status = wire::status_of(&answer);
                let what = format!("{method} {path} {}", token.is_some());
                assert!(matches!(status, 302 | 303 | 400 | 401), "{what}: {status}");
                assert_eq!(place.zipline.seen().len(), before, "{what} reached Zipline");
            }
        }
    }
    assert!(place.zipline.is_fresh(), "nobody became its super admin");
    // Somebody who is signed in can set it up.
    let ann = Browser::new();
    place.signed_in(&ann, User::ann()).await;
    let answer = ann.fetch("POST", &place.url("/api/setup"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!place.zipline.is_fresh());
}

#[tokio::test]
async fn the_dashboard_needs_a_sign_in_and_zipline_is_told_nobody() {
    let place = Place::start().await;
    let browser = Browser::new();
    for path in ["/", "/dashboard", "/auth/login", "/setup"] {
        let url = place.url(path);
        let answer = place.stays_outside(path, browser.step(&url)).await;
        assert_eq!(answer.status.as_u16() / 100, 3, "{path}");
    }
    let url = place.url("/api/user");
    let answer = place
        .stays_outside("/api/user", browser.fetch("GET", &url, &[]))
        .await;
    assert_eq!(answer.status, 401);

    place.signed_in(&browser, User::ann()).await;
    knows_nobody(&place.zipline.last());
    let forged = [
        ("x-forwarded-user", "bob"),
        ("remote_user", "bob"),
        ("x-webauth-user", "bob"),
    ];
    let answer = browser
        .fetch("GET", &place.url("/dashboard"), &forged)
        .await;
    assert_eq!(answer.status, 200);
    knows_nobody(&place.zipline.last());
    // Zipline keeps its own account of people, with its own cookie.
    assert_eq!(
        browser.fetch("GET", &url, &[]).await.json(),
        json!({ "error": "not logged in" })
    );
    place.application_session(&browser, "kate").await;
    let answer = browser.fetch("GET", &url, &[]).await;
    assert_eq!(answer.json()["user"]["username"], "kate");
}

/// Row X.3: what an application does with Authorization is its own affair.
#[tokio::test]
async fn authorization_is_never_replaced() {
    let place = Place::start().await;
    let ann = Browser::new();
    place.signed_in(&ann, User::ann()).await;
    place.application_session(&ann, "kate").await;
    let user = place.url("/api/user");
    ann.fetch("GET", &user, &[]).await;
    assert!(!place.zipline.last().headers.contains_key("authorization"));
    let answer = ann.fetch("GET", &user, &[("authorization", TOKEN)]).await;
    assert_eq!(answer.json()["user"]["username"], "kate");
    assert_eq!(place.zipline.last().headers["authorization"], TOKEN);
    // Outside of the token lane it passes just the same, beside the session.
    let page = place.url("/dashboard");
    for value in ["short", "Basic a2F0ZTp4", TOKEN] {
        let answer = ann.fetch("GET", &page, &[("authorization", value)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(place.zipline.last().headers["authorization"], value);
    }
}

/// 100 MB as Zipline's page sends it: parts of 25 MB, in order.
async fn upload_in_parts(place: &Place, browser: &Browser, token: bool) {
    let part = vec![0x5A_u8; 25 * MIB];
    let total = 4 * part.len();
    let mut identifier = String::new();
    let mut last = None;
    for index in 0..4 {
        let start = index * part.len();
        let range = format!("bytes {start}-{}/{total}", start + part.len());
        let length = total.to_string();
        let mut headers = vec![
            ("content-type", FORM),
            ("content-range", range.as_str()),
            ("x-zipline-p-filename", "film.mkv"),
            ("x-zipline-p-content-type", "video/x-matroska"),
            ("x-zipline-p-content-length", length.as_str()),
            (
                "x-zipline-p-lastchunk",
                if index == 3 { "true" } else { "false" },
            ),
        ];
        if index > 0 {
            headers.push(("x-zipline-p-identifier", identifier.as_str()));
        }
        if token {
            headers.push(("authorization", TOKEN));
        }
        let body = form("application/octet-stream", &part);
        let url = place.url("/api/upload/partial");
        let answer = browser.fetch_with("POST", &url, &headers, body).await;
        assert_eq!(answer.status, 200, "part {index}: {}", answer.text());
        let seen = place.zipline.last().headers;
        assert_eq!(seen["content-range"], range);
        assert_eq!(seen["x-zipline-p-filename"], "film.mkv");
        if index == 0 {
            let told = answer.json();
            let told = told["partialIdentifier"].as_str().expect("an identifier");
            told.clone_into(&mut identifier);
        }
        last = Some(answer);
    }
    let name = name_of(&last.expect("the last answer"));
    let whole = vec![0x5A_u8; total];
    assert_eq!(
        place.zipline.stored(&name),
        Some((total as u64, sha256(&whole)))
    );
}

#[tokio::test]
async fn a_hundred_megabytes_in_parts_stream_through() {
    let place = Place::start().await;
    let ann = Browser::new();
    place.signed_in(&ann, User::ann()).await;
    place.application_session(&ann, "kate").await;
    let before = place.gateway.peak_memory();
    upload_in_parts(&place, &Browser::new(), true).await;
    upload_in_parts(&place, &ann, false).await;
    let grown = place.gateway.peak_memory() - before;
    assert!(grown < 64 * MIB, "the gateway grew by {} MiB", grown / MIB);
    // The limit stands above what Zipline itself takes, not far above.
    let headers = [("authorization", TOKEN), ("content-type", FORM)];
    let url = place.url("/api/upload");
    let answer = ann
        .try_fetch("POST", &url, &headers, Bytes::from(vec![0; 102 * MIB]))
        .await;
    // The gateway may hang up before the client has sent it all.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
}

/// Zipline#901: the application's session of one person must not be there
/// any more when another one has signed in with the same browser.
#[tokio::test]
async fn a_change_of_person_ends_ziplines_own_session() {
    let place = Place::start().await;
    let browser = Browser::new();
    place.signed_in(&browser, User::ann()).await;
    place.application_session(&browser, "kate").await;
    let sign_out = place.gateway.own("/sign_out");
    browser
        .submit(&place.gateway.own("/"), &sign_out, &[])
        .await;
    place.signed_in(&browser, User::bob()).await;
    assert_eq!(browser.cookies_named("zipline_session").len(), 0);
    let answer = browser.fetch("GET", &place.url("/api/user"), &[]).await;
    assert_eq!(answer.json(), json!({ "error": "not logged in" }));
}
