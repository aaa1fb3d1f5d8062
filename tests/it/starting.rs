//! Starts: with peers that are down, and with configurations that are wrong.

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::Plan;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::provider::{Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::upstream::Upstream;

#[tokio::test]
async fn sec_rp_55_provider_down_at_start() {
    let provider = Provider::prepared(port::free(), "oidc-plain");
    let scene = Scene::with_provider(provider, |plan| plan).await;
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.header("retry-after"), "");
    assert!(!answer.reference().is_empty(), "{}", answer.text());
    scene.provider.up().await;
    crate::harness::until::some("sign-in works without a restart", || async {
        let answer = browser.open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn store_down_at_start_and_back_later() {
    if !part::have("store_down_at_start_and_back_later", &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    redis.kill();
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = Plan::new(&provider.issuer, &upstream.url())
        .redis(&redis.lines())
        .route(
            "rules = [ { path = \"/public/*\", lane = \"public\" }, { path = \"/explore/*\", lane = \"optional\" } ]",
        );
    let mut gateway = plan.start_unready().await;
    gateway.admin_answers("/readyz", 503).await;
    let browser = Browser::new();
    let public = browser.fetch("GET", &gateway.url("/public/x"), &[]).await;
    assert_eq!(public.status, 200, "public lanes go on");
    // Nobody can say who it is: the page that is for everybody is shown to nobody in particular.
    let ticket = [("cookie", "vestibule=v1.anything")];
    let url = gateway.url("/explore/x");
    let explored = browser.fetch("GET", &url, &ticket).await;
    assert_eq!(explored.status, 200, "optional lanes go on");
    assert_eq!(Echo::of(&explored).one("x-forwarded-user"), None);
    redis.restart().await;
    gateway.ready().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    scene.sign_in(&browser, User::ann()).await;
}

fn plan() -> Plan {
    Plan::new("http://127.0.0.1:1", "http://127.0.0.1:2")
}

#[tokio::test]
async fn every_mistake_is_told_at_once_with_its_place_and_cure() {
    let plan = plan()
        .session("lifetme = \"30d\"\nidle_timeout = 7")
        .provider("email_verified = \"perhaps\"")
        .route("acess = \"signed-in\"");
    for words in [["serve"], ["check"]] {
        let (status, text) = plan.ends(&words).await;
        assert!(!status.success(), "{words:?}");
        for part in [
            "session.lifetme",
            "lifetime",
            "session.idle_timeout",
            "provider.main.email_verified",
            "route.app.acess",
            "access",
        ] {
            assert!(
                text.contains(part),
                "{words:?} does not name {part}:\n{text}"
            );
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// `check` and the start say the same sentences.
#[tokio::test]
async fn a_good_configuration_is_checked_and_explained() {
    let plan = plan().route(
        "rules = [ { path = \"/admin/*\", lane = \"deny\" }, { methods = [\"GET\"], path = \"/u/*\", lane = \"public\" } ]",
    );
    let (status, text) = plan.ends(&["check"]).await;
    assert!(status.success(), "{text}");
    let gateway = plan.start().await;
    let log = gateway.log();
    for said in [
        "/admin/*: nobody",
        "/u/* (GET): everybody, without signing in",
        "/* (everything else): whoever signs in with",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
        assert!(log.contains(said), "{said}\n{log}");
    }
}

#[tokio::test]
async fn sec_ses_07_and_row_1_2_a_ring_that_is_missing_or_weak_is_refused_by_name() {
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for ring in [None, Some("short\n"), Some(zero), Some("")] {
        let plan = plan().redis("url = \"redis://127.0.0.1:3/0\"");
        let file = plan.folder().join("keys");
        match ring {
            None => std::fs::remove_file(&file).expect("file"),
            Some(text) => std::fs::write(&file, text).expect("file"),
        }
        let (status, text) = plan.ends(&["serve"]).await;
        assert!(!status.success(), "{ring:?}");
        assert!(text.contains("keys.file"), "{ring:?}: {text}");
    }
}

#[tokio::test]
async fn row_1_3_another_ring_means_signed_out_and_no_error() {
    if !part::have(
        "row_1_3_another_ring_means_signed_out_and_no_error",
        &[Part::Redis],
    ) {
        return;
    }
    let redis = Redis::start().await;
    let mut scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let ann = scene.signed_in(User::ann()).await;
    let file = scene.gateway.plan().folder().join("keys");
    let other = "RBPm6oXHk3Uq0vYt5nDs1aWc8eJf2gKh4iLj7oMp9rA=\n";
    std::fs::write(&file, other).expect("file");
    scene.gateway.kill();
    scene.gateway.restart().await;
    assert_eq!(
        ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
        401
    );
    scene.sign_in(&ann, User::ann()).await;
}

/// The newest key writes, the older ones read; a key that is gone is no error.
#[tokio::test]
async fn row_1_3_keys_are_replaced_one_after_the_other() {
    let mut scene = Scene::start().await;
    let file = scene.gateway.plan().folder().join("keys");
    let old = std::fs::read_to_string(&file).expect("file");
    let new = "RBPm6oXHk3Uq0vYt5nDs1aWc8eJf2gKh4iLj7oMp9rA=\n";
    let ann = scene.signed_in(User::ann()).await;
    let url = scene.gateway.url("/x");
    std::fs::write(&file, format!("{new}{old}")).expect("file");
    scene.gateway.restart().await;
    assert_eq!(ann.fetch("GET", &url, &[]).await.status, 200);
    assert_eq!(scene.logins(), (1, 1));
    let bob = scene.signed_in(User::bob()).await;
    std::fs::write(&file, new).expect("file");
    scene.gateway.restart().await;
    assert_eq!(bob.fetch("GET", &url, &[]).await.status, 200);
    assert_eq!(scene.logins(), (2, 2));
    assert_eq!(ann.fetch("GET", &url, &[]).await.status, 401);
    let answer = ann.step(&url).await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    assert_eq!(scene.sign_in(&ann, User::ann()).await.status, 200);
}

/// Said by name at the start: replicas that sign each other's people out.
#[tokio::test]
async fn row_1_4_replicas_with_other_keys_or_other_cookies_are_found() {
    let name = "row_1_4_replicas_with_other_keys_or_other_cookies_are_found";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    scene.signed_in(User::ann()).await;
    let plan = scene.gateway.plan();
    let same = plan.replica().start().await;
    let keys = plan.folder().join("other-keys");
    let other = "RBPm6oXHk3Uq0vYt5nDs1aWc8eJf2gKh4iLj7oMp9rA=\n";
    std::fs::copy(plan.folder().join("keys"), &keys).expect("a private file");
    std::fs::write(&keys, other).expect("file");
    let foreign = plan
        .replica()
        .environment("VESTIBULE__KEYS__FILE", &keys.display().to_string())
        .start()
        .await;
    let told = "\"alert\":\"key_ring_of_another_store\"";
    until::holds("the keys differ", || foreign.log().contains(told)).await;
    let strict = plan
        .replica()
        .environment("VESTIBULE__SESSION__SAME_SITE", "strict")
        .start()
        .await;
    let differs = "\"alert\":\"cookie_settings_differ\"";
    until::holds("the cookies differ", || strict.log().contains(differs)).await;
    assert!(!same.log().contains(told));
    assert!(!same.log().contains(differs));
    assert!(!foreign.log().contains(differs));
}

#[tokio::test]
async fn operators_listener_tells_liveness_readiness_and_metrics() {
    let scene = Scene::start().await;
    scene.signed_in(User::ann()).await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(scene.gateway.admin(path).await.expect("answer").status, 200);
    }
    let metrics = scene
        .gateway
        .admin("/metrics")
        .await
        .expect("answer")
        .text();
    assert!(metrics.contains("vestibule_build_info"), "{metrics}");
    assert!(
        metrics
            .lines()
            .all(|line| line.starts_with('#') || line.is_empty() || line.starts_with("vestibule_"))
    );
    assert!(
        scene.gateway.metric("vestibule_login").await >= 1.0,
        "{metrics}"
    );
    // None of it on the public side.
    for path in ["/livez", "/metrics"] {
        let answer = Browser::new()
            .fetch("GET", &scene.gateway.url(path), &[])
            .await;
        assert_eq!(answer.status, 401, "{path}");
    }
}

#[tokio::test]
async fn environment_overrides_the_file_and_unknown_names_are_fatal() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.environment("VESTIBULE__SESSION__LIFETIME", "2d")
            .environment("VESTIBULE_PORT", "tcp://1.2.3.4:5")
    })
    .await;
    let ann = scene.signed_in(User::ann()).await;
    let value = session_cookie(&ann);
    let cookies = ann.cookies();
    let cookie = cookies
        .iter()
        .find(|cookie| cookie.value == value)
        .expect("cookie");
    assert_eq!(cookie.max_age, Some(2 * 24 * 3600));

    let (status, text) = plan()
        .environment("VESTIBULE__SESSION__LIFETMIE", "2d")
        .ends(&["check"])
        .await;
    assert!(!status.success());
    assert!(text.contains("VESTIBULE__SESSION__LIFETMIE"), "{text}");
}

/// Browsers complain about it; a gateway that does not start would be worse.
#[tokio::test]
async fn a_certificate_that_has_ended_is_told_and_stops_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = Plan::new(&provider.issuer, &upstream.url()).tls();
    let (status, said) = plan.ends(&["check"]).await;
    assert!(
        status.success() && !said.contains("certificate_file"),
        "{said}"
    );
    let mut parameters = rcgen::CertificateParams::new(vec!["app.localhost".into()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let ended = parameters.self_signed(&key).unwrap();
    let key_file = plan.folder().join("tls-key.pem");
    std::fs::write(plan.certificate(), ended.pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (status, said) = plan.ends(&["check"]).await;
    assert!(status.success(), "{said}");
    assert!(
        said.contains("ended Fri, 01 Jan 2021 00:00:00 GMT"),
        "{said}"
    );
    assert!(said.contains("server.tls.certificate_file"), "{said}");
    let gateway = plan.start().await;
    crate::harness::until::holds("the log names the end", || {
        gateway.log().contains("certificate_ended")
    })
    .await;
}
