//! What each answer of the token endpoint does to a session whose access
//! token has ended: rows a to p of the failure table. One gateway per case.

use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::sleep;

use crate::harness::provider::{Endpoint, Fault, User};
use crate::harness::scene::Scene;
use crate::harness::until;

/// How a provider is made to misbehave at the refresh.
enum Trouble {
    Fault(Fault),
    Down,
}

struct Case {
    row: &'static str,
    trouble: Trouble,
    /// Status and reason of the request that needed the tokens.
    answer: (u16, &'static str),
    /// The reason in the line "refresh failed", and how often the provider
    /// was called for it.
    logged: &'static str,
    calls: usize,
    /// An alert for the operator.
    alert: Option<&'static str>,
    /// Signed in as before once the provider is well again.
    kept: bool,
}

fn case(row: &'static str, trouble: Trouble, answer: (u16, &'static str)) -> Case {
    Case {
        row,
        trouble,
        answer,
        logged: answer.1,
        calls: 1,
        alert: None,
        kept: answer.0 == 503,
    }
}

fn error(status: u16, code: &str, text: &str) -> Trouble {
    Trouble::Fault(Fault::error(status, code, text))
}

fn told(status: u16, body: &str) -> Trouble {
    Trouble::Fault(Fault::Respond {
        status,
        content_type: "application/json",
        body: body.to_owned(),
    })
}

/// Runs the case and says what was wrong, naming the row.
async fn run(case: Case) {
    let Case { row, answer, .. } = case;
    // Nothing is renewed early: a sign-in may take a while on a busy machine.
    let scene = Scene::with("oidc-plain", |plan| {
        plan.provider("refresh_skew_max = \"100ms\"")
    })
    .await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    match case.trouble {
        Trouble::Fault(fault) => scene.provider.fail_always(Endpoint::Refresh, fault),
        Trouble::Down => scene.provider.down().await,
    }
    sleep(Duration::from_millis(4200)).await;
    let reached = scene.upstream.requests().len();
    let url = scene.gateway.url("/x");
    let got = browser.fetch("GET", &url, &[]).await;
    let got_reason = got.json()["reason"].as_str().unwrap_or_default().to_owned();
    let context = || format!("row {row}: {}\n{}", got.text(), scene.gateway.log());
    assert_eq!((got.status.as_u16(), &*got_reason), answer, "{}", context());
    assert!(got.set_cookies().is_empty(), "{}", context());
    if answer.0 == 503 {
        assert_ne!(got.header("retry-after"), "", "{}", context());
    }
    assert_eq!(scene.upstream.requests().len(), reached, "{}", context());
    let calls = scene.provider.count(Endpoint::Refresh);
    assert_eq!(calls, case.calls, "{}", context());
    // What the gateway says reaches the test a moment after its answer.
    let line = until::some(&format!("row {row} is logged"), || async {
        let log = scene.gateway.log();
        let line = log.lines().find(|line| line.contains("refresh failed"))?;
        let alerted = case.alert.is_none() || log.contains("\"alert\":");
        alerted.then(|| line.to_owned())
    })
    .await;
    let log = scene.gateway.log();
    let logged = format!("\"reason\":\"{}\"", case.logged);
    assert!(line.contains(&logged), "{}", context());
    let alerts = log.lines().filter(|line| line.contains("\"alert\":"));
    let alerts: Vec<_> = alerts.collect();
    match case.alert {
        None => assert!(alerts.is_empty(), "{}", context()),
        Some(alert) => {
            let word = format!("\"alert\":\"{alert}\"");
            assert!(alerts.len() == 1 && alerts[0].contains(&word), "{alerts:?}");
            let name = format!("vestibule_alerts_total{{alert=\"{alert}\"");
            assert_eq!(scene.gateway.metric(&name).await, 1.0, "{}", context());
        }
    }
    scene.provider.heal(Endpoint::Refresh);
    if !case.kept {
        let again = scene.sign_in(&browser, User::ann()).await;
        assert_eq!(again.status, 200, "{}", context());
        assert_eq!(scene.logins(), (2, 2), "{}", context());
        return;
    }
    scene
        .provider
        .set(|script| script.alter_token_answer = None);
    scene.provider.down().await;
    scene.provider.up().await;
    until::some(&format!("row {row} heals by itself"), || async {
        let got = browser.fetch("GET", &url, &[]).await;
        assert_ne!(got.status, 401, "row {row}: {}", got.text());
        (got.status == 200).then_some(())
    })
    .await;
    assert_eq!(scene.logins(), (1, 1), "row {row}");
    assert_eq!(scene.provider.reuse(), 0, "row {row}");
}

async fn run_all(cases: Vec<Case>) {
    stream::iter(cases).for_each_concurrent(4, run).await;
}

