//! A sign-in ends in a session, or on a page that names phase, reason and the
//! next step. One test per row of that promise.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use url::Url;

use crate::harness::browser::Browser;
use crate::harness::chaos::Chaos;
use crate::harness::echo::Echo;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::wire::{self, Answer};
use crate::harness::{secrets, until};

/// The records of the log that belong to one attempt.
fn records(scene: &Scene, attempt: &str) -> Vec<serde_json::Value> {
    let log = scene.gateway.log();
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|record| record["login.attempt"] == attempt)
        .collect()
}

/// The attempt of the last sign-in that ended well.
fn last_attempt(scene: &Scene) -> String {
    let log = scene.gateway.log();
    let done = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .rfind(|record| record["login.phase"] == "done")
        .expect("somebody signed in");
    done["login.attempt"].as_str().expect("id").to_owned()
}

fn codes(scene: &Scene) -> Vec<Option<String>> {
    let seen = scene.provider.recorded(Endpoint::Code);
    seen.iter().map(|seen| seen.parameter("code")).collect()
}

/// It says why, in which phase, and lets the person go on.
pub fn names(answer: &Answer, status: u16, reason: &str, phase: &str) {
    let page = answer.text();
    assert_eq!(answer.status, status, "{reason}: {page}");
    assert!(
        page.contains(&format!("<code>{reason} · ")),
        "{reason}: {page}"
    );
    assert!(page.contains(&format!("· {phase} · ")), "{phase}: {page}");
    assert!(page.contains("/oauth2/start?"), "{page}");
    assert!(!answer.reference().is_empty(), "{page}");
}

#[tokio::test]
async fn row_0_1_one_attempt_id_for_every_phase_and_on_the_page() {
    let scene = Scene::with("claims-in-userinfo", |plan| plan.log_level("trace")).await;
    let ann = scene.signed_in(User::ann()).await;
    let attempt = last_attempt(&scene);
    let told = records(&scene, &attempt);
    let phases: Vec<&str> = told
        .iter()
        .filter_map(|record| record["login.phase"].as_str())
        .collect();
    let expected = [
        "start",
        "authorize",
        "callback",
        "state",
        "exchange",
        "id_token",
        "userinfo",
        "session_write",
        "done",
    ];
    assert_eq!(phases, expected);
    for record in &told {
        assert!(record["duration_ms"].is_u64(), "{record}");
        assert_eq!(record["provider.id"], "main", "{record}");
    }

    scene
        .provider
        .set(|script| script.id_token(|claims| drop(claims.insert("nonce".into(), "x".into()))));
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    names(&answer, 502, "id_token_nonce", "id_token");
    let attempt = answer.reference();
    until::holds("the failure is in the log", || {
        let told = records(&scene, &attempt);
        told.iter().any(|record| {
            record["reason"] == "id_token_nonce"
                && record["login.phase"] == "id_token"
                && record["provider.id"] == "main"
                && record["duration_ms"].is_u64()
        })
    })
    .await;
    let metric = "vestibule_logins_total{phase=\"id_token\",reason=\"id_token_nonce\"";
    assert!(scene.gateway.metric(metric).await >= 1.0);
    let metrics = scene.gateway.admin("/metrics").await.expect("metrics");
    assert!(!metrics.text().contains(&attempt), "no metric has the id");

    let mut found = scene.provider.secrets();
    for browser in [&ann, &browser] {
        found.extend(browser.cookies().into_iter().map(|cookie| cookie.value));
    }
    secrets::absent("log", scene.gateway.log().as_bytes(), &found);
}

