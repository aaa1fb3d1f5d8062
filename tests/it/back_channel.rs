//! Back-channel logout: the provider orders, the gateway ends sessions, and a
//! store that is away never makes it say "done".

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::node_provider::NodeProvider;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::provider::{CLIENT_ID, Signing, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;
use crate::harness::upstream::Upstream;
use crate::harness::wire::Answer;
use vestibule::base::clock::Clock;
use vestibule::base::random;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn now() -> u64 {
    Clock::system().now().as_secs()
}

/// Everything of ann, by a token that was never used.
fn claims(scene: &Scene) -> Value {
    json!({
        "iss": scene.provider.issuer, "aud": CLIENT_ID, "iat": now(), "exp": now() + 120,
        "jti": random::reference(), "sub": "sub-ann", "events": { EVENT: {} },
    })
}

fn signed(scene: &Scene, claims: &Value) -> String {
    let Value::Object(claims) = claims else {
        panic!("an object");
    };
    let signing = Signing::Proper("ES256".to_owned());
    scene.provider.sign(&signing, claims, "logout+jwt")
}

async fn post_body(scene: &Scene, content_type: &str, body: &str) -> Answer {
    let nobody = Browser::new();
    let fields = [("content-type", content_type)];
    let url = scene.gateway.own("/backchannel_logout");
    nobody
        .fetch_with("POST", &url, &fields, body.as_bytes().to_vec().into())
        .await
}

async fn post(scene: &Scene, token: &str) -> Answer {
    let form = format!("logout_token={token}");
    post_body(scene, "application/x-www-form-urlencoded", &form).await
}

async fn alive(scene: &Scene, browser: &Browser) -> bool {
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    answer.status == 200
}

#[tokio::test]
async fn sec_rp_60_a_sign_out_at_the_provider_ends_every_session_of_the_person() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let again = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let answer = post(&scene, &signed(&scene, &claims(&scene))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(!alive(&scene, &ann).await);
    assert!(!alive(&scene, &again).await);
    assert!(alive(&scene, &bob).await);
    // The next visit is an ordinary sign-in.
    let answer = scene.sign_in(&ann, User::ann()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn sec_rp_60_only_one_token_in_a_form() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let token = signed(&scene, &claims(&scene));
    let form = "application/x-www-form-urlencoded";
    let json = json!({ "logout_token": token }).to_string();
    let one = format!("logout_token={token}");
    let two = format!("{one}&{one}");
    let long = format!("{one}&x={}", "a".repeat(17 * 1024));
    for (content_type, body, status) in [
        ("application/json", &json, 400),
        ("text/plain", &one, 400),
        (form, &two, 400),
        (form, &String::new(), 400),
        (form, &long, 413),
    ] {
        let answer = post_body(&scene, content_type, body).await;
        assert_eq!(answer.status, status, "{content_type} {}", body.len());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let url = format!("{}?{one}", scene.gateway.own("/backchannel_logout"));
    let get = Browser::new().fetch("GET", &url, &[]).await;
    assert_eq!(get.status, 405);
    let fields = [("content-type", form)];
    let in_query = Browser::new()
        .fetch_with("POST", &url, &fields, Vec::new().into())
        .await;
    assert_eq!(in_query.status, 400);
    assert!(alive(&scene, &ann).await);
}

#[tokio::test]
async fn sec_rp_61_to_66_a_token_that_proves_nothing_ends_nothing() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let good = claims(&scene);
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(&scene, &claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("object").remove(name);
        signed(&scene, &claims)
    };
    let with = |signing: Signing| {
        let claims = good.as_object().expect("object");
        scene.provider.sign(&signing, claims, "logout+jwt")
    };
    for (what, token) in [
        ("wrong iss", changed("iss", json!("http://evil.test"))),
        ("wrong aud", changed("aud", json!("another"))),
        ("no event", without("events")),
        (
            "wrong event",
            changed("events", json!({ "http://x.test": {} })),
        ),
        ("nonce", changed("nonce", json!("n"))),
        ("nobody", without("sub")),
        ("no jti", without("jti")),
        ("old", changed("iat", json!(now() - 3600))),
        ("none", with(Signing::Unsigned("none".to_owned()))),
        ("HS256", with(Signing::Hs256PublicKey)),
        ("foreign key", with(Signing::ForeignKey)),
        ("flipped", with(Signing::Flipped)),
        ("garbage", "abc".to_owned()),
    ] {
        let answer = post(&scene, &token).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        assert_eq!(answer.json()["error"], "invalid_request", "{what}");
        assert!(alive(&scene, &ann).await, "{what}");
    }
}

#[tokio::test]
async fn i9_a_replay_changes_nothing_and_nobody_learns_who_has_a_session() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let token = signed(&scene, &claims(&scene));
    assert_eq!(post(&scene, &token).await.status, 200);
    assert!(!alive(&scene, &ann).await);
    scene.sign_in(&ann, User::ann()).await;
    let answer = post(&scene, &token).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error_description"], "logout_token_replayed");
    assert!(alive(&scene, &ann).await, "the new session goes on");
    let mut stranger = claims(&scene);
    stranger["sub"] = json!("nobody-here");
    stranger["sid"] = json!("nothing-here");
    assert_eq!(post(&scene, &signed(&scene, &stranger)).await.status, 200);
}

#[tokio::test]
async fn i9_one_session_at_the_provider_and_its_twin_elsewhere() {
    let scene = Scene::start().await;
    let named = |sid: &'static str| {
        scene.provider.set(move |script| {
            script.id_token(move |claims| drop(claims.insert("sid".to_owned(), json!(sid))));
        });
    };
    named("one");
    let ann = scene.signed_in(User::ann()).await;
    named("two");
    let elsewhere = scene.signed_in(User::ann()).await;
    let mut order = claims(&scene);
    order["sid"] = json!("one");
    assert_eq!(post(&scene, &signed(&scene, &order)).await.status, 200);
    assert!(!alive(&scene, &ann).await);
    assert!(alive(&scene, &elsewhere).await);
}

