use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::*;

fn answer(status: u16, media_type: &str, body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        media_type: media_type.to_owned(),
        retry_after: None,
        max_age: None,
        body: Bytes::from(body.to_owned()),
        attempts: 1,
    }
}

fn error(status: u16, code: &str, text: &str, phase: Phase) -> ProviderError {
    let body = serde_json::json!({"error": code, "error_description": text}).to_string();
    judge(&answer(status, "application/json", &body), phase).unwrap_err()
}

#[test]
fn row_2_1_refresh_errors_have_the_codes_of_the_table() {
    for (status, code, text, reason) in [
        (400, "invalid_grant", "", "grant_expired_or_revoked"),
        (
            400,
            "invalid_grant",
            "grant does not exist",
            "grant_expired_or_revoked",
        ),
        (
            400,
            "invalid_grant",
            "Session not active",
            "grant_expired_or_revoked",
        ),
        (200, "bad_refresh_token", "", "grant_expired_or_revoked"),
        (
            400,
            "unauthorized_client",
            "token was already used",
            "refresh_reused",
        ),
        (
            400,
            "invalid_grant",
            "Maximum allowed refresh token reuse exceeded",
            "refresh_reused",
        ),
        (
            400,
            "unauthorized_client",
            "unable to parse refresh token",
            "upstream_grant_lost",
        ),
        (401, "invalid_client", "", "client_credentials_rejected"),
        (
            200,
            "incorrect_client_credentials",
            "",
            "client_credentials_rejected",
        ),
        (
            400,
            "unauthorized_client",
            "invalid client secret",
            "client_credentials_rejected",
        ),
        (400, "unauthorized_client", "", "refresh_not_allowed"),
        (400, "unsupported_grant_type", "", "refresh_not_allowed"),
        (400, "invalid_scope", "", "scope_rejected"),
        (500, "invalid_grant", "", "provider_error"),
        (400, "server_error", "", "provider_error"),
        (429, "invalid_grant", "", "rate_limited"),
        (
            400,
            "invalid_grant",
            "User disabled",
            "session_ended_by_idp",
        ),
        (400, "interaction_required", "", "interaction_required"),
        (400, "invalid_request", "", "bad_response"),
    ] {
        let error = error(status, code, text, Phase::Refresh);
        assert_eq!(error.class.reason(), reason, "{code} {text}");
        assert_eq!(error.sent, Sent::Answered);
        assert_eq!(error.status, Some(status));
    }
}

