//! Who is sent to the sign-in, how quietly, and when it stops: answers to
//! people and to programs, circles, sessions whose tokens ended.

use std::time::Duration;

use url::Url;

use crate::harness::browser::Browser;
use crate::harness::gateway::Plan;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::provider::{Endpoint, Provider, Recorded, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::upstream::Upstream;
use crate::harness::wire::{self, Answer};
use crate::login_rows::names;

fn prompts(scene: &Scene) -> Vec<Option<String>> {
    let seen = scene.provider.recorded(Endpoint::Authorize);
    seen.iter().map(|seen| seen.parameter("prompt")).collect()
}

#[tokio::test]
async fn row_2_7_a_redirect_only_for_what_is_plainly_a_navigation() {
    let scene = Scene::start().await;
    let url = scene.gateway.url("/data?x=1");
    let html = ("accept", "text/html,*/*;q=0.8");
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    type Shape<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);
    let api: [Shape<'_>; 10] = [
        ("fetch", "GET", &[]),
        ("fetch of JSON", "GET", &[("accept", "application/json")]),
        (
            "XHR",
            "GET",
            &[html, ("x-requested-with", "XMLHttpRequest")],
        ),
        ("fetch that takes HTML", "GET", &[html]),
        (
            "POST by a script",
            "POST",
            &[("accept", "application/json")],
        ),
        ("events", "GET", &[("accept", "text/event-stream")]),
        ("websocket", "GET", &upgrade),
        ("picture", "GET", &[("sec-fetch-dest", "image")]),
        ("prefetch", "GET", &[html, ("sec-purpose", "prefetch")]),
        ("DELETE", "DELETE", &[]),
    ];
    for (what, method, headers) in api {
        let answer = Browser::new().fetch(method, &url, headers).await;
        told_in_json(&answer, what, &scene);
    }
    // A command line: no Fetch Metadata at all.
    let answer = wire::get(&url).await;
    told_in_json(&answer, "command line", &scene);

    for method in ["GET", "HEAD"] {
        let url = Url::parse(&url).expect("url");
        let request = wire::request_for(&url, method).header("accept", "text/html");
        let request = request.body(Default::default()).expect("request");
        let answer = wire::exchange(scene.gateway.address(), url.clone(), request).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 302, "{method}");
    }
    let form = Browser::new().submit(&url, &url, &[("text", "long")]).await;
    assert_eq!(form.status, 401);
    assert!(form.text().contains("was not delivered"), "{}", form.text());
    assert!(scene.upstream.requests().is_empty());
}

fn told_in_json(answer: &Answer, what: &str, scene: &Scene) {
    assert_eq!(answer.status, 401, "{what}");
    assert_eq!(answer.header("location"), "", "{what}");
    assert!(answer.set_cookies().is_empty(), "{what}");
    let told = answer.json();
    assert_eq!(told["reason"], "sign_in_required", "{what}");
    assert!(
        told["reference"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
    let login_url = told["login_url"].as_str().expect("login_url");
    assert!(
        login_url.starts_with(&scene.gateway.own("/start?rd=")),
        "{what}: {login_url}"
    );
}

#[tokio::test]
async fn row_2_8_sign_ins_that_go_in_circles_stop_and_say_why() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    for _ in 0..3 {
        assert_eq!(browser.open(&scene.gateway.url("/x")).await.status, 200);
        // A browser that keeps no session cookie.
        browser.lose("vestibule");
    }
    for _ in 0..2 {
        let stopped = browser.open(&scene.gateway.url("/x")).await;
        names(&stopped, 429, "login_loop", "start");
        let page = stopped.text();
        assert!(page.contains("session_cookie_missing"), "{page}");
        assert!(page.contains("did not keep the cookie"), "{page}");
        assert!(!stopped.header("retry-after").is_empty());
    }
    assert_eq!(scene.logins(), (3, 3));
    let metric = "vestibule_logins_total{phase=\"start\",reason=\"login_loop\"";
    assert!(scene.gateway.metric(metric).await >= 2.0);
    // Another browser has nothing to do with it.
    scene.signed_in(User::ann()).await;

    // An application that asks again although nothing is wrong.
    let browser = Browser::new();
    for _ in 0..3 {
        let start = scene.gateway.own("/start?rd=/x");
        assert_eq!(browser.open(&start).await.status, 200);
    }
    let stopped = browser.open(&scene.gateway.own("/start?rd=/x")).await;
    names(&stopped, 429, "login_loop", "start");
    assert!(
        stopped.text().contains("session_still_there"),
        "{}",
        stopped.text()
    );
}

#[tokio::test]
async fn row_2_8_whoever_signs_out_by_hand_is_never_stopped() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    for _ in 0..5 {
        assert_eq!(browser.open(&scene.gateway.url("/x")).await.status, 200);
        let own = scene.gateway.own("/");
        let out = browser
            .submit(&own, &scene.gateway.own("/sign_out"), &[])
            .await;
        assert!(
            out.status.is_success() || out.status.is_redirection(),
            "{}",
            out.status
        );
        assert!(browser.cookies_named("vestibule-r-loop").is_empty());
    }
    assert_eq!(scene.logins(), (5, 5));
}

