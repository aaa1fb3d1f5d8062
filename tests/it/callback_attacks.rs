//! Answers of the provider that were not given, not to this browser, or not
//! once: none redeems a code, none signs anybody in.

use futures_util::future::join_all;
use url::Url;

use crate::harness::browser::Browser;
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::wire::Answer;

/// The same address with its query pairs changed.
fn altered(url: &Url, change: impl FnOnce(&mut Vec<(String, String)>)) -> Url {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    change(&mut pairs);
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

fn set(pairs: &mut Vec<(String, String)>, name: &str, value: &str) {
    pairs.retain(|(key, _)| key != name);
    pairs.push((name.to_owned(), value.to_owned()));
}

fn signed_in(browser: &Browser) -> bool {
    browser
        .cookies()
        .iter()
        .any(|cookie| cookie.name.ends_with("vestibule"))
}

/// A fresh browser's answer is changed and delivered: 4xx, no token request, no session.
async fn refused(
    scene: &Scene,
    what: &str,
    change: impl FnOnce(&mut Vec<(String, String)>),
) -> Answer {
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let before = scene.provider.count(Endpoint::Code);
    let answer = browser.step(altered(&callback, change).as_str()).await;
    assert!(
        answer.status.is_client_error(),
        "{what}: {} {}",
        answer.status,
        answer.text()
    );
    assert_eq!(
        scene.provider.count(Endpoint::Code),
        before,
        "{what}: a code was redeemed"
    );
    assert!(!signed_in(&browser), "{what}: signed in");
    assert!(
        answer.header("cache-control").contains("no-store"),
        "{what}"
    );
    answer
}

#[tokio::test]
async fn sec_rp_02_state_belongs_to_one_browser_and_one_attempt() {
    let scene = Scene::start().await;
    refused(&scene, "no state", |pairs| {
        pairs.retain(|(key, _)| key != "state")
    })
    .await;
    refused(&scene, "empty state", |pairs| set(pairs, "state", "")).await;
    refused(&scene, "made-up state", |pairs| {
        set(pairs, "state", "AAAAAAAAAAAAAAAAAAAAAAAA")
    })
    .await;
    refused(&scene, "one character altered", |pairs| {
        for (key, value) in pairs.iter_mut().filter(|(key, _)| key == "state") {
            let last = if value.ends_with('A') { "B" } else { "A" };
            value.replace_range(value.len() / 2..=value.len() / 2, last);
            assert_eq!(key, "state");
        }
    })
    .await;

    // The whole answer of another browser: login CSRF.
    let mal = Browser::new();
    let stolen = scene.callback_of(&mal).await;
    let victim = Browser::new();
    scene.callback_of(&victim).await;
    let before = scene.provider.count(Endpoint::Code);
    let answer = victim.link("http://evil.localhost/", stolen.as_str()).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert_eq!(scene.provider.count(Endpoint::Code), before);
    assert!(!signed_in(&victim));
}

#[tokio::test]
async fn sec_rp_20_a_code_of_one_tab_fails_in_another() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let one = scene.callback_of(&browser).await;
    let two = scene.callback_of(&browser).await;
    let code = |url: &Url| {
        url.query_pairs()
            .find(|(key, _)| key == "code")
            .expect("code")
            .1
            .into_owned()
    };
    let foreign = code(&one);
    let answer = browser
        .step(altered(&two, |pairs| set(pairs, "code", &foreign)).as_str())
        .await;
    assert!(
        !answer.status.is_success() && !answer.status.is_redirection(),
        "{}",
        answer.status
    );
    assert!(!signed_in(&browser));
}

#[tokio::test]
async fn sec_rp_03_one_code_is_redeemed_once_however_often_it_comes() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    // Twins hold the same cookies; one jar would serialise what a browser does not.
    let twins: Vec<Browser> = (0..20).map(|_| browser.twin()).collect();
    let answers = join_all(twins.iter().map(|twin| twin.step(callback.as_str()))).await;
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
    assert!(
        answers.iter().any(|answer| answer.status == 303),
        "nobody got in"
    );
    for (twin, answer) in twins.iter().zip(&answers) {
        assert!(
            answer.status.as_u16() < 500,
            "{}: {}",
            answer.status,
            answer.text()
        );
        if signed_in(twin) {
            let answer = twin.fetch("GET", &scene.gateway.url("/x"), &[]).await;
            assert_eq!(answer.status, 200);
        }
    }
}

#[tokio::test]
async fn sec_rp_05_errors_of_the_provider_become_a_clean_page() {
    let scene = Scene::start().await;
    let long = "x".repeat(10_000);
    let cases = [
        ("access_denied", "<script>alert(1)</script>"),
        ("login_required", ""),
        ("server_error", "internal"),
        ("made_up_<b>", long.as_str()),
    ];
    for (error, description) in cases {
        let browser = Browser::new();
        let callback = scene.callback_of(&browser).await;
        let url = altered(&callback, |pairs| {
            pairs.retain(|(key, _)| key != "code");
            set(pairs, "error", error);
            set(pairs, "error_description", description);
        });
        let answer = browser.step(url.as_str()).await;
        assert!(
            answer.status.is_client_error() || answer.status.is_server_error(),
            "{error}: {}",
            answer.status
        );
        let text = answer.text();
        assert!(
            !text.contains("<script>alert") && !text.contains("made_up_<b>"),
            "{error}"
        );
        assert!(!text.contains(&"x".repeat(2000)), "{error}");
        assert!(!signed_in(&browser));
    }
    // Without a state that is ours, nothing of it is believed.
    let stranger = Browser::new();
    let url = scene
        .gateway
        .own("/callback?error=access_denied&state=nobody");
    assert_eq!(stranger.step(&url).await.status, 400);
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
}

