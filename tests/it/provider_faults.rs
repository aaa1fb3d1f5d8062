//! A provider that is unwell: what people meet, what goes on, and how it
//! ends. The rows of the fault matrix that begin with I.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use crate::harness::browser::Browser;
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::port;
use crate::harness::provider::{Endpoint, Fault, Keys, Provider, Signing, User};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::upstream::Upstream;
use crate::harness::wire::Answer;

/// Begins a sign-in at `provider` in a new browser and goes no further.
async fn begin(gateway: &Gateway, provider: &str) -> (Answer, Duration) {
    let url = gateway.own(&format!("/start?rd=/hello&provider={provider}"));
    let started = Instant::now();
    let answer = Browser::new().step(&url).await;
    (answer, started.elapsed())
}

fn page_says(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains(&format!("<code>{reason} ")), "{text}");
    assert!(text.contains("Try again"), "{text}");
    assert_eq!(answer.set_cookies(), Vec::<String>::new());
    if status == 503 {
        assert_ne!(answer.header("retry-after"), "");
    }
}

/// How many session cookies it has.
fn sessions(browser: &Browser) -> usize {
    let cookies = browser.cookies();
    let session = |name: &str| name == "vestibule";
    cookies
        .iter()
        .filter(|cookie| session(&cookie.name))
        .count()
}

/// The log line with all these parts; what is printed may arrive late.
async fn logged(gateway: &Gateway, parts: &[&str]) -> String {
    until::some(&format!("a line with {parts:?}"), || async {
        let log = gateway.log();
        let all = |line: &&str| parts.iter().all(|part| line.contains(part));
        log.lines().rfind(all).map(str::to_owned)
    })
    .await
}

fn times(log: &str, what: &str) -> usize {
    log.lines().filter(|line| line.contains(what)).count()
}

/// Sign-ins begin until the breaker is open.
async fn opened(gateway: &Gateway, provider: &str) -> Answer {
    until::some("the breaker opens", || async {
        let (answer, _) = begin(gateway, provider).await;
        let open = answer.status == 503 && answer.text().contains("provider_unreachable ");
        open.then_some(answer)
    })
    .await
}

const SECOND: &str = "client_id = \"vestibule\"\nclient_secret_file = \"client_secret\"\n";

/// The usual scene and a second provider beside `main`.
async fn two() -> (Scene, Provider) {
    let second = Provider::start("oidc-plain").await;
    let table = format!(
        "\n[provider.second]\nkind = \"oidc\"\nname = \"Second ID\"\nissuer = \"{}\"\n{SECOND}",
        second.issuer
    );
    let scene = Scene::with("oidc-plain", |plan| plan.route(&table)).await;
    (scene, second)
}

async fn signed_in_at(scene: &Scene, provider: &str) -> Browser {
    let browser = Browser::new();
    let start = scene
        .gateway
        .own(&format!("/start?rd=/hello&provider={provider}"));
    let answer = browser.open(&start).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    browser
}