#[tokio::test]
async fn r9_an_emptied_store_costs_one_sign_in_and_no_circle() {
    let name = "r9_an_emptied_store_costs_one_sign_in_and_no_circle";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let second = scene.gateway.plan().replica().start().await;
    let browser = scene.signed_in(User::ann()).await;
    redis.ask("FLUSHALL").await;
    let answer = browser.open(&scene.gateway.url("/x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.logins(), (2, 2), "once, and nobody was asked");
    // A store that forgets all the time, seen from two replicas.
    redis.ask("FLUSHALL").await;
    browser.detour(&scene.gateway.authority(), second.address());
    assert_eq!(browser.open(&scene.gateway.url("/x")).await.status, 200);
    redis.ask("FLUSHALL").await;
    browser.detour(&scene.gateway.authority(), scene.gateway.address());
    let stopped = browser.open(&scene.gateway.url("/x")).await;
    names(&stopped, 429, "login_loop", "start");
    assert!(
        stopped.text().contains("session_unknown"),
        "{}",
        stopped.text()
    );
    assert_eq!(scene.logins(), (3, 3));
}

/// A session without a refresh token whose access token has ended.
async fn aged(judge: Option<&'static str>) -> (Scene, Browser) {
    let scene = Scene::with("no-refresh-token", |plan| plan).await;
    scene.provider.set(|script| script.access_lifetime = 2);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| {
        script.access_lifetime = 3600;
        if let Some(error) = judge {
            script.judge(move |request| {
                let silent = request.parameter("prompt").as_deref() == Some("none");
                silent.then_some(error)
            });
        }
    });
    tokio::time::sleep(Duration::from_millis(2200)).await;
    (scene, browser)
}

#[tokio::test]
async fn row_3_3_the_end_of_a_token_is_a_silent_redirect() {
    let (scene, browser) = aged(None).await;
    let api = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(api.status, 401);
    assert_eq!(api.json()["reason"], "access_token_ended");
    let answer = browser.open(&scene.gateway.url("/back?here=1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.as_str(), scene.gateway.url("/back?here=1"));
    assert_eq!(prompts(&scene), [None, Some("none".to_owned())]);
    // A stranger is asked in the open.
    scene.signed_in(User::bob()).await;
    assert_eq!(prompts(&scene).last(), Some(&None));
}

#[tokio::test]
async fn row_3_3_a_provider_that_must_ask_is_asked_in_the_open_once() {
    for error in [
        "login_required",
        "interaction_required",
        "consent_required",
        "access_denied",
    ] {
        let (scene, browser) = aged(Some(error)).await;
        let answer = browser.open(&scene.gateway.url("/back?here=1")).await;
        assert_eq!(answer.status, 200, "{error}: {}", answer.text());
        assert_eq!(answer.url.as_str(), scene.gateway.url("/back?here=1"));
        assert_eq!(
            prompts(&scene),
            [None, Some("none".to_owned()), None],
            "{error}"
        );
        let log = scene.gateway.log();
        assert!(!log.contains("sign-in failed"), "nothing failed: {log}");
    }
    // If that fails too, there is a page.
    let (scene, browser) = aged(Some("login_required")).await;
    scene
        .provider
        .set(|script| script.judge(|_| Some("login_required")));
    let answer = browser.open(&scene.gateway.url("/x")).await;
    names(&answer, 403, "login_required", "authorize");
    assert_eq!(scene.provider.count(Endpoint::Authorize), 3);
}

#[tokio::test]
async fn row_3_4_offline_access_that_is_refused_is_left_out_once() {
    let scene = Scene::start().await;
    let offline = |request: &Recorded| {
        let scope = request.parameter("scope").unwrap_or_default();
        scope.contains("offline_access").then_some("invalid_scope")
    };
    scene.provider.set(|script| script.judge(offline));
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/deep")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.path(), "/deep");
    assert_eq!(scene.logins(), (2, 1));
    let scopes = scene.provider.recorded(Endpoint::Authorize);
    let scopes: Vec<_> = scopes
        .iter()
        .filter_map(|seen| seen.parameter("scope"))
        .collect();
    assert!(scopes[0].contains("offline_access") && !scopes[1].contains("offline_access"));
    let log = scene.gateway.log();
    let told = log
        .lines()
        .filter(|line| line.contains("refuses offline_access"));
    assert_eq!(told.filter(|line| line.contains("\"WARN\"")).count(), 1);

    // Other scopes may be the trouble: then it is the operator's.
    scene
        .provider
        .set(|script| script.judge(|_| Some("invalid_scope")));
    let answer = Browser::new().open(&scene.gateway.url("/deep")).await;
    names(&answer, 503, "scope_rejected", "authorize");
    assert_eq!(scene.provider.count(Endpoint::Authorize), 4);
}

/// What one aged session gets: a way back without a question.
async fn comes_back_silently(provider: &Provider, place: &str) {
    provider.set(|script| script.access_lifetime = 2);
    let browser = Browser::new();
    // Where several providers are offered, the person chose one.
    let first = browser.open(place).await;
    let first = match first.url.path() {
        "/oauth2/sign_in" => {
            let page = first.text();
            let links = page
                .split("href=\"")
                .filter(|part| part.contains("provider=main"));
            let link = links
                .map(|part| part.split('"').next().expect("link"))
                .next();
            let link = link
                .expect("a choice")
                .replace("&#38;", "&")
                .replace("&amp;", "&");
            browser
                .open(first.url.join(&link).expect("url").as_str())
                .await
        }
        _ => first,
    };
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.url.as_str(), place);
    provider.set(|script| script.access_lifetime = 3600);
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let answer = browser.open(place).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.url.as_str(), place);
    let asked = provider.recorded(Endpoint::Authorize);
    let asked: Vec<_> = asked.iter().map(|seen| seen.parameter("prompt")).collect();
    assert_eq!(asked, [None, Some("none".to_owned())], "{place}");
}

#[tokio::test]
async fn row_3_3_the_same_on_every_kind_of_host_and_among_several_providers() {
    // A host with a session of its own, handed over from home.
    let provider = Provider::start("no-refresh-token").await;
    let upstream = Upstream::start().await;
    let plan = Plan::bare(&provider.issuer);
    let port = plan.port();
    let route = format!(
        "[route.files]\nhost = \"files.localhost:{port}\"\nupstream = \"{}\"\naccess = \"signed-in\"\n",
        upstream.url()
    );
    let gateway = plan.route(&route).start().await;
    comes_back_silently(&provider, &format!("http://files.localhost:{port}/x?a=b")).await;
    drop(gateway);

    // Hosts below one domain, and a second provider that nobody chose.
    let provider = Provider::start("no-refresh-token").await;
    let plan = Plan::bare(&provider.issuer);
    let port = plan.port();
    let routes = format!(
        "[provider.other]\nkind = \"oidc\"\nname = \"Other ID\"\n\
         issuer = \"http://127.0.0.1:{}\"\nclient_id = \"vestibule\"\n\n\
         [route_defaults]\nupstream = \"{}\"\naccess = \"signed-in\"\n\n\
         [route.home]\n\n[route.wiki]\nhost = \"wiki.apps.localhost:{port}\"\n",
        port::free(),
        upstream.url()
    );
    let home = format!("http://home.apps.localhost:{port}");
    let gateway = plan
        .environment("VESTIBULE__SERVER__PUBLIC_URL", &home)
        .session("cookie_domain = \"apps.localhost\"")
        .route(&routes)
        .start()
        .await;
    comes_back_silently(
        &provider,
        &format!("http://wiki.apps.localhost:{port}/x?a=b"),
    )
    .await;
    provider.set(|script| script.recorded.clear());
    comes_back_silently(&provider, &format!("{home}/x?a=b")).await;
    drop(gateway);
}

#[tokio::test]
async fn row_3_3_claims_that_grew_too_old_are_read_again_silently() {
    let scene = Scene::with("no-refresh-token", |plan| {
        plan.session("identity_max_age = \"2s\"")
    })
    .await;
    let browser = scene.signed_in(User::ann()).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let api = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(api.status, 401);
    assert_eq!(api.json()["reason"], "identity_too_old");
    let answer = browser.open(&scene.gateway.url("/x")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(prompts(&scene), [None, Some("none".to_owned())]);
}
