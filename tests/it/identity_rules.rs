//! What applications know people by, whose name it is, and what is forgotten
//! when a browser changes hands.

use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Provider, User};
use crate::harness::scene::Scene;
use crate::harness::upstream::Upstream;

async fn known_by(lines: &str) -> Scene {
    Scene::with("oidc-plain", |plan| plan.route(lines)).await
}

/// Another person of the provider who calls himself ann too.
fn mallory() -> User {
    User {
        subject: "sub-mallory".to_owned(),
        ..User::bob()
    }
    .with("preferred_username", json!("\u{ff21}NN"))
    .with("email", json!("Ann@Corp.test"))
}

#[tokio::test]
async fn each_route_says_what_it_knows_people_by() {
    for (lines, expected) in [
        ("", "sub-ann"),
        ("user_from = \"subject\"", "sub-ann"),
        ("user_from = \"username\"", "ann"),
        ("user_from = \"email\"", "ann@corp.test"),
    ] {
        let scene = known_by(lines).await;
        let echo = Echo::of(&scene.sign_in(&Browser::new(), User::ann()).await);
        assert_eq!(echo.one("x-forwarded-user"), Some(expected), "{lines}");
    }
}

#[tokio::test]
async fn an_unverified_mail_address_is_no_user_and_is_never_told() {
    let scene = known_by("user_from = \"email\"").await;
    for unverified in [json!(false), json!("yes")] {
        let user = User::ann().with("email_verified", unverified.clone());
        scene.provider.set(|script| script.user = user);
        let browser = Browser::new();
        let before = scene.upstream.requests().len();
        let answer = browser.open(&scene.gateway.url("/hello")).await;
        assert_eq!(answer.status, 403, "{unverified}: {}", answer.text());
        let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains("user_unknown"), "{}", answer.text());
        assert_eq!(scene.upstream.requests().len(), before);
    }
}

#[tokio::test]
async fn a_name_belongs_to_the_first_person_who_brings_it() {
    for (by, name) in [("username", "ann"), ("email", "ann@corp.test")] {
        let mut scene = known_by(&format!("user_from = \"{by}\"")).await;
        let ann = scene.signed_in(User::ann()).await;
        scene.provider.set(|script| script.user = mallory());
        let second = Browser::new();
        let before = scene.upstream.requests().len();
        let page = second.open(&scene.gateway.url("/hello")).await;
        assert_eq!(page.status, 403, "{by}");
        assert!(page.text().contains("This name belongs to somebody else"));
        let answer = second.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(answer.status, 403);
        assert!(
            answer.text().contains("username_taken"),
            "{}",
            answer.text()
        );
        assert_eq!(scene.upstream.requests().len(), before, "nothing passed");
        // Ann is not disturbed, and a restart forgets nothing.
        scene.gateway.restart().await;
        for _ in 0..2 {
            let echo = Echo::of(&ann.fetch("GET", &scene.gateway.url("/x"), &[]).await);
            assert_eq!(echo.one("x-forwarded-user"), Some(name));
            let answer = second.fetch("GET", &scene.gateway.url("/x"), &[]).await;
            assert_eq!(answer.status, 403);
        }
        // An operator can free it, in any spelling; ours is told first where
        // nobody had it.
        let option = format!("--{by}");
        let plan = scene.gateway.plan().clone();
        let (ended, said) = plan.ends(&["names", "release", &option, "nobody"]).await;
        assert!(!ended.success(), "{said}");
        // From a place where the gateway's database is not, none is made.
        let elsewhere = tempfile::tempdir().expect("folder");
        let folder = elsewhere.path().to_str().expect("text");
        let astray = plan.clone().environment("VESTIBULE__SESSION__PATH", folder);
        let (ended, said) = astray.ends(&["names", "release", &option, name]).await;
        assert!(!ended.success() && said.contains("session.path"), "{said}");
        let made = elsewhere.path().read_dir().expect("a folder").count();
        assert_eq!(made, 0, "{said}");
        let (ended, said) = plan
            .ends(&["names", "release", &option, &name.to_uppercase()])
            .await;
        assert!(ended.success(), "{said}");
        crate::harness::until::some("the second one has the name now", || async {
            let answer = second.fetch("GET", &scene.gateway.url("/x"), &[]).await;
            (answer.status == 200).then_some(())
        })
        .await;
        // A name of his own lets him in.
        let named = mallory()
            .with("preferred_username", json!("mal"))
            .with("email", json!("mal@corp.test"));
        let echo = Echo::of(&scene.sign_in(&Browser::new(), named).await);
        assert!(echo.one("x-forwarded-user").unwrap().starts_with("mal"));
    }
}