#[tokio::test]
async fn row_0_3_an_unknown_outcome_restarts_the_login_once() {
    for fault in [Fault::HangUpAfter, Fault::HangUpBefore] {
        let scene = Scene::start().await;
        scene.provider.fail(Endpoint::Code, [fault.clone()]);
        let browser = Browser::new();
        let answer = browser.open(&scene.gateway.url("/deep?a=b")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(Echo::of(&answer).target, "/deep?a=b");
        assert_eq!(scene.logins(), (2, 2), "{fault:?}");
        let different: HashSet<_> = codes(&scene).into_iter().collect();
        assert_eq!(different.len(), 2, "a code was sent twice");
        let begun = scene.provider.recorded(Endpoint::Authorize);
        for name in ["state", "nonce", "code_challenge"] {
            assert_ne!(begun[0].parameter(name), begun[1].parameter(name), "{name}");
        }
        // It is one attempt all the way.
        let told = records(&scene, &last_attempt(&scene));
        let started = told
            .iter()
            .filter(|record| record["login.phase"] == "start");
        assert_eq!(started.count(), 2);

        // Twice in a row: a page, and it can be tried again.
        scene
            .provider
            .fail(Endpoint::Code, [fault.clone(), fault.clone()]);
        let unlucky = Browser::new();
        let answer = unlucky.open(&scene.gateway.url("/deep?a=b")).await;
        names(&answer, 504, "outcome_unknown", "exchange");
        assert_eq!(scene.logins(), (4, 4), "{fault:?}");
        assert!(
            answer.text().contains("%2Fdeep%3Fa%3Db"),
            "{}",
            answer.text()
        );
        assert_eq!(
            unlucky.open(&scene.gateway.url("/deep?a=b")).await.status,
            200
        );
        let different: HashSet<_> = codes(&scene).into_iter().collect();
        assert_eq!(
            different.len(),
            codes(&scene).len(),
            "a code was sent twice"
        );
    }
}

#[tokio::test]
async fn row_0_3_a_gateway_killed_at_the_exchange_starts_the_login_again() {
    let mut scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Code, [Fault::HoldAnswer(Arc::clone(&gate))]);
    let waiting = browser.twin();
    let first = callback.clone();
    let asked = tokio::spawn(async move {
        waiting
            .try_fetch("GET", first.as_str(), &[], bytes::Bytes::new())
            .await
    });
    until::holds("the code is with the provider", || {
        scene.provider.count(Endpoint::Code) == 1
    })
    .await;
    scene.gateway.restart().await;
    assert!(asked.await.expect("task").is_err());
    let answer = browser.open(callback.as_str()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.path(), "/hello");
    assert_eq!(scene.logins(), (2, 2));
    let different: HashSet<_> = codes(&scene).into_iter().collect();
    assert_eq!(different.len(), 2, "the code was sent again");
}

#[tokio::test]
async fn row_0_4_a_reload_says_the_same_and_asks_the_provider_nothing() {
    let scene = Scene::start().await;
    let failing: [(&str, Fault, u16); 3] = [
        (
            "code_rejected",
            Fault::error(400, "invalid_grant", "no"),
            400,
        ),
        (
            "client_credentials_rejected",
            Fault::error(401, "unauthorized_client", "bad client secret"),
            503,
        ),
        (
            "provider_error",
            Fault::Respond {
                status: 200,
                content_type: "text/html",
                body: "<p>hello".into(),
            },
            502,
        ),
    ];
    for (reason, fault, status) in failing {
        scene.provider.fail_always(Endpoint::Code, fault);
        let browser = Browser::new();
        let callback = scene.callback_of(&browser).await;
        let first = browser.step(callback.as_str()).await;
        names(&first, status, reason, "exchange");
        let asked = scene.provider.count(Endpoint::Code);
        scene.provider.heal(Endpoint::Code);
        for _ in 0..2 {
            let second = browser.step(callback.as_str()).await;
            names(&second, status, reason, "exchange");
            assert_eq!(second.reference(), first.reference());
        }
        assert_eq!(scene.provider.count(Endpoint::Code), asked);
        // The button works.
        let page = first.text();
        let link = page
            .split("href=\"")
            .find(|part| part.contains("/oauth2/start?"));
        let link = link
            .and_then(|part| part.split('"').next())
            .expect("a link");
        let link = first
            .url
            .join(&link.replace("&#38;", "&").replace("&amp;", "&"))
            .expect("url");
        let answer = browser.open(link.as_str()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.url.path(), "/hello");
    }
    // What went well goes on where it should.
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    assert_eq!(browser.open(callback.as_str()).await.status, 200);
    let (asked, cookie) = (scene.logins(), session_cookie(&browser));
    let again = browser.step(callback.as_str()).await;
    assert_eq!(again.status, 303, "{}", again.text());
    assert_eq!(again.location().expect("location").path(), "/hello");
    assert_eq!((scene.logins(), session_cookie(&browser)), (asked, cookie));
    // Not after signing out, and not for whoever has the address alone.
    let own = scene.gateway.own("/");
    browser
        .submit(&own, &scene.gateway.own("/sign_out"), &[])
        .await;
    let late = browser.step(callback.as_str()).await;
    names(&late, 400, "login_spent", "state");
    let thief = Browser::new().step(callback.as_str()).await;
    assert_eq!(thief.status, 400);
    assert_eq!(scene.logins(), asked);
}

