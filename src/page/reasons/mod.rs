//! Reason codes in plain words, for the person who meets the page. Never the
//! operator's cure: that stands in the log.
//!
//! Owns: the words of every reason code. Must not know: why one came up.

mod chinese;
mod english;

use http::StatusCode;

use super::Language;

/// What an error page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    pub title: &'static str,
    pub happened: &'static str,
    /// What the person can do.
    pub next: &'static str,
}

/// The text of a reason code; unknown codes get the text of their status.
pub fn text(language: Language, reason: &str, status: StatusCode) -> Text {
    let of_code = match language {
        Language::English => english::of_code,
        Language::Chinese => chinese::of_code,
    };
    let fall_back = || of_code(code_of_status(status)).expect("every fall-back has a text");
    of_code(family(reason))
        .filter(|_| !reason.is_empty())
        .unwrap_or_else(fall_back)
}

/// Codes that differ for operators only.
fn family(reason: &str) -> &str {
    match reason {
        "network_unreachable" | "breaker_open" => "provider_unreachable",
        "bad_response" | "discovery_failed" | "issuer_mismatch" => "provider_error",
        "jwks_unknown_kid" | "response_issuer_mismatch" | "userinfo_subject_mismatch" => {
            "id_token_invalid"
        }
        "refresh_reused"
        | "rotation_lost"
        | "upstream_grant_lost"
        | "session_expired"
        | "session_idle"
        | "access_token_ended"
        | "identity_too_old"
        | "provider_removed" => "grant_expired_or_revoked",
        "refresh_not_allowed"
        | "scope_rejected"
        | "redirect_uri_rejected"
        | "client_not_allowed"
        | "endpoint_refused"
        | "provider_unsupported"
        | "provider_configuration" => "client_credentials_rejected",
        "cross_site_post" => "csrf_failed",
        "interaction_required" => "login_required",
        "provider_busy" => "provider_unavailable",
        "too_many_sign_ins" => "too_many_requests",
        "store_credentials_rejected" | "store_record_corrupt" | "session_record_corrupt" => {
            "store_unavailable"
        }
        "denied_by_rule" => "not_admitted",
        "claims_unknown" => "groups_unknown",
        _ if reason.starts_with("upstream_tls_") => "upstream_untrusted",
        _ if reason.starts_with("tls_") => "tls_failed",
        _ if reason.starts_with("id_token_") => "id_token_invalid",
        _ => reason,
    }
}

fn code_of_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "sign_in_required",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        408 => "request_timeout",
        413 => "body_too_large",
        414 | 431 => "headers_too_large",
        421 => "unknown_host",
        429 => "too_many_requests",
        502 => "upstream_broken",
        503 => "unavailable",
        504 => "upstream_timeout",
        400..=499 => "bad_request",
        _ => "internal",
    }
}

/// Every code with words of its own. A new code is added here and in both
/// languages; the tests hold the three together.
#[cfg(test)]
const CODES: &[&str] = &[
    "login_state_unknown",
    "login_state_expired",
    "login_spent",
    "login_denied",
    "login_loop",
    "handoff_failed",
    "login_required",
    "provider_error",
    "provider_unavailable",
    "provider_busy",
    "code_rejected",
    "redirect_uri_rejected",
    "client_not_allowed",
    "endpoint_refused",
    "provider_unsupported",
    "provider_configuration",
    "interaction_required",
    "response_issuer_mismatch",
    "userinfo_subject_mismatch",
    "id_token_nonce",
    "issuer_mismatch",
    "store_credentials_rejected",
    "store_record_corrupt",
    "session_record_corrupt",
    "session_unknown",
    "session_signed_out",
    "session_expired",
    "session_idle",
    "session_cookie_missing",
    "session_still_there",
    "access_token_ended",
    "identity_too_old",
    "provider_removed",
    "too_many_sign_ins",
    "provider_unreachable",
    "network_unreachable",
    "outcome_unknown",
    "client_credentials_rejected",
    "refresh_not_allowed",
    "scope_rejected",
    "bad_response",
    "clock_skew",
    "rate_limited",
    "tls_unknown_ca",
    "tls_expired",
    "tls_failed",
    "id_token_invalid",
    "jwks_unknown_kid",
    "subject_changed",
    "session_ended_by_idp",
    "grant_expired_or_revoked",
    "refresh_reused",
    "upstream_grant_lost",
    "store_unavailable",
    "store_refuses_writes",
    "not_admitted",
    "route_denies",
    "groups_unknown",
    "username_taken",
    "user_unknown",
    "forbidden",
    "no_route",
    "not_found",
    "unknown_host",
    "bad_request",
    "method_not_allowed",
    "request_timeout",
    "upstream_unreachable",
    "upstream_down",
    "upstream_tls_unknown_ca",
    "upstream_tls_expired",
    "upstream_tls_wrong_name",
    "upstream_tls_client_certificate",
    "upstream_tls_failed",
    "upstream_timeout",
    "upstream_broken",
    "body_too_large",
    "headers_too_large",
    "too_many_requests",
    "overloaded",
    "cross_site_post",
    "sign_in_required",
    "csrf_failed",
    "return_to_refused",
    "unavailable",
    "internal",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_words_in_both_languages() {
        for code in CODES {
            let english = english::of_code(family(code)).unwrap_or_else(|| panic!("{code}"));
            let chinese = chinese::of_code(family(code)).unwrap_or_else(|| panic!("{code}"));
            for part in [english.title, english.happened, english.next] {
                assert!(part.is_ascii() && part.len() > 3, "{code}: {part}");
            }
            assert!(!english.title.ends_with('.'), "{code}");
            assert!(english.next.ends_with('.'), "{code}");
            for part in [chinese.title, chinese.happened, chinese.next] {
                assert!(!part.is_ascii(), "{code}: {part}");
            }
        }
    }

    #[test]
    fn unknown_codes_fall_back_by_status() {
        for language in [Language::English, Language::Chinese] {
            for status in 400..600 {
                let status = StatusCode::from_u16(status).unwrap();
                for reason in ["never_heard_of", ""] {
                    let text = text(language, reason, status);
                    assert!(!text.title.is_empty());
                }
            }
        }
        let gone = text(Language::English, "x", StatusCode::NOT_FOUND);
        assert_eq!(gone.title, "Page not found");
    }

    /// People read these; operators' words (options, keys, files, stores)
    /// have no place in them.
    #[test]
    fn no_cure_for_operators() {
        for code in CODES {
            let text = text(Language::English, code, StatusCode::BAD_GATEWAY);
            for part in [text.title, text.happened, text.next] {
                let lower = part.to_lowercase();
                for word in [
                    "redis",
                    "sqlite",
                    "config",
                    "client_id",
                    "secret",
                    "token",
                    "upstream",
                    "toml",
                    "oauth",
                    "oidc",
                    "certificate file",
                ] {
                    assert!(!lower.contains(word), "{code} says {word}: {part}");
                }
            }
        }
    }
}