/// Whether the browser still has the application's cookie.
fn has_app_cookie(browser: &Browser) -> bool {
    browser
        .cookies()
        .iter()
        .any(|cookie| cookie.name == "app_session" && !cookie.value.is_empty())
}

/// What an application's own sign-in does.
fn app_signs_in(browser: &Browser, scene: &Scene) {
    browser.plant(&scene.gateway.url("/"), "app_session", "of-somebody");
    assert!(has_app_cookie(browser));
}

/// Signs in once more although a session lives.
async fn sign_in_again(scene: &Scene, browser: &Browser, user: User) {
    scene.provider.set(|script| script.user = user);
    let start = scene.gateway.own("/start?rd=/hello");
    let answer = browser.open(&start).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn the_applications_session_ends_when_the_browser_changes_hands() {
    let scene = known_by("clear_cookies = [\"app_session\"]").await;
    let browser = Browser::new();
    app_signs_in(&browser, &scene);
    scene.sign_in(&browser, User::ann()).await;
    assert!(!has_app_cookie(&browser), "whose it was, nobody knows");

    app_signs_in(&browser, &scene);
    sign_in_again(&scene, &browser, User::ann()).await;
    assert!(has_app_cookie(&browser), "ann goes on");

    sign_in_again(&scene, &browser, User::bob()).await;
    assert!(!has_app_cookie(&browser), "bob is not ann");
    let echo = Echo::of(&browser.fetch("GET", &scene.gateway.url("/x"), &[]).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-bob"));
    assert_eq!(echo.one("cookie"), None);
}

#[tokio::test]
async fn other_cookies_of_the_application_stay() {
    let scene = known_by("clear_cookies = [\"other\"]").await;
    let browser = Browser::new();
    app_signs_in(&browser, &scene);
    scene.sign_in(&browser, User::ann()).await;
    sign_in_again(&scene, &browser, User::bob()).await;
    assert!(has_app_cookie(&browser));
}

#[tokio::test]
async fn presets_are_told_on_their_route_and_scrubbed_on_every_other() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let url = upstream.url();
    // For each preset: what arrives. Everything else of the list must not.
    let presets: &[(&str, &[(&str, &str)])] = &[
        (
            "gitea",
            &[
                ("x-webauth-user", "sub-ann"),
                ("x-webauth-email", "ann@corp.test"),
                ("x-webauth-fullname", "Ann Example"),
            ],
        ),
        (
            "grafana",
            &[
                ("x-webauth-user", "sub-ann"),
                ("x-webauth-name", "Ann Example"),
                ("x-webauth-email", "ann@corp.test"),
                ("x-webauth-groups", "staff,admins"),
            ],
        ),
        (
            "jenkins",
            &[
                ("x-forwarded-user", "sub-ann"),
                ("x-forwarded-mail", "ann@corp.test"),
                ("x-forwarded-displayname", "Ann Example"),
                ("x-forwarded-groups", "staff|admins"),
            ],
        ),
        (
            "opensearch",
            &[
                ("x-proxy-user", "sub-ann"),
                ("x-proxy-roles", "staff,admins"),
            ],
        ),
        ("radicale", &[("x-remote-user", "sub-ann")]),
        ("paperless", &[("remote-user", "sub-ann")]),
        (
            "home-assistant",
            &[("x-forwarded-preferred-username", "ann")],
        ),
        (
            "open-webui",
            &[
                ("x-forwarded-email", "ann@corp.test"),
                ("x-forwarded-name", "Ann Example"),
                ("x-forwarded-groups", "staff,admins"),
            ],
        ),
        ("guacamole", &[("remote_user", "sub-ann")]),
        ("uptime-kuma", &[]),
        ("none", &[]),
    ];
    let mut names: Vec<&str> = presets
        .iter()
        .flat_map(|(_, told)| told.iter().map(|(name, _)| *name))
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut routes =
        format!("[route.app]\nupstream = \"{url}\"\naccess = \"signed-in\"\nidentity = \"none\"\n");
    for (preset, _) in presets {
        routes.push_str(&format!(
            "[route.{preset}]\npath = \"/{preset}/*\"\nupstream = \"{url}\"\n\
             access = \"signed-in\"\nidentity = \"{preset}\"\n"
        ));
    }
    let gateway = Plan::bare(&provider.issuer).route(&routes).start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let ann = scene.signed_in(User::ann()).await;
    let forged: Vec<(&str, &str)> = names.iter().map(|name| (*name, "root")).collect();
    for (preset, told) in presets {
        let url = scene.gateway.url(&format!("/{preset}/x"));
        let echo = Echo::of(&ann.fetch("GET", &url, &forged).await);
        for name in &names {
            let expected: Vec<&str> = told
                .iter()
                .filter(|(told, _)| told.replace('_', "-") == name.replace('_', "-"))
                .map(|(_, value)| *value)
                .collect();
            assert_eq!(echo.folded(name), expected, "{preset}: {name}");
        }
    }
}

#[tokio::test]
async fn groups_that_could_be_misread_are_logged_once_per_session() {
    let scene = known_by("group_separator = \"|\"").await;
    let browser = Browser::new();
    let user = User::ann().with("groups", json!(["staff", "a|b", "c,d"]));
    let echo = Echo::of(&scene.sign_in(&browser, user).await);
    assert_eq!(echo.one("x-forwarded-groups"), Some("staff|c,d"));
    for _ in 0..3 {
        let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(answer.status, 200);
    }
    let lines = |scene: &Scene| scene.gateway.log().matches("are not told upstream").count();
    assert_eq!(lines(&scene), 1);
}

#[tokio::test]
async fn check_lists_the_presets_when_one_is_misspelt() {
    let plan =
        Plan::new("https://id.example.com", "http://127.0.0.1:9").route("identity = \"gitaa\"");
    let (status, output) = plan.ends(&["check"]).await;
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("did you mean \"gitea\"?"), "{output}");
    assert!(output.contains("\"home-assistant\""), "{output}");
}

