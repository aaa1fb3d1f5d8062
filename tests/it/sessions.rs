//! The session cookie: nobody else's, not to be forged, not in the way.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::provider::User;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::{until, wire};

/// A GET with exactly this Cookie header.
async fn with_cookie(scene: &Scene, cookie: &str) -> wire::Answer {
    let url = url::Url::parse(&scene.gateway.url("/x")).expect("url");
    let request = wire::request_for(&url, "GET")
        .header("accept", "application/json")
        .header("cookie", cookie)
        .body(Default::default())
        .expect("request");
    wire::exchange(scene.gateway.address(), url, request)
        .await
        .expect("answer")
}

#[tokio::test]
async fn sec_ses_01_a_planted_cookie_is_not_the_one_that_is_signed_in() {
    let scene = Scene::start().await;
    // Garbage, planted before signing in.
    let ann = Browser::new();
    ann.plant(
        &scene.gateway.url("/"),
        "vestibule",
        "v1.planted-by-somebody",
    );
    scene.sign_in(&ann, User::ann()).await;
    assert_ne!(session_cookie(&ann), "v1.planted-by-somebody");

    // A live session of the attacker's, planted before signing in.
    let mal = scene.signed_in(User::bob()).await;
    let planted = session_cookie(&mal);
    let victim = Browser::new();
    victim.plant(&scene.gateway.url("/"), "vestibule", &planted);
    scene.provider.set(|script| script.user = User::ann());
    let echo = Echo::of(&victim.open(&scene.gateway.own("/start?rd=/x")).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
    assert_ne!(session_cookie(&victim), planted);
    let answer = mal.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(
        answer.status, 401,
        "the session that another person took over has ended"
    );
}

/// A connection that says the same again, something else, and the same again.
#[tokio::test]
async fn each_request_of_a_connection_passes_on_its_own_cookies() {
    let scene = Scene::start().await;
    let people = [User::ann(), User::bob()];
    let mut tickets = Vec::new();
    for user in people {
        tickets.push(session_cookie(&scene.signed_in(user).await));
    }
    let (ann, bob) = (&tickets[0], &tickets[1]);
    let fields = [
        (
            format!("a=1; vestibule={ann}; b=2"),
            "sub-ann",
            vec!["a=1; b=2"],
        ),
        (
            format!("a=1; vestibule={ann}; b=2"),
            "sub-ann",
            vec!["a=1; b=2"],
        ),
        (
            format!("a=1; vestibule={bob}; b=2"),
            "sub-bob",
            vec!["a=1; b=2"],
        ),
        (
            format!("a=1; vestibule={bob}; b=3"),
            "sub-bob",
            vec!["a=1; b=3"],
        ),
        (format!("vestibule={bob}"), "sub-bob", vec![]),
        (format!("vestibule={bob}"), "sub-bob", vec![]),
        (
            format!("a=1\r\nCookie: vestibule={ann}; c=4"),
            "sub-ann",
            vec!["a=1", "c=4"],
        ),
        (
            format!("a=1; vestibule={ann}; b=2"),
            "sub-ann",
            vec!["a=1; b=2"],
        ),
    ];
    let before = scene.upstream.requests().len();
    let mut wire = String::new();
    for (number, (field, ..)) in fields.iter().enumerate() {
        let host = scene.gateway.authority();
        let last = number + 1 == fields.len();
        let connection = if last { "close" } else { "keep-alive" };
        wire += &format!(
            "GET /{number} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\
             Connection: {connection}\r\nCookie: {field}\r\n\r\n"
        );
    }
    let mut stream = TcpStream::connect(scene.gateway.address())
        .await
        .expect("connects");
    stream.write_all(wire.as_bytes()).await.expect("writes");
    let mut answers = Vec::new();
    let end = timeout(until::PATIENCE, stream.read_to_end(&mut answers)).await;
    end.expect("in time").expect("reads");
    let seen = scene.upstream.requests().split_off(before);
    assert_eq!(seen.len(), fields.len());
    for (echo, (field, subject, kept)) in seen.iter().zip(&fields) {
        assert_eq!(echo.one("x-forwarded-user"), Some(*subject), "{field}");
        assert_eq!(echo.folded("cookie"), *kept, "{field}");
    }
}

#[tokio::test]
async fn sec_ses_03_a_changed_cookie_is_one_uniform_rejection() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let good = session_cookie(&ann);
    let before = scene.upstream.requests().len();
    let mut forged: Vec<String> = (0..good.len())
        .map(|at| {
            let mut text = good.clone().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(text).expect("text")
        })
        .collect();
    forged.extend((0..good.len()).step_by(3).map(|end| good[..end].to_owned()));
    forged.push(format!("{good}A"));
    forged.push(format!("{good}{good}"));
    forged.push("v1.".to_owned() + &"A".repeat(4000));
    let mut seen = std::collections::HashSet::new();
    for value in forged {
        let answer = with_cookie(&scene, &format!("vestibule={value}")).await;
        assert_eq!(answer.status, 401, "{value}");
        let problem = answer.json();
        seen.insert((problem["type"].to_string(), problem["reason"].to_string()));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(scene.upstream.requests().len(), before);
    assert_eq!(
        with_cookie(&scene, &format!("vestibule={good}"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn sec_ses_09_a_tossed_cookie_hides_no_session() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let good = session_cookie(&ann);
    for header in [
        format!("vestibule=garbage; vestibule={good}"),
        format!("vestibule={good}; vestibule=garbage"),
        format!("a=1; vestibule=; vestibule={good}; b=2"),
    ] {
        let echo = Echo::of(&with_cookie(&scene, &header).await);
        assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"), "{header}");
    }
}

#[tokio::test]
async fn sec_ses_14_abandoned_sign_ins_are_bounded() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let session = session_cookie(&ann);
    for number in 0..60 {
        let answer = ann
            .step(&scene.gateway.own(&format!("/start?rd=/{number}")))
            .await;
        assert_eq!(answer.status, 302);
    }
    let header = ann.cookie_header(&scene.gateway.own("/callback"));
    assert!(header.len() < 4096, "{} bytes of cookies", header.len());
    assert!(ann.cookies_named("").len() <= 17, "{}", ann.cookies().len());
    assert_eq!(session_cookie(&ann), session);
    assert_eq!(
        ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
        200
    );
    // None of them stands in the way of the next one.
    let callback = scene.callback_of(&Browser::new()).await;
    assert!(callback.query().is_some());
    assert_eq!(
        ann.open(&scene.gateway.own("/start?rd=/last")).await.status,
        200
    );
}

#[tokio::test]
async fn sec_ses_30_nothing_personal_is_kept_by_caches() {
    let scene = Scene::start().await;
    let nobody = Browser::new();
    let ann = scene.signed_in(User::ann()).await;
    let answers = [
        nobody.step(&scene.gateway.url("/x")).await,
        nobody.fetch("GET", &scene.gateway.url("/x"), &[]).await,
        ann.fetch("GET", &scene.gateway.own("/userinfo"), &[]).await,
        ann.fetch("GET", &scene.gateway.own("/auth"), &[]).await,
        ann.step(&scene.gateway.own("/nothing-here")).await,
        ann.step(&scene.gateway.own("/")).await,
    ];
    for answer in answers {
        let kept = answer.header("cache-control");
        assert!(
            kept.contains("no-store"),
            "{} {}: {kept:?}",
            answer.url,
            answer.status
        );
    }
    // What the application says about its own answers stays as it is.
    let answer = ann
        .fetch("GET", &scene.gateway.url("/cacheable"), &[])
        .await;
    assert_eq!(answer.header("cache-control"), "public, max-age=600");
    assert_eq!(answer.header("etag"), "\"1\"");
}

#[tokio::test]
async fn sec_rp_81_cookie_is_as_tight_as_the_place_allows() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let value = session_cookie(&ann);
    assert!(value.starts_with("v1.") && value.len() < 200, "{value}");
    let cookies = ann.cookies();
    let cookie = cookies
        .iter()
        .find(|cookie| cookie.value == value)
        .expect("cookie");
    assert!(cookie.http_only && cookie.host_only);
    assert_eq!(
        (cookie.path.as_str(), cookie.same_site.as_str()),
        ("/", "lax")
    );
    assert_eq!(cookie.max_age, Some(30 * 24 * 3600));
}

#[tokio::test]
async fn sec_ses_32_own_endpoints_answer_no_foreign_origin() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    for path in ["/userinfo", "/auth"] {
        let answer = ann
            .fetch(
                "GET",
                &scene.gateway.own(path),
                &[("origin", "https://evil.test")],
            )
            .await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            "",
            "{path}"
        );
    }
}

#[tokio::test]
async fn who_am_i_and_userinfo_tell_the_person_and_no_token() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let answer = ann.fetch("GET", &scene.gateway.own("/userinfo"), &[]).await;
    assert_eq!(answer.status, 200);
    let info = answer.json();
    assert_eq!(info["user"], "sub-ann");
    assert_eq!(info["email"], "ann@corp.test");
    assert_eq!(info["preferredUsername"], "ann");
    assert_eq!(info["groups"], serde_json::json!(["staff", "admins"]));
    crate::harness::secrets::absent("userinfo", &answer.body, &scene.provider.secrets());
    let page = ann.step(&scene.gateway.own("/")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ann"), "{}", page.text());
    assert_eq!(
        Browser::new()
            .fetch("GET", &scene.gateway.own("/userinfo"), &[])
            .await
            .status,
        401
    );
}
