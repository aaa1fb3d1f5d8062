use super::super::sessions::tests::{Rig, identity, rig_with, scope, tokens};
use super::super::sessions::{Found, NewSession, Session};
use super::*;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::key_ring::KeyRing;

const ISSUER: &str = "https://id.test";

struct Person {
    subject: &'static str,
    provider_session: Option<&'static str>,
    seed: &'static [u8],
}

const ANN_ONE: Person = person("ann", Some("one"), b"1");
const ANN_TWO: Person = person("ann", Some("two"), b"2");
const ANN_UNNAMED: Person = person("ann", None, b"3");
const BOB: Person = person("bob", Some("three"), b"4");

const fn person(
    subject: &'static str,
    provider_session: Option<&'static str>,
    seed: &'static [u8],
) -> Person {
    Person {
        subject,
        provider_session,
        seed,
    }
}

async fn sign_in(
    sessions: &Sessions,
    person: &Person,
    began_at: Timestamp,
) -> Result<Session, SessionError> {
    let mut identity = identity(person.subject);
    identity.issuer = ISSUER.into();
    identity.provider_session = person.provider_session.map(str::to_owned);
    let new = NewSession {
        identity: &identity,
        tokens: &tokens(None),
        scope: &scope(),
        seed: person.seed,
        user_agent: None,
        began_at,
    };
    Ok(sessions.create(new).await?.1)
}

fn order<'a>(subject: Option<&'a str>, session: Option<&'a str>) -> SignOutOrder<'a> {
    SignOutOrder {
        issuer: ISSUER,
        subject,
        provider_session: session,
    }
}

async fn live(sessions: &Sessions, all: &[Session]) -> Vec<bool> {
    let mut live = Vec::new();
    for session in all {
        live.push(matches!(
            sessions.reload(session).await.unwrap(),
            Found::Live(_)
        ));
    }
    live
}

/// Who is left of ann's three sessions and bob's after an order.
async fn left(order: SignOutOrder<'_>) -> Vec<bool> {
    let Rig {
        sessions, clock, ..
    } = rig_with(&KeyRing::generate(), Clock::movable(), None);
    let mut all = Vec::new();
    for person in [&ANN_ONE, &ANN_TWO, &ANN_UNNAMED, &BOB] {
        all.push(sign_in(&sessions, person, clock.now()).await.unwrap());
    }
    clock.advance(1000);
    let ended = sessions.sign_out_by_provider(order).await.unwrap();
    let left = live(&sessions, &all).await;
    assert_eq!(ended, left.iter().filter(|live| !**live).count());
    assert_eq!(sessions.sign_out_by_provider(order).await.unwrap(), 0);
    left
}

#[tokio::test]
async fn an_order_ends_what_it_means_and_nothing_else() {
    let one_session = left(order(Some("ann"), Some("one"))).await;
    assert_eq!(one_session, [false, true, false, true]);
    let session_alone = left(order(None, Some("one"))).await;
    assert_eq!(session_alone, [false, true, true, true]);
    let person = left(order(Some("ann"), None)).await;
    assert_eq!(person, [false, false, false, true]);
    let unknown = left(order(Some("zoe"), Some("nine"))).await;
    assert_eq!(unknown, [true; 4]);
    let elsewhere = SignOutOrder {
        issuer: "https://other.test",
        ..order(Some("ann"), None)
    };
    assert_eq!(left(elsewhere).await, [true; 4]);
}

#[tokio::test]
async fn row_2_10_the_history_names_the_provider_whatever_the_order_named() {
    for order in [order(Some("ann"), None), order(None, Some("one"))] {
        let Rig {
            sessions, clock, ..
        } = rig_with(&KeyRing::generate(), Clock::movable(), None);
        let sessions = std::sync::Arc::new(sessions);
        sessions.keep_history(&tokio::runtime::Handle::current());
        let session = sign_in(&sessions, &ANN_ONE, clock.now()).await.unwrap();
        sessions.sign_out_by_provider(order).await.unwrap();
        let reference = session.id.reference();
        let mut reasons = Vec::new();
        for _ in 0..200 {
            let history = sessions.history(&reference).await.unwrap();
            reasons = history
                .into_iter()
                .filter_map(|entry| entry.reason)
                .collect();
            if reasons.iter().any(|reason| reason.starts_with("session_")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(reasons.contains(&ORDERED.to_owned()), "{reasons:?}");
    }
}

#[tokio::test]
async fn sec_rp_69_a_sign_in_under_way_does_not_outlive_the_order() {
    let Rig {
        sessions, clock, ..
    } = rig_with(&KeyRing::generate(), Clock::movable(), None);
    let began = clock.now();
    clock.advance(1000);
    for order in [order(Some("ann"), None), order(None, Some("three"))] {
        sessions.sign_out_by_provider(order).await.unwrap();
    }
    clock.advance(1000);
    for person in [&ANN_ONE, &ANN_UNNAMED, &BOB] {
        let refused = sign_in(&sessions, person, began).await.unwrap_err();
        assert_eq!(refused.reason(), "session_ended_by_idp");
        // Whoever begins afterwards is welcome.
        sign_in(&sessions, person, clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn a_sign_out_after_the_keys_changed_finds_older_sessions() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let first = rig_with(&old, Clock::movable(), None);
    let session = sign_in(&first.sessions, &ANN_ONE, first.clock.now())
        .await
        .unwrap();
    let both = format!("{new}{old}");
    let second = rig_with(&both, first.clock.clone(), Some(first.store.clone()));
    let ended = second
        .sessions
        .sign_out_by_provider(order(None, Some("one")))
        .await
        .unwrap();
    assert_eq!(ended, 1);
    assert_eq!(live(&first.sessions, &[session]).await, [false]);
}