#[tokio::test]
async fn sec_rp_06_code_and_error_together_or_an_empty_code() {
    let scene = Scene::start().await;
    refused(&scene, "both", |pairs| set(pairs, "error", "access_denied")).await;
    refused(&scene, "empty code", |pairs| set(pairs, "code", "")).await;
    refused(&scene, "no code", |pairs| {
        pairs.retain(|(key, _)| key != "code")
    })
    .await;
}

#[tokio::test]
async fn sec_rp_07_no_parameter_twice() {
    let scene = Scene::start().await;
    for name in ["state", "code", "iss"] {
        refused(&scene, name, |pairs| {
            let twin = pairs
                .iter()
                .find(|(key, _)| key == name)
                .expect("present")
                .clone();
            pairs.push(twin);
        })
        .await;
    }
}

#[tokio::test]
async fn sec_rp_08_tokens_from_the_front_channel_are_refused() {
    let scene = Scene::start().await;
    for name in ["access_token", "id_token"] {
        refused(&scene, name, |pairs| {
            pairs.retain(|(key, _)| key != "code");
            set(pairs, name, "eyJhbGciOiJub25lIn0.e30.");
        })
        .await;
    }
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let answer = browser
        .submit(
            "http://evil.localhost/",
            callback.as_str(),
            &[("id_token", "x")],
        )
        .await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
}

#[tokio::test]
async fn sec_rp_10_callback_leaks_neither_code_nor_state() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let answer = browser.step(callback.as_str()).await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("cache-control").contains("no-store"));
    assert_eq!(answer.header("referrer-policy"), "no-referrer");
    let location = answer.location().expect("location");
    assert_eq!(location.as_str(), scene.gateway.url("/hello"));
    session_cookie(&browser);
    // The attempt's own cookie is gone with it.
    assert!(
        browser
            .cookies()
            .iter()
            .all(|cookie| !cookie.name.contains("-t-"))
    );
}

#[tokio::test]
async fn sec_rp_28_issuer_of_the_answer_is_the_one_that_was_asked() {
    let scene = Scene::start().await;
    let issuer = scene.provider.issuer.clone();
    for wrong in [
        "https://evil.test",
        "",
        &format!("{issuer}/"),
        &issuer.to_uppercase(),
    ] {
        refused(&scene, wrong, |pairs| set(pairs, "iss", wrong)).await;
    }
    refused(&scene, "announced but missing", |pairs| {
        pairs.retain(|(key, _)| key != "iss")
    })
    .await;
}

#[tokio::test]
async fn sec_rp_54_discovery_of_another_issuer_is_refused() {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| {
        script.alter_discovery = Some(std::sync::Arc::new(|document| {
            let issuer = document["issuer"].as_str().expect("issuer").to_owned();
            document.insert("issuer".to_owned(), format!("{issuer}/").into());
        }));
    });
    let scene = Scene::with_provider(provider, |plan| plan).await;
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert_eq!(scene.provider.count(Endpoint::Authorize), 0);
}

#[tokio::test]
async fn sec_ses_16_reload_of_a_finished_callback_redeems_nothing() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    browser.open(callback.as_str()).await;
    let cookie = session_cookie(&browser);
    let answer = browser.step(callback.as_str()).await;
    assert!(
        answer.status.is_redirection() || answer.status.is_client_error(),
        "{}: {}",
        answer.status,
        answer.text()
    );
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
    assert_eq!(session_cookie(&browser), cookie, "the session goes on");
    // A thief with the address alone gets nothing.
    let thief = Browser::new();
    assert!(thief.step(callback.as_str()).await.status.is_client_error());
    assert!(!signed_in(&thief));
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
}

#[tokio::test]
async fn reload_of_a_failed_callback_asks_the_provider_nothing() {
    let scene = Scene::start().await;
    scene
        .provider
        .set(|script| script.id_token(|claims| drop(claims.remove("nonce"))));
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let first = browser.step(callback.as_str()).await;
    assert!(first.status.as_u16() >= 400);
    let second = browser.step(callback.as_str()).await;
    assert!(second.status.as_u16() >= 400, "{}", second.status);
    assert_eq!(scene.provider.count(Endpoint::Code), 1);
    scene.provider.set(|script| script.alter_id_token = None);
    scene.sign_in(&browser, User::ann()).await;
}

#[tokio::test]
async fn sec_red_16_return_address_in_state_is_not_for_the_browser_to_change() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    for evil in [
        "https://evil.test/",
        "//evil.test",
        "/\\evil.test",
        "https:evil.test",
        "/%09/evil.test",
    ] {
        let start = format!(
            "/start?rd={}",
            url::form_urlencoded::byte_serialize(evil.as_bytes()).collect::<String>()
        );
        let answer = browser.open(&scene.gateway.own(&start)).await;
        assert_eq!(
            answer.url.origin().ascii_serialization(),
            scene.gateway.url(""),
            "{evil}"
        );
    }
}