/// Two hosts that share the cookie: nobody signs in on the second.
#[tokio::test]
async fn below_a_shared_cookie_the_session_ends_when_somebody_else_arrives() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let routes = format!(
        "[route_defaults]\naccess = \"signed-in\"\nupstream = \"{url}\"\n\
         [route.home]\n[route.wiki]\nhost = \"wiki.app.localhost\"\nclear_cookies = [\"app_session\"]\n"
    );
    let gateway = Plan::bare(&provider.issuer)
        .session("cookie_domain = \"app.localhost\"")
        .route(&routes)
        .start()
        .await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let wiki = scene
        .gateway
        .url("/page")
        .replace("app.localhost", "wiki.app.localhost");
    let browser = Browser::new();
    scene.sign_in(&browser, User::ann()).await;
    Echo::of(&browser.open(&wiki).await);
    browser.plant(&wiki, "app_session", "of-ann");
    let cookies = |echo: &Echo| echo.one("cookie").unwrap_or_default().to_owned();
    let echo = Echo::of(&browser.open(&wiki).await);
    assert_eq!(cookies(&echo), "app_session=of-ann", "ann goes on");
    sign_in_again(&scene, &browser, User::ann()).await;
    let echo = Echo::of(&browser.open(&wiki).await);
    assert_eq!(cookies(&echo), "app_session=of-ann", "still ann");

    sign_in_again(&scene, &browser, User::bob()).await;
    // A script that was left open speaks before any page is opened.
    let echo = Echo::of(&browser.fetch("GET", &wiki, &[]).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-bob"));
    assert_eq!(cookies(&echo), "", "not with ann's session");
    let before = scene.upstream.requests().len();
    let echo = Echo::of(&browser.open(&wiki).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-bob"));
    assert_eq!(cookies(&echo), "");
    assert!(!has_app_cookie(&browser));
    assert_eq!(scene.upstream.requests().len(), before + 1);
    browser.plant(&wiki, "app_session", "of-bob");
    let echo = Echo::of(&browser.open(&wiki).await);
    assert_eq!(cookies(&echo), "app_session=of-bob");
}