#[tokio::test]
async fn row_2_1_a_b_c_o_p_the_provider_ends_a_session() {
    let ended = |row, trouble, reason| case(row, trouble, (401, reason));
    run_all(vec![
        ended(
            "a",
            error(400, "invalid_grant", ""),
            "grant_expired_or_revoked",
        ),
        ended(
            "a GitHub",
            error(200, "bad_refresh_token", ""),
            "grant_expired_or_revoked",
        ),
        ended(
            "a Slack",
            told(200, r#"{"ok":false,"error":"invalid_refresh_token"}"#),
            "grant_expired_or_revoked",
        ),
        ended(
            "b Gitea",
            error(400, "unauthorized_client", "token was already used"),
            "refresh_reused",
        ),
        ended(
            "b Keycloak",
            error(
                400,
                "invalid_grant",
                "Maximum allowed refresh token reuse exceeded",
            ),
            "refresh_reused",
        ),
        ended(
            "c",
            error(400, "unauthorized_client", "unable to parse refresh token"),
            "upstream_grant_lost",
        ),
        ended(
            "p",
            error(400, "invalid_grant", "User disabled"),
            "session_ended_by_idp",
        ),
    ])
    .await;
}

#[tokio::test]
async fn row_2_1_d_e_f_what_an_operator_must_cure() {
    let credentials = "client_credentials_rejected";
    run_all(vec![
        Case {
            // The other listed way of authenticating was tried too.
            calls: 2,
            alert: Some(credentials),
            ..case(
                "d",
                error(401, "invalid_client", "who are you"),
                (503, credentials),
            )
        },
        Case {
            calls: 2,
            alert: Some(credentials),
            ..case(
                "d Gitea",
                error(400, "unauthorized_client", "invalid client secret"),
                (503, credentials),
            )
        },
        Case {
            alert: Some("refresh_not_allowed"),
            ..case(
                "e",
                error(400, "unauthorized_client", ""),
                (401, "refresh_not_allowed"),
            )
        },
        Case {
            alert: Some("scope_rejected"),
            ..case(
                "f",
                error(400, "invalid_scope", ""),
                (401, "scope_rejected"),
            )
        },
    ])
    .await;
}

#[tokio::test]
async fn row_2_1_h_to_n_trouble_keeps_the_session() {
    let page = |status| Trouble::Fault(Fault::page(status));
    let busy = |status| {
        Trouble::Fault(Fault::Busy {
            status,
            retry_after: 2,
        })
    };
    let kept = |row, trouble, reason| case(row, trouble, (503, reason));
    run_all(vec![
        Case {
            calls: 0,
            ..kept("h", Trouble::Down, "network_unreachable")
        },
        kept("i", Trouble::Fault(Fault::HangUpBefore), "outcome_unknown"),
        kept("k 500", page(500), "provider_error"),
        kept("k HTML", page(200), "provider_error"),
        kept(
            "k truncated JSON",
            told(200, r#"{"access_token":"a""#),
            "provider_error",
        ),
        kept("l 429", busy(429), "rate_limited"),
        kept("l 403", busy(403), "rate_limited"),
        kept(
            "n no token",
            told(200, r#"{"token_type":"bearer"}"#),
            "bad_response",
        ),
        kept(
            "n other type",
            told(200, r#"{"access_token":"a","token_type":"mac"}"#),
            "bad_response",
        ),
    ])
    .await;
}

#[tokio::test]
async fn row_2_1_o_tokens_of_somebody_else_end_the_session() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| {
        script.id_token(|claims| drop(claims.insert("sub".to_owned(), "sub-bob".into())));
    });
    sleep(Duration::from_millis(4200)).await;
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["reason"], "subject_changed");
    let log = scene.gateway.log();
    assert!(log.contains("\"reason\":\"subject_changed\""), "{log}");
}

#[tokio::test]
async fn row_2_1_m_a_clock_that_is_off_keeps_the_session_and_tells_the_offset() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| {
        script.skew = 600;
        script.access_lifetime = 3600;
    });
    sleep(Duration::from_millis(4200)).await;
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = scene.gateway.log();
    let line = log.lines().find(|line| line.contains("\"clock_skew\""));
    let line = line.unwrap_or_else(|| panic!("no line names the skew\n{log}"));
    assert!(
        ["600 s", "599 s", "601 s"]
            .iter()
            .any(|offset| line.contains(offset)),
        "{line}"
    );
    assert_eq!(scene.logins(), (1, 1));
}

/// Not valid before ten minutes from now, while the clocks agree: the claims
/// stay as they were, and the new access token is passed on.
#[tokio::test]
async fn row_2_1_m_an_id_token_that_is_not_valid_yet_keeps_the_session() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    let begins = vestibule::base::clock::Clock::system().now().as_secs() + 600;
    scene.provider.set(|script| {
        script.access_lifetime = 3600;
        script.id_token(move |claims| drop(claims.insert("nbf".to_owned(), begins.into())));
    });
    sleep(Duration::from_millis(4200)).await;
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let log = scene.gateway.log();
    assert!(log.contains("id_token_not_yet_valid"), "{log}");
    assert_eq!(scene.logins(), (1, 1));
}