#[tokio::test]
async fn row_0_9_an_outage_is_told_at_once_and_ends_by_itself() {
    let (scene, _second) = two().await;
    let gateway = &scene.gateway;
    let ann = signed_in_at(&scene, "main").await;
    let cookie = session_cookie(&ann);
    let up = "vestibule_provider_up{provider=\"main\"}";
    assert!((gateway.metric(up).await - 1.0).abs() < 0.1);

    scene.provider.down().await;
    let page = opened(gateway, "main").await;
    page_says(&page, 503, "provider_unreachable");
    assert!(
        page.text().contains("out of reach since") && page.text().contains(" UTC"),
        "{}",
        page.text()
    );
    let mut taken = Vec::new();
    for _ in 0..20 {
        let (answer, time) = begin(gateway, "main").await;
        page_says(&answer, 503, "provider_unreachable");
        taken.push(time);
    }
    taken.sort();
    let median = taken[taken.len() / 2];
    eprintln!(
        "row 0.9: page of an open breaker: median {median:?}, worst {:?}",
        taken[19]
    );
    assert!(median < Duration::from_millis(50), "{taken:?}");
    until::some("the metric follows", || async {
        (gateway.metric(up).await < 0.5).then_some(())
    })
    .await;

    let ready = gateway.admin("/readyz").await.expect("answers");
    assert_eq!(ready.status, 200, "{}", ready.text());
    let since = ready.json()["providers_unreachable_since"]["main"].clone();
    assert!(since.is_u64(), "{}", ready.text());

    // Sessions and the other provider go on.
    let answer = ann.fetch("GET", &gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200);
    signed_in_at(&scene, "second").await;
    let second = "vestibule_provider_up{provider=\"second\"}";
    assert!((gateway.metric(second).await - 1.0).abs() < 0.1);

    scene.provider.up().await;
    let back = Instant::now();
    // Nobody signs in meanwhile.
    until::some("the provider counts as up again", || async {
        (gateway.metric(up).await > 0.5).then_some(())
    })
    .await;
    let recovery = back.elapsed();
    eprintln!("row 0.9: recovery after {recovery:?}");
    assert!(recovery < Duration::from_secs(8), "{recovery:?}");
    signed_in_at(&scene, "main").await;
    assert_eq!(ann.fetch("GET", &gateway.url("/x"), &[]).await.status, 200);
    assert_eq!(session_cookie(&ann), cookie);
    logged(gateway, &["provider is back"]).await;
    let log = gateway.log();
    assert_eq!(times(&log, "provider counts as unreachable"), 1, "{log}");
    assert_eq!(times(&log, "provider is back"), 1, "{log}");
}

#[tokio::test]
async fn i1_a_refresh_during_an_outage_is_postponed_and_nobody_waits() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.limits("provider_failures = 2\nprovider_pause = \"1s\"")
    })
    .await;
    scene.provider.set(|script| script.access_lifetime = 6);
    let began = Instant::now();
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    scene.provider.down().await;
    let url = scene.gateway.url("/x");
    let mut worst = Duration::ZERO;
    let mut refused = None;
    // The token lives: served. It has ended: told at once to come again.
    while began.elapsed() < Duration::from_secs(9) {
        let asked = Instant::now();
        let answer = ann.fetch("GET", &url, &[]).await;
        worst = worst.max(asked.elapsed());
        match answer.status.as_u16() {
            200 => assert!(refused.is_none(), "served with a token that had ended"),
            503 => {
                assert!(
                    began.elapsed() > Duration::from_secs(5),
                    "{}",
                    answer.text()
                );
                assert_ne!(answer.header("retry-after"), "");
                refused = Some(answer);
            }
            other => panic!("{other}: {}", answer.text()),
        }
        session_cookie(&ann);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("i1: longest request during the outage: {worst:?}");
    assert!(worst < Duration::from_secs(2), "{worst:?}");
    assert!(refused.is_some(), "the token never ended");
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);

    scene.provider.up().await;
    let back = Instant::now();
    until::some("the session goes on", || async {
        let answer = ann.fetch("GET", &url, &[]).await;
        (answer.status == 200).then_some(())
    })
    .await;
    eprintln!(
        "i1: the session went on {:?} after the return",
        back.elapsed()
    );
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.reuse(), 0);
    assert_eq!(scene.logins(), (1, 1), "nobody signed in again");
}

/// A server with a certificate that is signed by `authority`, or over.
struct Tls {
    issuer: String,
    authority: String,
}

async fn tls(expired: bool) -> Tls {
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, "Corp Root 2020");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().expect("key");
    let authority = root.self_signed(&root_key).expect("signs").pem();
    let root = Issuer::new(root, root_key);
    let mut leaf = CertificateParams::new(["id.localhost".to_owned()]).expect("name");
    leaf.distinguished_name
        .push(DnType::CommonName, "id.corp.test");
    if expired {
        leaf.not_before = date_time_ymd(2024, 1, 1);
        leaf.not_after = date_time_ymd(2025, 1, 1);
    }
    let key = KeyPair::generate().expect("key");
    let certificate = leaf.signed_by(&key, &root).expect("signs").der().clone();
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The gateway breaks off here.
            drop(acceptor.accept(stream).await);
        }
    });
    Tls {
        issuer: format!("https://id.localhost:{port}"),
        authority,
    }
}