#[tokio::test]
async fn row_0_5_the_same_callback_twice_at_once_is_one_sign_in() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    scene.provider.fail(
        Endpoint::Code,
        [Fault::DelayAnswer(Duration::from_millis(300))],
    );
    let twin = browser.twin();
    let (one, two) = tokio::join!(
        browser.step(callback.as_str()),
        twin.step(callback.as_str())
    );
    for answer in [&one, &two] {
        assert_eq!(answer.status, 303, "{}", answer.text());
        assert_eq!(answer.location().expect("location").path(), "/hello");
    }
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
    assert_eq!(session_cookie(&browser), session_cookie(&twin));
}

#[tokio::test]
async fn row_0_6_a_sign_in_that_was_not_started_here_is_told_apart_and_counted() {
    let scene = Scene::start().await;
    let stolen = scene.callback_of(&Browser::new()).await;
    let made_up = scene
        .gateway
        .own("/callback?code=x&state=AAAAAAAAAAAAAAAAAAAAAAAA");
    for address in [stolen.as_str(), made_up.as_str()] {
        let answer = Browser::new().link("http://evil.localhost/", address).await;
        names(&answer, 400, "login_state_unknown", "state");
        assert!(
            answer.text().contains("not started here"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
    let counted = "vestibule_logins_total{phase=\"state\",reason=\"login_state_unknown\"";
    assert!((scene.gateway.metric(counted).await - 2.0).abs() < f64::EPSILON);
}

#[tokio::test]
async fn row_0_7_the_callback_may_land_on_another_replica_or_after_a_restart() {
    let name = "row_0_7_the_callback_may_land_on_another_replica_or_after_a_restart";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let mut scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let second = scene.gateway.plan().replica().start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    browser.detour(&scene.gateway.authority(), second.address());
    let answer = browser.open(callback.as_str()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A reload on the first one finds what the second one left.
    browser.detour(&scene.gateway.authority(), scene.gateway.address());
    let again = browser.step(callback.as_str()).await;
    assert_eq!(again.status, 303, "{}", again.text());
    assert_eq!(scene.logins(), (1, 1));
    let other = Browser::new();
    let callback = scene.callback_of(&other).await;
    scene.gateway.restart().await;
    assert_eq!(other.open(callback.as_str()).await.status, 200);
    assert_eq!(scene.logins(), (2, 2));
}

/// The code is redeemed and then the store is gone: for `away`, or for good.
async fn store_gone_at_the_end(away: Option<Duration>) {
    let redis = Redis::start().await;
    let path = Chaos::before(redis.address()).await;
    let lines = Redis::lines_through(&path);
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&lines)).await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Code, [Fault::HoldAnswer(Arc::clone(&gate))]);
    let outage = async {
        until::holds("the code is with the provider", || {
            scene.provider.count(Endpoint::Code) == 1
        })
        .await;
        path.down().await;
        gate.add_permits(1);
        if let Some(away) = away {
            tokio::time::sleep(away).await;
            path.up().await;
        }
    };
    let (answer, ()) = tokio::join!(browser.open(callback.as_str()), outage);
    if away.is_some() {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.url.path(), "/hello");
        session_cookie(&browser);
        assert_eq!(scene.logins(), (1, 1));
        return;
    }
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    assert!(
        browser
            .cookies()
            .iter()
            .all(|cookie| cookie.name != "vestibule")
    );
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
    path.up().await;
    until::some("sign-ins work again", || async {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn row_0_8_a_store_that_is_away_for_a_moment_costs_no_sign_in() {
    if part::have("row_0_8_a_store_that_is_away_for_a_moment", &[Part::Redis]) {
        store_gone_at_the_end(Some(Duration::from_millis(700))).await;
    }
}

#[tokio::test]
async fn row_0_8_a_store_that_stays_away_leaves_no_half_session() {
    if part::have("row_0_8_a_store_that_stays_away", &[Part::Redis]) {
        store_gone_at_the_end(None).await;
    }
}

/// The browser goes away while the code is with the provider.
async fn gone_meanwhile(held: fn(Arc<Semaphore>) -> Fault) {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Code, [held(Arc::clone(&gate))]);
    let gone = browser.twin();
    let address = callback.clone();
    let asked = tokio::spawn(async move { gone.step(address.as_str()).await });
    until::holds("the code is with the provider", || {
        scene.provider.count(Endpoint::Code) == 1
    })
    .await;
    asked.abort();
    assert!(asked.await.is_err_and(|error| error.is_cancelled()));
    gate.add_permits(1);
    until::holds("the sign-in ends without its browser", || {
        scene.gateway.log().contains("\"login.phase\":\"done\"")
    })
    .await;
    let answer = browser.open(callback.as_str()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.path(), "/hello");
    assert_eq!(scene.logins(), (1, 1));
    session_cookie(&browser);
}

#[tokio::test]
async fn row_0_10_a_browser_that_leaves_does_not_end_the_exchange() {
    gone_meanwhile(Fault::Hold).await;
}

#[tokio::test]
async fn n4_a_client_that_vanishes_mid_login_finds_its_session_on_reload() {
    gone_meanwhile(Fault::HoldAnswer).await;
}

#[tokio::test]
async fn row_0_11_five_tabs_end_signed_in_in_any_order() {
    let scene = Scene::start().await;
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let browser = Browser::new();
        let mut callbacks: Vec<Url> = Vec::new();
        for _ in 0..5 {
            callbacks.push(scene.callback_of(&browser).await);
        }
        let mut shown = HashSet::new();
        for tab in order {
            let answer = browser.open(callbacks[tab].as_str()).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            shown.insert(session_cookie(&browser));
        }
        assert_eq!(shown.len(), 1, "the first tab's session stays");
        // Nor does it count as a circle.
        browser.lose("vestibule");
        assert_eq!(browser.open(&scene.gateway.url("/x")).await.status, 200);
    }
    // All at once, each to its end.
    let browser = Browser::new();
    let mut callbacks = Vec::new();
    for _ in 0..5 {
        callbacks.push(scene.callback_of(&browser).await);
    }
    let tabs = callbacks
        .iter()
        .map(|callback| browser.open(callback.as_str()));
    for answer in futures_util::future::join_all(tabs).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Sign-ins that nobody finishes never stand in the way.
    for number in 0..40 {
        let start = scene.gateway.own(&format!("/start?rd=/{number}"));
        assert_eq!(browser.step(&start).await.status, 302);
    }
    let header = browser.cookie_header(&scene.gateway.own("/callback"));
    assert!(header.len() < 4096, "{} bytes", header.len());
    assert!(browser.cookies().len() <= 17, "{}", browser.cookies().len());
    let last = scene.gateway.own("/start?rd=/last");
    assert_eq!(browser.open(&last).await.status, 200);
}

#[tokio::test]
async fn row_0_14_https_outside_and_http_inside_keep_one_redirect_uri() {
    let provider = Provider::start("oidc-plain").await;
    let scene = Scene::with_provider(provider, |plan| {
        plan.environment("VESTIBULE__SERVER__PUBLIC_URL", "https://app.localhost")
    })
    .await;
    let ask = async |target: &str, more: &[(&str, &str)]| {
        let url = Url::parse(&format!("http://app.localhost{target}")).expect("url");
        let mut request = wire::request_for(&url, "GET").header("accept", "text/html");
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        let request = request.body(Default::default()).expect("request");
        wire::exchange(scene.gateway.address(), url, request)
            .await
            .expect("an answer")
    };
    for _ in 0..2 {
        // What a client says of itself changes nothing.
        let away = ask("/hello", &[("x-forwarded-proto", "http")]).await;
        assert_eq!(away.status, 302, "{}", away.text());
        let set = away.set_cookies();
        let cookie = set[0].split(';').next().expect("pair").to_owned();
        assert!(cookie.starts_with("__Host-vestibule-t-"), "{cookie}");
        let back = wire::get(away.location().expect("location").as_str()).await;
        let back = back.location().expect("location");
        assert_eq!(back.scheme(), "https");
        let target = format!("{}?{}", back.path(), back.query().expect("query"));
        let answer = ask(&target, &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    let uri = |endpoint| scene.provider.recorded(endpoint)[0].parameter("redirect_uri");
    let expected = Some("https://app.localhost/oauth2/callback".to_owned());
    assert_eq!(uri(Endpoint::Authorize), expected);
    assert_eq!(uri(Endpoint::Code), expected);
    let log = scene.gateway.log();
    let told = log
        .lines()
        .filter(|line| line.contains("public_url is https, but"));
    assert_eq!(told.count(), 1, "{log}");
    assert!(log.contains("server.trusted_proxies"), "{log}");
}

#[tokio::test]
async fn row_0_16_userinfo_that_fails_after_a_good_exchange_is_asked_again() {
    let scene = Scene::with("claims-in-userinfo", |plan| plan).await;
    // More than the three tries of one call, too few for the breaker.
    let faults = vec![Fault::page(503); 4];
    scene.provider.fail(Endpoint::Userinfo, faults);
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        Echo::of(&answer).one("x-forwarded-email"),
        Some("ann@corp.test")
    );
    assert_eq!(scene.logins(), (1, 1), "the tokens were kept");
    let told = records(&scene, &last_attempt(&scene));
    let tried = |record: &&serde_json::Value| {
        record["login.phase"] == "userinfo" && record["tries"].is_u64()
    };
    assert!(told.iter().any(|record| tried(&record)), "{told:?}");

    scene
        .provider
        .fail_always(Endpoint::Userinfo, Fault::page(503));
    let unlucky = Browser::new();
    let answer = unlucky.open(&scene.gateway.url("/hello")).await;
    // By then the breaker is open.
    names(&answer, 503, "provider_unreachable", "userinfo");
    assert_eq!(scene.logins(), (2, 2));
    // It heals by itself.
    scene.provider.heal(Endpoint::Userinfo);
    let lucky = Browser::new();
    let answer = until::some("the breaker closes", || async {
        let answer = lucky.open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.url.path(), "/hello");
}

#[tokio::test]
async fn row_0_17_every_class_of_refusal_has_its_page() {
    let scene = Scene::start().await;
    let cases = [
        ("access_denied", 403, "login_denied", "cancelled"),
        ("server_error", 502, "provider_error", "reported a problem"),
        (
            "temporarily_unavailable",
            503,
            "provider_unavailable",
            "takes no sign-ins",
        ),
        ("login_required", 403, "login_required", "Please sign in"),
        ("consent_required", 403, "login_required", "Please sign in"),
        (
            "unauthorized_client",
            503,
            "client_credentials_rejected",
            "repaired",
        ),
        ("made_up_error", 502, "provider_error", "reported a problem"),
    ];
    for (error, status, reason, words) in cases {
        scene
            .provider
            .set(|script| script.refuse = Some((error.to_owned(), "raw-text-0001".to_owned())));
        let before = scene.logins();
        let browser = Browser::new();
        let answer = browser.open(&scene.gateway.url("/hello")).await;
        names(&answer, status, reason, "authorize");
        assert!(answer.text().contains(words), "{error}: {}", answer.text());
        assert!(!answer.text().contains("raw-text-0001"), "{error}");
        // One way there and back: nobody goes in circles.
        assert_eq!(scene.logins(), (before.0 + 1, before.1), "{error}");
        // The person may try again, and it works once the cause is gone.
        scene.provider.set(|script| script.refuse = None);
        assert_eq!(
            browser
                .open(&scene.gateway.own("/start?rd=/hello"))
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn row_0_18_answers_in_every_form_become_a_page_with_the_cause() {
    let scene = Scene::start().await;
    let respond = |status, content_type, body: &str| Fault::Respond {
        status,
        content_type,
        body: body.to_owned(),
    };
    let cases = [
        (
            respond(200, "text/html", "<h1>Sign in</h1>"),
            502,
            "provider_error",
        ),
        (
            respond(200, "application/json", "{\"error\":\"invalid_grant\"}"),
            400,
            "code_rejected",
        ),
        (
            respond(
                200,
                "application/x-www-form-urlencoded",
                "error=bad_verification_code&error_description=x",
            ),
            400,
            "code_rejected",
        ),
        (
            respond(500, "text/html", "<h1>oops</h1>"),
            502,
            "provider_error",
        ),
        (
            respond(200, "application/json", "{\"access_tok"),
            502,
            "provider_error",
        ),
    ];
    for (fault, status, reason) in cases {
        scene.provider.fail_always(Endpoint::Code, fault.clone());
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        names(&answer, status, reason, "exchange");
        let page = answer.text();
        for raw in ["missing field", "oops", "access_tok", "bad_verification"] {
            assert!(!page.contains(raw), "{fault:?}: {page}");
        }
        scene.provider.heal(Endpoint::Code);
    }
}
