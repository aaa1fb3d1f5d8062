//! What scripts of single-page applications ask, and who may read the answers.

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::Scene;
use crate::harness::wire::Answer;

fn json(answer: &Answer) -> Value {
    serde_json::from_str(&answer.text()).expect("json")
}

fn count(answer: &Answer, name: &str) -> usize {
    answer.headers.get_all(name).iter().count()
}

async fn session(gateway: &Gateway, browser: &Browser) -> Value {
    let answer = browser.fetch("GET", &gateway.own("/session"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(count(&answer, "set-cookie"), 0);
    json(&answer)
}

#[tokio::test]
async fn the_session_endpoint_tells_who_is_there_and_until_when() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.session("lifetime = \"2h\"\nidle_timeout = \"1h\"")
    })
    .await;
    let anybody = session(&scene.gateway, &Browser::new()).await;
    assert_eq!(anybody["signed_in"], false);
    let login_url = anybody["login_url"].as_str().expect("login_url");
    assert!(login_url.starts_with(&scene.gateway.own("/start?rd=")));
    let ann = scene.signed_in(User::ann()).await;
    let told = session(&scene.gateway, &ann).await;
    assert_eq!(told["signed_in"], true);
    assert_eq!(told["provider"], "main");
    let userinfo = ann.fetch("GET", &scene.gateway.own("/userinfo"), &[]).await;
    assert_eq!(told["user"], json(&userinfo)["user"]);
    let left = told["expires_in"].as_u64().expect("expires_in");
    assert!(
        (3500..=3600).contains(&left),
        "the idle time is earlier: {left}"
    );
    assert!(told["expires_at"].as_u64().expect("expires_at") > 1_700_000_000);
    let posted = ann.fetch("POST", &scene.gateway.own("/session"), &[]).await;
    assert_eq!(
        (posted.status.as_u16(), posted.header("allow")),
        (405, "GET, HEAD")
    );
}

#[tokio::test]
async fn asking_for_the_session_is_no_use_of_it() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.session("lifetime = \"1h\"\nidle_timeout = \"30s\"")
    })
    .await;
    let ann = scene.signed_in(User::ann()).await;
    let calls = scene.provider.count(Endpoint::Refresh);
    let first = session(&scene.gateway, &ann).await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let second = session(&scene.gateway, &ann).await;
    assert_eq!(first["expires_at"], second["expires_at"]);
    let left = |told: &Value| told["expires_in"].as_u64().expect("expires_in");
    assert!(left(&second) < left(&first), "{first} {second}");
    ann.fetch("GET", &scene.gateway.url("/hello"), &[]).await;
    let used = session(&scene.gateway, &ann).await;
    assert!(left(&used) > left(&second), "a use counts: {used} {second}");
    assert_eq!(scene.provider.count(Endpoint::Refresh), calls);
}

#[tokio::test]
async fn sec_ses_32_only_the_routes_own_origins_read_our_answers() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let anybody = Browser::new();
    let gateway = &scene.gateway;
    let own = format!("http://{}", gateway.authority());
    let strangers = [
        "https://evil.test".to_owned(),
        "null".to_owned(),
        "http://app.localhost".to_owned(),
        own.replace("http://", "https://"),
        format!("{own}.evil.test"),
        format!("{own}/"),
        own.to_uppercase(),
        own.replace("app.", "evil.app."),
        "*".to_owned(),
    ];
    for (browser, url, status) in [
        (&ann, gateway.own("/session"), 200),
        (&anybody, gateway.own("/session"), 200),
        (&ann, gateway.own("/userinfo"), 200),
        (&anybody, gateway.own("/userinfo"), 401),
        (&anybody, gateway.url("/api/data"), 401),
    ] {
        let answer = browser.fetch("GET", &url, &[("origin", &own)]).await;
        assert_eq!(answer.status.as_u16(), status, "{url}");
        assert_eq!(answer.header("access-control-allow-origin"), own, "{url}");
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("vary").contains("Origin"), "{url}");
        for stranger in &strangers {
            let answer = browser.fetch("GET", &url, &[("origin", stranger)]).await;
            assert_eq!(answer.status.as_u16(), status, "{url}");
            for name in [
                "access-control-allow-origin",
                "access-control-allow-credentials",
            ] {
                assert_eq!(count(&answer, name), 0, "{url} {stranger}");
            }
            assert!(answer.header("vary").contains("Origin"), "{url}");
        }
        let both = [("origin", own.as_str()), ("origin", "https://evil.test")];
        let answer = browser.fetch("GET", &url, &both).await;
        assert_eq!(count(&answer, "access-control-allow-origin"), 0, "{url}");
        let plain = browser.fetch("GET", &url, &[]).await;
        assert_eq!(count(&plain, "access-control-allow-origin"), 0, "{url}");
        assert!(plain.header("vary").contains("Origin"), "{url}");
    }
    // Not ours to say: other endpoints, and answers of applications.
    for url in [
        gateway.own("/"),
        gateway.own("/sign_out"),
        gateway.own("/nowhere"),
        gateway.url("/hello"),
    ] {
        let answer = ann.fetch("GET", &url, &[("origin", &own)]).await;
        assert_eq!(count(&answer, "access-control-allow-origin"), 0, "{url}");
    }
}

#[tokio::test]
async fn sec_ses_32_origins_of_other_routes_are_strangers() {
    let provider = Provider::start("oidc-plain").await;
    let plan = Plan::bare(&provider.issuer);
    let host = plan.origin().replace("http://", "");
    let sibling = host.replace("app.localhost", "api.app.localhost");
    let other = host.replace("app.localhost", "other.app.localhost");
    let open =
        "upstream = \"http://127.0.0.1:1\"\nrules = [ { path = \"/*\", lane = \"public\" } ]";
    let gateway = plan
        .route(&format!(
            "[route.app]\nhost = [\"{host}\", \"{sibling}\"]\n{open}\n\
             [route.other]\nhost = \"{other}\"\n{open}\n"
        ))
        .start()
        .await;
    let browser = Browser::new();
    for (origin, allowed) in [(&host, true), (&sibling, true), (&other, false)] {
        let origin = format!("http://{origin}");
        for path in ["/a", "/oauth2/session"] {
            let answer = browser
                .fetch("GET", &gateway.url(path), &[("origin", &origin)])
                .await;
            let told = count(&answer, "access-control-allow-origin");
            assert_eq!(told, usize::from(allowed), "{origin} {path}");
        }
    }
}

#[tokio::test]
async fn a_401_carries_a_login_url_that_a_script_can_complete() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let page = scene.gateway.url("/app#/inbox");
    let page = page.split('#').next().expect("page");
    let answer = browser
        .fetch(
            "GET",
            &scene.gateway.url("/api"),
            &[("accept", "application/json")],
        )
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = json(&answer);
    let mut login =
        url::Url::parse(problem["login_url"].as_str().expect("login_url")).expect("url");
    // searchParams.set("rd", …): it replaces the one that is there.
    login.query_pairs_mut().clear().append_pair("rd", page);
    scene.provider.set(|script| script.user = User::ann());
    let answer = browser.open(login.as_str()).await;
    assert_eq!((answer.status.as_u16(), answer.url.as_str()), (200, page));
}