/// The first sign-in at a provider that cannot be had: its answer, how long
/// it took, and the gateway.
async fn first_sign_in(plan: Plan) -> (Answer, Duration, Gateway) {
    let gateway = plan.start().await;
    let (answer, time) = begin(&gateway, "main").await;
    (answer, time, gateway)
}

#[tokio::test]
async fn i1_a_provider_that_cannot_be_had_is_one_page_within_three_seconds() {
    let upstream = Upstream::start().await;
    // Takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let silent = format!("https://{}", silent.local_addr().expect("address"));
    let refusing = format!("http://127.0.0.1:{}", port::free());
    for (what, issuer) in [
        ("refused", refusing.as_str()),
        ("silent", &silent),
        ("no such name", "https://id.no-such-host.invalid"),
    ] {
        let plan = Plan::new(issuer, &upstream.url());
        let (answer, time, _gateway) = first_sign_in(plan).await;
        eprintln!("i1: {what}: {time:?}");
        page_says(&answer, 503, "network_unreachable");
        assert!(time < Duration::from_secs(4), "{what}: {time:?}");
    }
}

fn written(plan: &Plan, name: &str, text: &str) -> String {
    let path: &Path = &plan.folder().join(name);
    std::fs::write(path, text).expect("written");
    path.display().to_string()
}

#[tokio::test]
async fn row_0_13_a_certificate_that_is_refused_is_named_with_the_cure() {
    let upstream = Upstream::start().await;
    let private = tls(false).await;
    let plan = Plan::new(&private.issuer, &upstream.url());
    let (answer, time, gateway) = first_sign_in(plan).await;
    page_says(&answer, 503, "tls_unknown_ca");
    assert!(time < Duration::from_secs(4), "{time:?}");
    // People read no names of certificates.
    assert!(!answer.text().contains("Corp Root"), "{}", answer.text());
    let line = logged(&gateway, &["sign-in could", "tls_unknown_ca"]).await;
    for part in ["id.corp.test", "Corp Root 2020", "provider.main.ca_file"] {
        assert!(line.contains(part), "no {part}: {line}");
    }

    let expired = tls(true).await;
    let plan = Plan::new(&expired.issuer, &upstream.url());
    let anchors = written(&plan, "ca.pem", &expired.authority);
    let plan = plan.provider(&format!("ca_file = \"{anchors}\""));
    let (answer, time, gateway) = first_sign_in(plan).await;
    page_says(&answer, 503, "tls_expired");
    assert!(time < Duration::from_secs(4), "{time:?}");
    let line = logged(&gateway, &["sign-in could", "tls_expired"]).await;
    for part in ["id.corp.test", "Corp Root 2020", "01 Jan 2025"] {
        assert!(line.contains(part), "no {part}: {line}");
    }
}

#[tokio::test]
async fn i2_a_provider_that_fails_opens_the_breaker_and_one_that_is_busy_does_not() {
    let scene = Scene::start().await;
    let busy = Fault::Busy {
        status: 429,
        retry_after: 7,
    };
    scene.provider.fail_always(Endpoint::Code, busy);
    for _ in 0..8 {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        page_says_anywhere(&answer, 503, "rate_limited");
        assert_eq!(answer.header("retry-after"), "7");
    }
    scene.provider.fail_always(
        Endpoint::Code,
        Fault::Respond {
            status: 500,
            content_type: "text/html",
            body: "<h1>oops</h1>".to_owned(),
        },
    );
    let mut reasons = Vec::new();
    for _ in 0..6 {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        assert!(answer.status.is_server_error(), "{}", answer.text());
        reasons.push(answer.status.as_u16());
    }
    assert_eq!(reasons[..5], [502; 5], "{reasons:?}");
    assert_eq!(reasons[5], 503, "{reasons:?}");
    scene.provider.heal(Endpoint::Code);
    until::some("sign-in works again", || async {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Of a page that a callback shows: it may clear the attempt's cookie.
fn page_says_anywhere(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let text = answer.text();
    assert!(text.contains(&format!("<code>{reason} ")), "{text}");
    assert!(text.contains("Try again"), "{text}");
}

/// A port on which nobody listens, and what carries it to `target` later.
async fn carry(port: u16, target: std::net::SocketAddr) -> tokio::task::AbortHandle {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("binds");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = tokio::net::TcpStream::connect(target).await {
                    drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
                }
            });
        }
    })
    .abort_handle()
}

