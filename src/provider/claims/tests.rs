use serde_json::json;

use super::super::scripted;
use super::*;

fn told(claims: Value) -> Identity {
    let config = scripted::config("https://id.test");
    told_with(&config, claims)
}

fn told_with(config: &ProviderConfig, mut claims: Value) -> Identity {
    claims["sub"] = json!("ann");
    identity(config, claims.as_object().unwrap(), Timestamp(1)).unwrap()
}

fn known(groups: &[&str]) -> Groups {
    Groups::Known(groups.iter().map(|group| (*group).to_owned()).collect())
}

#[test]
fn groups_are_known_or_unknown_never_guessed() {
    let long = "g".repeat(GROUP_MAX + 1);
    let many: Vec<String> = (0..20_000).map(|n| format!("group-{n}")).collect();
    for (claims, groups) in [
        (json!({"groups": ["a", "b"]}), known(&["a", "b"])),
        (json!({"groups": "a"}), known(&["a"])),
        (json!({"groups": []}), known(&[])),
        (json!({}), known(&[])),
        (json!({"groups": null}), known(&[])),
        (json!({"groups": {"a": 1}}), Groups::Unknown),
        (json!({"groups": ["a", 1]}), Groups::Unknown),
        (json!({"groups": true}), Groups::Unknown),
        (json!({"groups": [long]}), Groups::Unknown),
        (json!({"groups": many}), Groups::Unknown),
        (json!({"hasgroups": true}), Groups::Unknown),
    ] {
        assert_eq!(told(claims.clone()).groups, groups, "{claims:.80}");
    }
    let two_thousand: Vec<String> = (0..2000).map(|n| format!("group-{n}")).collect();
    let Groups::Known(kept) = told(json!({"groups": two_thousand})).groups else {
        panic!("row 3.9");
    };
    assert_eq!(kept.len(), 2000);
}

#[test]
fn sec_rp_52_distributed_groups_are_unknown() {
    let claims = json!({
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "http://169.254.169.254/"}},
    });
    assert_eq!(told(claims).groups, Groups::Unknown);
}

#[test]
fn sec_rp_53_a_mail_address_is_verified_by_rule() {
    let mut config = scripted::config("https://id.test");
    for (rule, told, verified) in [
        (EmailVerified::Require, json!(true), true),
        (EmailVerified::Require, json!("true"), true),
        (EmailVerified::Require, json!(false), false),
        (EmailVerified::Require, json!("false"), false),
        (EmailVerified::Require, json!("True"), false),
        (EmailVerified::Require, json!(1), false),
        (EmailVerified::Require, Value::Null, false),
        (EmailVerified::Trust, Value::Null, true),
        (EmailVerified::Trust, json!(false), true),
        (EmailVerified::Ignore, json!(true), false),
    ] {
        config.email_verified = rule;
        let claims = json!({"email": "ann@example.com", "email_verified": told});
        let identity = told_with(&config, claims);
        assert_eq!(identity.email_verified, verified, "{rule:?} {told}");
    }
}

#[test]
fn names_are_literal_or_pointers() {
    let mut config = scripted::config("https://id.test");
    config.claims.groups = "/realm_access/roles".into();
    config.claims.username = "https://id.test/user.name".into();
    config.claims.extra = vec!["/a~1b/0".into(), "dept".into(), "gone".into()];
    let identity = told_with(
        &config,
        json!({
            "realm_access": {"roles": ["x"]},
            "https://id.test/user.name": "ann",
            "a/b": ["first"],
            "dept": {"id": 7},
            "unwanted": 1,
        }),
    );
    assert_eq!(identity.groups, known(&["x"]));
    assert_eq!(identity.username.as_deref(), Some("ann"));
    assert_eq!(identity.claims["/a~1b/0"], "first");
    assert_eq!(identity.claims["dept"]["id"], 7);
    assert_eq!(identity.claims["gone"], json!([]), "asked for, and none");
    assert_eq!(identity.claims.len(), 3);
}

#[test]
fn row_3_9_huge_claims_are_left_out() {
    let mut config = scripted::config("https://id.test");
    config.claims.extra = vec!["picture".into()];
    let huge = "x".repeat(1 << 20);
    let claims = json!({"picture": huge, "name": huge, "preferred_username": "ann"});
    let identity = told_with(&config, claims);
    assert_eq!(identity.claims["picture"], Value::Null);
    assert!(identity.name.is_none());
    assert_eq!(identity.username.as_deref(), Some("ann"));
}

#[test]
fn what_was_signed_is_not_replaced() {
    let mut claims = json!({"sub": "ann", "email": "a@x", "deep": {"a": 1}, "name": null});
    let more = json!({"email": "b@x", "deep": {"a": 2, "b": 3}, "name": "Ann", "groups": ["g"]});
    let claims = claims.as_object_mut().unwrap();
    let config = scripted::config("https://id.test");
    supplement(&config, claims, more.as_object().unwrap().clone());
    let expected = json!({
        "sub": "ann", "email": "a@x", "deep": {"a": 1, "b": 3}, "name": "Ann", "groups": ["g"],
    });
    assert_eq!(Value::Object(claims.clone()), expected);
}

#[test]
fn sec_rp_53_one_verified_address_does_not_prove_another() {
    let mut config = scripted::config("https://id.test");
    config.email_verified = EmailVerified::Require;
    let completed = |signed: Value, more: Value| {
        let mut claims = signed.as_object().unwrap().clone();
        claims.insert("sub".to_owned(), json!("ann"));
        supplement(&config, &mut claims, more.as_object().unwrap().clone());
        identity(&config, &claims, Timestamp(1)).unwrap()
    };
    let signed = json!({"email": "ann@corp.example"});
    let same = completed(
        signed.clone(),
        json!({"email": "ann@corp.example", "email_verified": true}),
    );
    assert!(same.email_verified);
    let other = completed(
        signed,
        json!({"email": "ann@mail.example", "email_verified": true}),
    );
    assert_eq!(other.email.as_deref(), Some("ann@corp.example"));
    assert!(!other.email_verified);

    config.claims.email = "upn".to_owned();
    for (email, verified) in [("ann@mail.example", false), ("BOSS@corp.example", true)] {
        let claims = json!({"upn": "boss@corp.example", "email": email, "email_verified": true});
        let told = told_with(&config, claims);
        assert_eq!(told.email.as_deref(), Some("boss@corp.example"));
        assert_eq!(told.email_verified, verified, "{email}");
    }
}
