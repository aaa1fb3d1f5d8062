use super::*;
use crate::base::clock::Clock;
use crate::login::fixture::login;
use crate::model::origin::{Authority, Scheme};
use crate::refresh::fixture::signed_in;

fn files() -> (Origin, Scope) {
    let host = Authority::parse("files.test").unwrap();
    (
        Origin::new(Scheme::Https, host),
        Scope("files.test".to_owned()),
    )
}

/// A wish, and the Cookie field that the browser has then.
fn wish(login: &Login) -> (String, String) {
    let (origin, _) = files();
    let (h, set) = login.wish(&Request {
        origin: &origin,
        path: "/x",
        provider: None,
        cookies: &[],
    });
    let cookie = set[0].split(';').next().unwrap().to_owned();
    assert!(set[0].starts_with("__Host-vestibule-h-"), "{set:?}");
    for attribute in [
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Path=/",
        "Max-Age=600",
    ] {
        assert!(set[0].contains(attribute), "{set:?}");
    }
    (h, cookie)
}

#[tokio::test]
async fn a_wish_opens_for_ten_minutes_and_only_under_our_keys() {
    let rig = signed_in(LIFETIME).await;
    let clock = Clock::movable();
    let (ours, others) = (login(&rig, &clock), login(&rig, &clock));
    let (h, _) = wish(&ours);
    let opened = ours.open_wish(&h).unwrap();
    assert_eq!(
        (&*opened.origin, &*opened.path),
        ("https://files.test", "/x")
    );
    assert!(matches!(
        others.open_wish(&h),
        Err(HandOffError::ForeignWish)
    ));
    // The clock also runs by itself.
    clock.advance(599_000);
    assert!(ours.open_wish(&h).is_ok());
    clock.advance(2_000);
    assert!(matches!(
        ours.open_wish(&h),
        Err(HandOffError::ExpiredWish(_))
    ));
}

#[tokio::test]
async fn a_code_serves_the_browser_with_the_secret_for_thirty_seconds() {
    let rig = signed_in(LIFETIME).await;
    let login = login(&rig, &rig.clock);
    let (origin, scope) = files();
    let redeem = async |code: &str, origin: &Origin, cookie: &str| {
        let cookies = [cookie.as_bytes()];
        login.redeem(code, origin, &scope, &cookies).await
    };
    let (h, cookie) = wish(&login);
    let (_, foreign) = wish(&login);
    let wish = login.open_wish(&h).unwrap();
    let grant = async || login.grant(&rig.session, &wish).await.unwrap();

    let outcome = redeem(&grant().await, &origin, &foreign).await;
    assert!(matches!(outcome, Err(HandOffError::OtherBrowser)));
    let outcome = redeem(&grant().await, &origin, "").await;
    assert!(matches!(outcome, Err(HandOffError::OtherBrowser)));
    let elsewhere = Origin::new(Scheme::Https, Authority::parse("notes.test").unwrap());
    let outcome = redeem(&grant().await, &elsewhere, &cookie).await;
    assert!(matches!(outcome, Err(HandOffError::OtherHost)));
    let late = grant().await;
    rig.clock.advance(31_000);
    let outcome = redeem(&late, &origin, &cookie).await;
    assert!(matches!(outcome, Err(HandOffError::UnknownCode)));

    let both = format!("{foreign}; {cookie}");
    let code = grant().await;
    let handed_off = redeem(&code, &origin, &both).await.unwrap();
    assert_eq!(handed_off.session.id, rig.session.id);
    assert_eq!(handed_off.path, "/x");
    assert_eq!(*handed_off.ticket.scope(), scope);
    let (name, _) = cookie.split_once('=').unwrap();
    assert!(handed_off.set_cookies[0].starts_with(&format!("{name}=;")));
    let outcome = redeem(&code, &origin, &both).await;
    assert!(matches!(outcome, Err(HandOffError::UnknownCode)));

    let code = grant().await;
    rig.sessions.revoke(&rig.session).await.unwrap();
    let outcome = redeem(&code, &origin, &cookie).await;
    assert!(matches!(outcome, Err(HandOffError::Ended { .. })));
}

#[tokio::test]
async fn the_fourth_hand_off_within_a_minute_is_a_circle() {
    let rig = signed_in(LIFETIME).await;
    let clock = Clock::movable();
    let login = login(&rig, &clock);
    let mut field = String::new();
    let mut count = |origin: &str| {
        let set = login.count_hand_off(origin, &[field.as_bytes()])?;
        set.split(';').next().unwrap().clone_into(&mut field);
        Some(())
    };
    for _ in 0..3 {
        assert!(count("https://files.test").is_some());
        assert!(count("https://notes.test").is_some());
        clock.advance(10_000);
    }
    assert!(count("https://files.test").is_none());
    assert!(count("https://other.test").is_some());
    clock.advance(31_000);
    assert!(count("https://files.test").is_some());
    assert!(count("https://files.test").is_none());
    let junk: [&[u8]; 1] = [b"__Host-vestibule-h-loop=AAA; __Host-vestibule-h-loop=%%"];
    assert!(login.count_hand_off("https://files.test", &junk).is_some());
}