#[tokio::test]
async fn row_0_2_a_token_endpoint_that_refuses_twice_costs_nobody_a_sign_in() {
    let provider = Provider::start("oidc-plain").await;
    let issuer = url::Url::parse(&provider.issuer).expect("url");
    let target = crate::harness::wire::address_of(&issuer);
    let port = port::free();
    provider.set(|script| {
        script.answer_of(Endpoint::Discovery, move |document| {
            let token = format!("http://127.0.0.1:{port}/token");
            document.insert("token_endpoint".to_owned(), token.into());
        });
    });
    let scene = Scene::with_provider(provider, |plan| plan.limits("provider_failures = 0")).await;
    let again = "no connection to the provider, trying again";
    // On a busy machine the third try may come before the port is open.
    for _ in 0..10 {
        let browser = Browser::new();
        let callback = scene.callback_of(&browser).await;
        let (codes, tries) = (
            scene.provider.count(Endpoint::Code),
            times(&scene.gateway.log(), again),
        );
        let opening = async {
            while times(&scene.gateway.log(), again) < tries + 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            carry(port, target).await
        };
        let (answer, server) = tokio::join!(browser.step(callback.as_str()), opening);
        server.abort();
        until::holds("the port is closed again", || server.is_finished()).await;
        if answer.status == 503 {
            page_says_anywhere(&answer, 503, "network_unreachable");
            continue;
        }
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert_eq!(scene.provider.count(Endpoint::Code), codes + 1);
        logged(&scene.gateway, &["\"signed in\""]).await;
        let log = scene.gateway.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(again)).collect();
        for (line, attempt) in lines[tries..]
            .iter()
            .zip(["\"attempt\":1", "\"attempt\":2"])
        {
            assert!(line.contains(attempt) && line.contains("/token"), "{line}");
        }
        assert_eq!(lines.len(), tries + 2);
        assert_eq!(times(&log, "\"signed in\""), 1, "{log}");
        let hello = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(hello.status, 200);
        return;
    }
    panic!("the port was never open in time:\n{}", scene.gateway.log());
}

