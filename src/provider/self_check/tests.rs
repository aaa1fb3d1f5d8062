use serde_json::json;

use super::super::scripted::{self, Reply, Scripted};
use super::*;

fn rejection(status: u16, code: &str, text: &str) -> Reply {
    let body = json!({ "error": code, "error_description": text });
    Reply::text(status, "application/json", &body.to_string())
}

async fn check(idp: &Scripted) -> Vec<Finding> {
    check_as(idp, idp.config()).await
}

async fn check_as(idp: &Scripted, config: ProviderConfig) -> Vec<Finding> {
    let redirect_uri = "https://apps.test/oauth2/callback".to_owned();
    let clock = idp.clock.clone();
    SelfCheck::new(config, &scripted::limits(), clock, redirect_uri)
        .unwrap()
        .run()
        .await
}

fn of(findings: &[Finding], step: Step) -> &Finding {
    findings
        .iter()
        .find(|finding| finding.step == step)
        .unwrap()
}

#[tokio::test]
async fn row_0_12_a_good_provider_is_good_in_every_step() {
    let idp = Scripted::start().await;
    idp.discovery(json!({ "scopes_supported": ["openid", "email", "profile"] }));
    idp.reply("/token", rejection(400, "invalid_grant", "no such code"));
    let findings = check(&idp).await;
    let steps: Vec<_> = findings.iter().map(|finding| finding.step).collect();
    assert_eq!(
        steps,
        [
            Step::Discovery,
            Step::Keys,
            Step::Clock,
            Step::Scopes,
            Step::Credentials
        ]
    );
    for finding in &findings {
        assert_eq!(finding.verdict, Verdict::Good, "{finding:?}");
        assert_eq!(finding.reason, None);
    }
    let seen = idp.seen("/token");
    assert_eq!(seen.len(), 1, "one made-up code");
    let form = seen[0].form();
    assert!(form["code"].starts_with("vestibule-check-"), "{form:?}");
    assert_eq!(form["redirect_uri"], "https://apps.test/oauth2/callback");
    assert_eq!(form["code_verifier"].len(), 43);
}

#[tokio::test]
async fn row_0_12_the_words_of_the_token_endpoint_tell_about_the_client() {
    use Verdict::{Bad, Doubtful, Good};
    let idp = Scripted::start().await;
    for (reply, verdict, reason) in [
        (rejection(400, "invalid_grant", ""), Good, None),
        (rejection(200, "bad_verification_code", ""), Good, None),
        // Gitea's word for a code that it does not know.
        (
            rejection(400, "unauthorized_client", "client is not authorized"),
            Good,
            None,
        ),
        (
            rejection(401, "invalid_client", ""),
            Bad,
            Some("client_credentials_rejected"),
        ),
        (
            rejection(200, "incorrect_client_credentials", ""),
            Bad,
            Some("client_credentials_rejected"),
        ),
        (
            rejection(400, "unauthorized_client", "invalid client secret"),
            Bad,
            Some("client_credentials_rejected"),
        ),
        (
            rejection(400, "redirect_uri_mismatch", ""),
            Bad,
            Some("redirect_uri_rejected"),
        ),
        (
            rejection(400, "unsupported_grant_type", ""),
            Bad,
            Some("client_not_allowed"),
        ),
        (
            rejection(400, "something_else", ""),
            Doubtful,
            Some("bad_response"),
        ),
        (
            Reply::text(502, "text/html", "<p>oops"),
            Doubtful,
            Some("provider_error"),
        ),
        (
            Reply::text(429, "text/plain", ""),
            Doubtful,
            Some("rate_limited"),
        ),
        (
            Reply::json(&json!({ "access_token": "a", "token_type": "bearer" })),
            Bad,
            Some("bad_response"),
        ),
        (Reply::HangUp, Bad, Some("outcome_unknown")),
    ] {
        idp.reply("/token", reply);
        let findings = check(&idp).await;
        let found = of(&findings, Step::Credentials);
        assert_eq!(
            (found.verdict, found.reason),
            (verdict, reason),
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn row_0_15_the_way_of_authenticating_is_named_and_the_other_one_tried() {
    let idp = Scripted::start().await;
    let both = ["client_secret_basic", "client_secret_post"];
    idp.discovery(json!({ "token_endpoint_auth_methods_supported": both }));
    let refused = || rejection(401, "invalid_client", "");
    idp.replies("/token", [refused(), rejection(400, "invalid_grant", "")]);
    let findings = check(&idp).await;
    let found = of(&findings, Step::Credentials);
    assert_eq!(found.verdict, Verdict::Good);
    assert_eq!(
        found.said,
        "it accepts the client id and secret (client_secret_post); \
         it refuses client_secret_basic though it lists that too"
    );
    idp.reply("/token", refused());
    let findings = check(&idp).await;
    let found = of(&findings, Step::Credentials);
    assert_eq!(found.verdict, Verdict::Bad);
    assert!(
        found
            .said
            .ends_with("(client_secret_basic and client_secret_post)"),
        "{}",
        found.said
    );
    // Only one is listed: it is the only one tried.
    idp.discovery(json!({ "token_endpoint_auth_methods_supported": ["client_secret_basic"] }));
    let before = idp.seen("/token").len();
    let findings = check(&idp).await;
    let found = of(&findings, Step::Credentials);
    assert!(found.said.ends_with("(client_secret_basic)"), "{found:?}");
    assert_eq!(idp.seen("/token").len(), before + 1);
}

#[tokio::test]
async fn what_is_wrong_is_said_step_by_step() {
    let idp = Scripted::start().await;
    idp.reply("/token", rejection(400, "invalid_grant", ""));
    idp.discovery(json!({ "issuer": "https://other.example.com" }));
    let findings = check(&idp).await;
    assert_eq!(findings.len(), 1, "nothing else can be asked: {findings:?}");
    assert_eq!(findings[0].reason, Some("issuer_mismatch"));
    assert!(findings[0].said.contains("https://other.example.com"));

    idp.discovery(json!({}));
    idp.reply("/keys", Reply::json(&json!({ "keys": [] })));
    let findings = check(&idp).await;
    assert_eq!(of(&findings, Step::Keys).verdict, Verdict::Bad);
    assert_eq!(of(&findings, Step::Credentials).verdict, Verdict::Good);
    let scopes = of(&findings, Step::Scopes);
    assert_eq!(scopes.said, "it does not list the scope email, profile");
    assert_eq!(scopes.verdict, Verdict::Doubtful);

    for (secs, verdict) in [
        (-600, Verdict::Bad),
        (-30, Verdict::Doubtful),
        (90, Verdict::Bad),
    ] {
        idp.clock.advance(secs * 1000);
        let findings = check(&idp).await;
        assert_eq!(of(&findings, Step::Clock).verdict, verdict, "{secs}");
        idp.clock.advance(-secs * 1000);
    }

    let public = ProviderConfig {
        client_secret: None,
        ..idp.config()
    };
    let findings = check_as(&idp, public).await;
    assert_eq!(
        of(&findings, Step::Credentials).said,
        "it knows the client id; there is no secret to test"
    );
}

#[tokio::test]
async fn a_provider_that_is_away_is_one_finding() {
    let idp = Scripted::start().await;
    let config = ProviderConfig {
        issuer: "http://127.0.0.1:1".into(),
        ..idp.config()
    };
    let findings = check_as(&idp, config).await;
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].reason, Some("network_unreachable"));
}