#[tokio::test]
async fn i9_a_store_that_is_away_is_503_and_the_retry_counts() {
    if !part::have(
        "i9_a_store_that_is_away_is_503_and_the_retry_counts",
        &[Part::Redis],
    ) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let ann = scene.signed_in(User::ann()).await;
    let token = signed(&scene, &claims(&scene));
    redis.kill();
    let answer = post(&scene, &token).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    redis.restart().await;
    until::some("the retry is carried out", || async {
        (post(&scene, &token).await.status == 200).then_some(())
    })
    .await;
    assert!(!alive(&scene, &ann).await);
}

#[tokio::test]
async fn i9_a_flood_is_answered_and_people_go_on() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let began = std::time::Instant::now();
    let mut flood = tokio::task::JoinSet::new();
    // One address may have 256 connections, and closed ones are not yet gone.
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(100));
    let scene = std::sync::Arc::new(scene);
    for number in 0..1000 {
        let scene = std::sync::Arc::clone(&scene);
        let token = if number % 2 == 0 {
            signed(&scene, &claims(&scene))
        } else {
            "nonsense".to_owned()
        };
        let places = std::sync::Arc::clone(&places);
        flood.spawn(async move {
            let _place = places.acquire().await.expect("open");
            (number, post(&scene, &token).await.status.as_u16())
        });
    }
    let mut busy = 0;
    while let Some(answer) = flood.join_next().await {
        let (number, status) = answer.expect("answered");
        busy += usize::from(status == 503);
        let expected: &[u16] = if number % 2 == 0 {
            &[200, 503]
        } else {
            &[400, 503]
        };
        assert!(expected.contains(&status), "{number}: {status}");
    }
    println!(
        "1 000 logout tokens in {:?}, {busy} told to come again",
        began.elapsed()
    );
    assert!(alive(&scene, &bob).await);
}

#[tokio::test]
async fn a_disabled_user_signs_in_no_more_by_a_login_that_was_under_way() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.user = User::ann());
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    assert_eq!(
        post(&scene, &signed(&scene, &claims(&scene))).await.status,
        200
    );
    let answer = browser.open(callback.as_str()).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("session_ended_by_idp"));
    assert!(!alive(&scene, &browser).await);
}

/// Signs ann in at the certified provider with a browser of her own.
async fn signed_in_at_certified(gateway: &Gateway) -> Browser {
    let browser = Browser::new();
    let form = browser.open(&gateway.url("/hello")).await;
    assert!(form.text().contains("Test provider"), "{}", form.text());
    let to = form.url.as_str().to_owned();
    let answer = browser.submit(&to, &to, &[("login", "ann")]).await;
    let onward = answer.location().expect("sent on");
    let back = browser.open(onward.as_str()).await;
    assert_eq!(back.url.path(), "/hello", "{}", back.text());
    browser
}

#[tokio::test]
async fn sec_rp_60_the_certified_provider_signs_out_the_session_that_ended_there() {
    let name = "sec_rp_60_the_certified_provider_signs_out_the_session_that_ended_there";
    if !part::have(name, &[Part::Node]) {
        return;
    }
    let upstream = Upstream::start().await;
    let port = port::free();
    let issuer = NodeProvider::issuer_on(port);
    let plan = Plan::new(&issuer, &upstream.url());
    let provider = NodeProvider::start(port, &plan.origin(), 300).await;
    let gateway = plan.start().await;
    let ann = signed_in_at_certified(&gateway).await;
    let elsewhere = signed_in_at_certified(&gateway).await;

    let page = ann.open(&format!("{issuer}/session/end")).await;
    let text = page.text();
    let (_, rest) = text.split_once("name=\"xsrf\" value=\"").expect("a form");
    let (xsrf, _) = rest.split_once('"').expect("a value");
    let form = [("xsrf", xsrf), ("logout", "yes")];
    let confirm = format!("{issuer}/session/end/confirm");
    ann.submit(page.url.as_str(), &confirm, &form).await;

    let status = async |browser: &Browser| {
        let answer = browser.fetch("GET", &gateway.url("/x"), &[]).await;
        answer.status.as_u16()
    };
    until::some("her session has ended here too", || async {
        (status(&ann).await == 401).then_some(())
    })
    .await;
    assert_eq!(status(&elsewhere).await, 200, "her other browser goes on");
    assert_eq!(
        provider.count("back_channel").await,
        1,
        "{}",
        provider.log()
    );
    assert_eq!(provider.count("back_channel_failed").await, 0);
}