#[tokio::test]
async fn row_0_18_the_reason_is_the_providers_own_code() {
    let scene = Scene::start().await;
    let respond = |status, content_type, body: &str| Fault::Respond {
        status,
        content_type,
        body: body.to_owned(),
    };
    let json = r#"{"error":"bad_verification_code","error_description":"The code is incorrect."}"#;
    let form = "error=bad_verification_code&error_description=The+code+is+incorrect.";
    for (what, fault, reason, told) in [
        (
            "200 with an error",
            respond(200, "application/json", json),
            "code_rejected",
            "bad_verification_code The code is incorrect.",
        ),
        (
            "form-encoded",
            respond(200, "application/x-www-form-urlencoded", form),
            "code_rejected",
            "bad_verification_code",
        ),
        (
            "a web page",
            respond(200, "text/html", "<h1>Please sign in to the wifi</h1>"),
            "provider_error",
            "",
        ),
        (
            "an error that nobody knows",
            respond(400, "application/json", r#"{"error":"teapot"}"#),
            "bad_response",
            "teapot",
        ),
        ("an error page", Fault::page(503), "provider_error", "503"),
    ] {
        scene.provider.fail(Endpoint::Code, [fault]);
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        let text = answer.text();
        assert!(answer.status.as_u16() >= 400, "{what}: {text}");
        assert!(text.contains(&format!("<code>{reason} ")), "{what}: {text}");
        assert!(!text.contains("missing field"), "{what}: {text}");
        assert!(!text.contains("wifi"), "{what}: {text}");
        logged(&scene.gateway, &["sign-in failed", reason, told]).await;
    }
}

#[tokio::test]
async fn row_1_7_and_i5_new_keys_are_followed_and_a_flood_of_key_ids_is_not() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    assert_eq!(scene.provider.count(Endpoint::Jwks), 1);
    scene.provider.set(|script| {
        script.keys = Keys {
            signing: 2,
            published: vec![1, 2],
        };
    });
    scene.signed_in(User::bob()).await;
    assert_eq!(
        scene.provider.count(Endpoint::Jwks),
        2,
        "one for the new key"
    );
    scene.signed_in(User::bob()).await;
    assert_eq!(scene.provider.count(Endpoint::Jwks), 2);

    scene
        .provider
        .set(|script| script.signing = Signing::UnknownKey);
    let began = Instant::now();
    for _ in 0..20 {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        page_says_anywhere(&answer, 502, "jwks_unknown_kid");
    }
    // A bucket of five, of which the rotation took one; one more every 12 s.
    let earned = usize::try_from(began.elapsed().as_secs() / 12).expect("small") + 1;
    let fetched = scene.provider.count(Endpoint::Jwks) - 2;
    assert!((4..=4 + earned).contains(&fetched), "{fetched}");
    let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "sessions stay");
}

#[tokio::test]
async fn i3_a_slow_provider_ends_at_the_total_deadline() {
    let scene = Scene::start().await;
    scene.provider.fail(
        Endpoint::Code,
        [Fault::DelayAnswer(Duration::from_secs(30))],
    );
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let started = Instant::now();
    let answer = browser.step(callback.as_str()).await;
    let time = started.elapsed();
    eprintln!("i3: given up after {time:?}");
    assert!(time > Duration::from_secs(9), "{time:?}");
    assert!(time < Duration::from_secs(13), "{time:?}");
    assert_eq!(scene.provider.count(Endpoint::Code), 1, "sent once");
    assert_ne!(answer.status, 500, "{}", answer.text());
    assert_eq!(sessions(&browser), 0);
    // Whatever it says, the next try signs in.
    scene.sign_in(&browser, User::ann()).await;
}