/// The same fault in the words of each provider: those of Gitea before and
/// since 1.20, Keycloak's, GitHub's and Slack's.
#[test]
fn row_2_1_dialects_say_the_same_in_their_own_words() {
    let refresh = |status, kind: &str, body: &str| {
        judge(&answer(status, kind, body), Phase::Refresh)
            .unwrap_err()
            .class
            .reason()
    };
    let json = "application/json";
    let error = |code: &str, text: &str| {
        serde_json::json!({"error": code, "error_description": text}).to_string()
    };
    for (status, code, text, reason) in [
        // Gitea and Forgejo
        (
            400,
            "unauthorized_client",
            "invalid client secret",
            "client_credentials_rejected",
        ),
        (
            400,
            "unauthorized_client",
            "invalid empty client secret",
            "client_credentials_rejected",
        ),
        (
            400,
            "invalid_client",
            "invalid empty client secret",
            "client_credentials_rejected",
        ),
        (
            400,
            "invalid_client",
            "cannot load client with client id: \"x\"",
            "client_credentials_rejected",
        ),
        (
            400,
            "unauthorized_client",
            "unable to parse refresh token",
            "upstream_grant_lost",
        ),
        (
            400,
            "unauthorized_client",
            "token was already used",
            "refresh_reused",
        ),
        (
            400,
            "invalid_grant",
            "grant does not exist",
            "grant_expired_or_revoked",
        ),
        (
            400,
            "invalid_grant",
            "refresh token belongs to a different client",
            "grant_expired_or_revoked",
        ),
        // Keycloak
        (
            401,
            "unauthorized_client",
            "Invalid client or Invalid client credentials",
            "client_credentials_rejected",
        ),
        (
            401,
            "invalid_client",
            "Invalid client or Invalid client credentials",
            "client_credentials_rejected",
        ),
        (
            400,
            "unauthorized_client",
            "Client not allowed to refresh",
            "refresh_not_allowed",
        ),
        (
            400,
            "invalid_grant",
            "Token is not active",
            "grant_expired_or_revoked",
        ),
        (
            400,
            "invalid_grant",
            "Session not active",
            "grant_expired_or_revoked",
        ),
        (
            400,
            "invalid_grant",
            "Offline user session not found",
            "grant_expired_or_revoked",
        ),
        (400, "invalid_grant", "Stale token", "refresh_reused"),
        (
            400,
            "invalid_grant",
            "Maximum allowed refresh token reuse exceeded",
            "refresh_reused",
        ),
        (
            400,
            "invalid_grant",
            "User disabled",
            "session_ended_by_idp",
        ),
        // GitHub, with status 200
        (
            200,
            "bad_refresh_token",
            "The refresh token passed is incorrect or expired.",
            "grant_expired_or_revoked",
        ),
        (
            200,
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
            "client_credentials_rejected",
        ),
    ] {
        assert_eq!(
            refresh(status, json, &error(code, text)),
            reason,
            "{code} {text}"
        );
    }
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let form = form.split(';').next().unwrap();
    let text = "error=bad_refresh_token&error_description=The+refresh+token+is+expired";
    assert_eq!(refresh(200, form, text), "grant_expired_or_revoked");
    for (code, reason) in [
        ("invalid_refresh_token", "grant_expired_or_revoked"),
        ("token_revoked", "grant_expired_or_revoked"),
        ("bad_client_secret", "client_credentials_rejected"),
        ("invalid_client_id", "client_credentials_rejected"),
        ("account_inactive", "session_ended_by_idp"),
        ("ratelimited", "rate_limited"),
        ("fatal_error", "bad_response"),
    ] {
        let body = format!(r#"{{"ok":false,"error":"{code}"}}"#);
        assert_eq!(refresh(200, json, &body), reason, "{code}");
    }
    assert_eq!(refresh(200, json, r#"{"ok":false}"#), "bad_response");
}

#[test]
fn slack_hands_the_tokens_of_a_person_out_nested() {
    let body = r#"{"ok":true,"team":{"id":"T"},"authed_user":{"id":"U","access_token":"a",
        "refresh_token":"r","token_type":"user","expires_in":43200}}"#;
    let members = judge(&answer(200, "application/json", body), Phase::Refresh).unwrap();
    assert_eq!(members["access_token"], "a");
    assert_eq!(members["refresh_token"], "r");
    // Only what says `ok` is Slack's.
    let body = r#"{"authed_user":{"access_token":"a","token_type":"bearer"}}"#;
    judge(&answer(200, "application/json", body), Phase::Refresh).unwrap_err();
    let body = r#"{"access_token":"a","token_type":"bot"}"#;
    judge(&answer(200, "application/json", body), Phase::Refresh).unwrap_err();
}

#[test]
fn row_2_1_exchange_errors() {
    for (code, text, reason) in [
        (
            "invalid_grant",
            "authorization code expired",
            "code_rejected",
        ),
        ("bad_verification_code", "", "code_rejected"),
        (
            "unauthorized_client",
            "client is not authorized",
            "code_rejected",
        ),
        (
            "unauthorized_client",
            "failed PKCE code challenge",
            "code_rejected",
        ),
        (
            "unauthorized_client",
            "unexpected redirect URI",
            "redirect_uri_rejected",
        ),
        ("redirect_uri_mismatch", "", "redirect_uri_rejected"),
        (
            "unauthorized_client",
            "invalid client secret",
            "client_credentials_rejected",
        ),
        (
            "unauthorized_client",
            "not allowed to use this grant",
            "client_not_allowed",
        ),
    ] {
        let error = error(400, code, text, Phase::Exchange);
        assert_eq!(error.class.reason(), reason, "{code} {text}");
    }
}

#[test]
fn row_0_18_answers_are_read_by_content() {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    let reason = |status, kind: &str, body: &str| {
        let judged = judge(&answer(status, kind, body), Phase::Exchange);
        judged.unwrap_err().class.reason()
    };
    assert_eq!(
        reason(200, form, "error=bad_verification_code"),
        "code_rejected"
    );
    assert_eq!(reason(200, "text/html", "<html>"), "provider_error");
    assert_eq!(reason(404, "text/html", "<html>"), "provider_error");
    assert_eq!(reason(502, "text/html", "<html>"), "provider_error");
    assert_eq!(
        reason(200, json, r#"{"access_token":"a""#),
        "provider_error"
    );
    assert_eq!(reason(302, json, ""), "bad_response");
    assert_eq!(reason(400, json, "{}"), "bad_response");
    let text = "access_token=a&token_type=bearer&scope=";
    assert!(judge(&answer(200, form, text), Phase::Exchange).is_ok());
    let twice = "access_token=a&access_token=b&token_type=bearer";
    assert_eq!(reason(200, form, twice), "provider_error");
    let limited = Answer {
        retry_after: Some(Duration::from_secs(9)),
        ..answer(403, "text/html", "slow")
    };
    let error = judge(&limited, Phase::Exchange).unwrap_err();
    assert_eq!(error.class, Class::RateLimited);
    assert_eq!(error.retry_after, Some(Duration::from_secs(9)));
}

#[test]
fn sec_rp_14_token_type_is_bearer_in_any_case() {
    let judged = |kind: &str| {
        let body = format!(r#"{{"access_token":"a"{kind}}}"#);
        judge(&answer(200, "application/json", &body), Phase::Exchange)
    };
    for kind in ["bearer", "BEARER", "Bearer"] {
        judged(&format!(r#","token_type":"{kind}""#)).unwrap();
    }
    for kind in [
        r#","token_type":"mac""#,
        r#","token_type":"N_A""#,
        "",
        r#","token_type":1"#,
    ] {
        let class = judged(kind).unwrap_err().class;
        assert!(matches!(class, Class::BadResponse(_)), "{kind}");
    }
}

#[test]
fn sec_rp_15_answers_are_strict_json() {
    for body in [
        r#"{"access_token":"a","token_type":"bearer","access_token":"b"}"#,
        "\u{feff}{\"access_token\":\"a\",\"token_type\":\"bearer\"}",
        r#"{"token_type":"bearer"}"#,
        r#"{"access_token":"","token_type":"bearer"}"#,
        r#"{"access_token":7,"token_type":"bearer"}"#,
        r#"[]"#,
        "",
        &"[".repeat(10_000),
    ] {
        judge(&answer(200, "application/json", body), Phase::Exchange).unwrap_err();
    }
}

#[test]
fn the_kept_text_holds_no_token() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln";
    let error = error(
        400,
        "invalid_grant",
        &format!("token {token} is\r\nspent"),
        Phase::Refresh,
    );
    assert_eq!(
        error.detail.as_deref(),
        Some("invalid_grant token … is spent")
    );
    let long = detail("e", &"word ".repeat(100));
    assert!(long.len() <= DETAIL_MAX + 40, "{long}");
}
