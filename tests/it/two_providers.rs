//! Two providers behind one gateway: own callbacks, own subjects, and no
//! answer of one that counts as the other's (RFC 9700 section 4.4).

use url::Url;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::Scene;

/// The usual scene, and a second provider beside `main`.
async fn scene() -> (Scene, Provider) {
    let second = Provider::start("oidc-plain").await;
    let table = format!(
        "\n[provider.second]\nkind = \"oidc\"\nname = \"Second ID\"\nissuer = \"{}\"\n\
         client_id = \"vestibule\"\nclient_secret_file = \"client_secret\"\n",
        second.issuer
    );
    let scene = Scene::with("oidc-plain", |plan| plan.route(&table)).await;
    (scene, second)
}

/// The address of the callback that a sign-in at `provider` ends with.
async fn callback(scene: &Scene, browser: &Browser, provider: &str) -> Url {
    let start = scene
        .gateway
        .own(&format!("/start?rd=/x&provider={provider}"));
    let authorize = browser.step(&start).await.location().expect("provider");
    let back = browser.step(authorize.as_str()).await;
    back.location().expect("sent back")
}

#[tokio::test]
async fn the_sign_in_page_lists_both_and_each_signs_in() {
    let (scene, second) = scene().await;
    let ann = Browser::new();
    let page = ann.open(&scene.gateway.url("/hello")).await;
    assert_eq!(page.url.path(), "/oauth2/sign_in");
    for part in [
        "Example ID",
        "Second ID",
        "provider=main",
        "provider=second",
    ] {
        assert!(page.text().contains(part), "no {part}: {}", page.text());
    }
    for (provider, idp) in [("main", &scene.provider), ("second", &second)] {
        idp.set(|script| script.user = User::ann());
        let browser = Browser::new();
        let start = scene
            .gateway
            .own(&format!("/start?rd=/x&provider={provider}"));
        let echo = Echo::of(&browser.open(&start).await);
        // Subjects of two providers never mean the same person.
        let user = format!("{provider}:sub-ann");
        assert_eq!(echo.one("x-forwarded-user"), Some(user.as_str()));
        let asked = &idp.recorded(Endpoint::Authorize)[0];
        let callback = scene.gateway.own(&format!("/callback/{provider}"));
        assert_eq!(asked.parameter("redirect_uri"), Some(callback));
    }
}

#[tokio::test]
async fn sec_rp_30_a_code_of_one_provider_is_nothing_at_the_callback_of_the_other() {
    let (scene, second) = scene().await;
    for with_issuer in [true, false] {
        for (asked, answered) in [("main", "second"), ("second", "main")] {
            let browser = Browser::new();
            let mut url = callback(&scene, &browser, asked).await;
            assert_eq!(url.path(), format!("/oauth2/callback/{asked}"));
            url.set_path(&format!("/oauth2/callback/{answered}"));
            if !with_issuer {
                let kept: Vec<_> = url
                    .query_pairs()
                    .into_owned()
                    .filter(|(name, _)| name != "iss")
                    .collect();
                url.query_pairs_mut().clear().extend_pairs(kept);
            }
            let answer = browser.step(url.as_str()).await;
            let what = format!("{asked} at {answered}, iss {with_issuer}");
            assert!(answer.status.is_client_error(), "{what}: {}", answer.status);
            let cookies = browser.cookies();
            assert!(
                cookies.iter().all(|cookie| cookie.name != "vestibule"),
                "{what}"
            );
        }
    }
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
    assert_eq!(second.count(Endpoint::Code), 0);
}

#[tokio::test]
async fn sec_rp_28_the_issuer_of_the_other_provider_stops_the_sign_in() {
    let (scene, second) = scene().await;
    let other = second.issuer.clone();
    scene
        .provider
        .set(|script| script.iss_parameter = Some(other));
    let browser = Browser::new();
    let url = callback(&scene, &browser, "main").await;
    assert!(url.query().is_some_and(|query| query.contains("iss=")));
    let answer = browser.step(url.as_str()).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert_eq!(scene.provider.count(Endpoint::Code), 0);
    assert_eq!(second.count(Endpoint::Code), 0);
}