/// What no answer of a provider should be.
fn garbage() -> Vec<(&'static str, Fault)> {
    let json = |body: &str| Fault::Respond {
        status: 200,
        content_type: "application/json",
        body: body.to_owned(),
    };
    vec![
        ("not JSON", json("\u{1}\u{2}garbage")),
        ("cut short", json(r#"{"access_token":"a","#)),
        (
            "a member twice",
            json(
                r#"{"access_token":"a","access_token":"b","token_type":"Bearer","issuer":"a","issuer":"b","keys":[],"keys":[]}"#,
            ),
        ),
        (
            "a byte order mark",
            json("\u{feff}{\"access_token\":\"a\"}"),
        ),
        ("deep nesting", json(&"[".repeat(100_000))),
        ("a web page", Fault::page(200)),
        (
            "a redirect",
            Fault::Respond {
                status: 302,
                content_type: "text/plain",
                body: String::new(),
            },
        ),
        ("truncated", Fault::Truncate(20)),
        ("100 MB", Fault::Flood(100_000_000)),
        ("a gzip bomb", Fault::Bomb(100_000_000)),
    ]
}

const FLAT: usize = 48 * 1024 * 1024;

#[tokio::test]
async fn i4_garbage_is_a_page_and_costs_no_memory() {
    let scene = Scene::with("oidc-plain", |plan| plan.limits("provider_failures = 0")).await;
    scene.signed_in(User::ann()).await;
    let before = scene.gateway.peak_memory();
    for (what, fault) in garbage() {
        scene.provider.fail_always(Endpoint::Code, fault);
        let browser = Browser::new();
        let answer = browser.open(&scene.gateway.url("/hello")).await;
        let status = answer.status.as_u16();
        assert!([502, 504].contains(&status), "{what}: {}", answer.text());
        assert!(answer.text().contains("Try again"), "{what}");
        assert_eq!(sessions(&browser), 0, "{what}");
    }
    scene.provider.heal(Endpoint::Code);
    scene.signed_in(User::ann()).await;
    let grown = scene.gateway.peak_memory().saturating_sub(before);
    eprintln!("i4: grown by {} KiB", grown / 1024);
    assert!(grown < FLAT, "{grown}");
}

#[tokio::test]
async fn i4_garbage_instead_of_discovery_and_keys() {
    for endpoint in [Endpoint::Discovery, Endpoint::Jwks] {
        let scene = Scene::with("oidc-plain", |plan| plan.limits("provider_failures = 0")).await;
        let before = scene.gateway.peak_memory();
        // Documents are kept; each kind of garbage meets a gateway that has none.
        for (what, fault) in garbage() {
            scene.provider.fail_always(endpoint, fault);
            let gateway = scene.gateway.plan().replica().start().await;
            let browser = Browser::new();
            browser.detour(&scene.gateway.authority(), gateway.address());
            let answer = browser.open(&scene.gateway.url("/hello")).await;
            assert_eq!(answer.status, 502, "{what}: {}", answer.text());
            assert!(answer.text().contains("Try again"), "{what}");
            assert!(gateway.peak_memory() < before + FLAT, "{what}");
        }
        scene.provider.heal(endpoint);
    }
}

#[tokio::test]
async fn i6_clocks_may_differ_by_a_minute_and_more_is_named() {
    let scene = Scene::start().await;
    for skew in [-45, 45, -90] {
        // A clock that is behind makes tokens older, not wrong.
        scene.provider.set(|script| script.skew = skew);
        scene.signed_in(User::ann()).await;
    }
    for skew in [90_i64, 600, -700] {
        scene.provider.set(|script| script.skew = skew);
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        page_says_anywhere(&answer, 503, "clock_skew");
        // The answer may be a second later than the token.
        until::some("the skew is named", || async {
            let log = scene.gateway.log();
            let named = |by: &i64| log.contains(&format!("by {} s", skew + by));
            (-2..=2).any(|by| named(&by)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn i7_another_issuer_is_never_adopted() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| {
        script.answer_of(Endpoint::Discovery, |document| {
            document.insert("issuer".to_owned(), "https://evil.test".into());
            let evil = "https://evil.test/token";
            document.insert("token_endpoint".to_owned(), evil.into());
        });
    });
    // A sign-in asks again when the provider was silent for a while.
    let alarm = "the discovery document has become unacceptable";
    until::some("the change is noticed", || async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        begin(&scene.gateway, "main").await;
        (times(&scene.gateway.log(), alarm) > 0).then_some(())
    })
    .await;
    scene.signed_in(User::bob()).await;
    assert_eq!(
        ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
        200
    );
    assert_eq!(times(&scene.gateway.log(), alarm), 1);
    let alert = "\"alert\":\"discovery_refused\"";
    logged(&scene.gateway, &[alarm, "issuer_mismatch", alert]).await;
    // Gone altogether.
    scene
        .provider
        .fail_always(Endpoint::Discovery, Fault::page(404));
    scene.signed_in(User::ann()).await;
}

#[tokio::test]
async fn i3_a_slow_provider_uses_up_no_calls_but_its_own() {
    let second = Provider::start("oidc-plain").await;
    let table = format!(
        "\n[provider.second]\nkind = \"oidc\"\nname = \"Second ID\"\nissuer = \"{}\"\n{SECOND}",
        second.issuer
    );
    let scene = Scene::with("oidc-plain", |plan| {
        plan.route(&table).limits("provider_parallel = 2")
    })
    .await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    scene
        .provider
        .fail_always(Endpoint::Code, Fault::Hold(Arc::clone(&gate)));
    let url = scene.gateway.own("/start?rd=/hello&provider=main");
    let stuck: Vec<_> = (0..2)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Browser::new().open(&url).await })
        })
        .collect();
    until::holds("two calls wait", || {
        scene.provider.count(Endpoint::Code) == 2
    })
    .await;
    let started = Instant::now();
    let answer = Browser::new().open(&url).await;
    page_says_anywhere(&answer, 503, "provider_busy");
    assert!(started.elapsed() < Duration::from_secs(2));
    signed_in_at(&scene, "second").await;
    gate.add_permits(100);
    for waiting in stuck {
        assert_eq!(waiting.await.expect("no panic").status, 200);
    }
    signed_in_at(&scene, "main").await;
}

#[tokio::test]
async fn i1_a_provider_that_takes_connections_and_says_nothing_counts_as_unreachable() {
    let provider = Provider::start("oidc-plain").await;
    let issuer = url::Url::parse(&provider.issuer).expect("url");
    let chaos = Chaos::before(crate::harness::wire::address_of(&issuer)).await;
    let internal = format!("internal_url = \"http://{}\"", chaos.address);
    let scene = Scene::with_provider(provider, |plan| {
        plan.provider(&internal)
            .limits("provider_failures = 2\nprovider_pause = \"500ms\"")
    })
    .await;
    let ann = scene.signed_in(User::ann()).await;
    chaos.set(Weather::stalled());
    let mut worst = Duration::ZERO;
    until::some("the breaker opens", || async {
        let (answer, time) = begin(&scene.gateway, "main").await;
        // Until then people are sent on: the server is there, after all.
        assert!(
            [302, 503].contains(&answer.status.as_u16()),
            "{}",
            answer.text()
        );
        assert!(time < Duration::from_secs(5), "{time:?}");
        (answer.status == 503).then_some(())
    })
    .await;
    for _ in 0..5 {
        let (answer, time) = begin(&scene.gateway, "main").await;
        page_says(&answer, 503, "provider_unreachable");
        worst = worst.max(time);
    }
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    assert_eq!(
        ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
        200
    );
    chaos.set(Weather::default());
    until::some("sign-in works again", || async {
        let (answer, _) = begin(&scene.gateway, "main").await;
        (answer.status == 302).then_some(())
    })
    .await;
    scene.signed_in(User::bob()).await;
}

/// What becomes of a session whose refresh the provider answers with `code`.
async fn refreshed_with(code: &str, status: u16, kept: bool) {
    let scene = Scene::start().await;
    let fault = Fault::error(status, code, "");
    scene.provider.fail_always(Endpoint::Refresh, fault);
    // Renewed in the second half of its life.
    scene.provider.set(|script| script.access_lifetime = 20);
    let ann = scene.signed_in(User::ann()).await;
    let url = scene.gateway.url("/x");
    until::some("a refresh is tried", || async {
        ann.fetch("GET", &url, &[]).await;
        (scene.provider.count(Endpoint::Refresh) > 0).then_some(())
    })
    .await;
    if !kept {
        until::some("the session ends", || async {
            let answer = ann.fetch("GET", &url, &[]).await;
            (answer.status == 401).then_some(())
        })
        .await;
        return;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let answer = ann.fetch("GET", &url, &[]).await;
    assert_eq!(answer.status, 200, "{code}: {}", answer.text());
    assert_eq!(sessions(&ann), 1, "{code}");
}

/// Only the provider's own word about the grant ends a session.
#[tokio::test]
async fn i8_only_a_refused_grant_ends_a_session() {
    tokio::join!(
        refreshed_with("invalid_client", 401, true),
        refreshed_with("interaction_required", 400, true),
        refreshed_with("temporarily_unavailable", 503, true),
        refreshed_with("invalid_request", 400, true),
        refreshed_with("invalid_grant", 400, false),
    );
}
