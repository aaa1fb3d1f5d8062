//! Who is admitted: what the rules say of an identity.

use http::HeaderMap;
use serde_json::json;

use super::lanes::staff;
use super::*;
use crate::model::target::Target;

#[test]
fn subjects_usernames_claims_and_networks_are_judged() {
    let text = |text: &str| vec![text.to_owned()];
    let person = Identity {
        username: Some("ann".to_owned()),
        claims: BTreeMap::from([
            ("dept".to_owned(), json!("sales")),
            ("/realm/roles".to_owned(), json!(["a", "b"])),
            ("level".to_owned(), json!(7)),
            ("vip".to_owned(), json!(true)),
            ("odd".to_owned(), json!({"a": 1})),
            ("mixed".to_owned(), json!(["a", {"b": 1}])),
            ("huge".to_owned(), json!(null)),
            ("none".to_owned(), json!([])),
        ]),
        ..identity("0001", known(&[]))
    };
    let claim = |name: &str, value: &str| AccessRule {
        claims: BTreeMap::from([(name.to_owned(), text(value))]),
        ..AccessRule::default()
    };
    let subjects = |value: &str| AccessRule {
        subjects: text(value),
        ..AccessRule::default()
    };
    let usernames = |value: &str| AccessRule {
        usernames: text(value),
        ..AccessRule::default()
    };
    let networks = |value: &str| AccessRule {
        client_networks: vec![value.parse().unwrap()],
        ..AccessRule::default()
    };
    // What `access` and `deny` make of it: yes, no, or unknown.
    for (rule, fit) in [
        (subjects("0001"), "yes"),
        (subjects("1"), "no"),
        (subjects("0001 "), "no"),
        (usernames("ann"), "yes"),
        (usernames("Ann"), "no"),
        (claim("dept", "sales"), "yes"),
        (claim("dept", "Sales"), "no"),
        (claim("dept", "sale"), "no"),
        (claim("none", "sales"), "no"),
        (claim("asked for since", "sales"), "unknown"),
        (claim("/realm/roles", "b"), "yes"),
        (claim("/realm/roles", "a,b"), "no"),
        (claim("level", "7"), "yes"),
        (claim("vip", "true"), "yes"),
        (claim("odd", "a"), "unknown"),
        (claim("mixed", "a"), "unknown"),
        (claim("huge", "null"), "unknown"),
        (networks("192.0.2.0/24"), "yes"),
        (networks("192.0.3.0/24"), "no"),
        (
            AccessRule {
                usernames: text("bob"),
                ..subjects("0001")
            },
            "no",
        ),
        (
            AccessRule {
                usernames: text("ann"),
                ..networks("192.0.2.1/32")
            },
            "yes",
        ),
        (
            AccessRule {
                subjects: text("1"),
                ..claim("odd", "a")
            },
            "no",
        ),
        (
            AccessRule {
                subjects: text("0001"),
                ..claim("odd", "a")
            },
            "unknown",
        ),
    ] {
        let admitted = decide(one(rule.clone()), &person);
        assert_eq!(
            matches!(admitted, Decision::Permit(_)),
            fit == "yes",
            "{rule:?}"
        );
        let policy = RoutePolicy::compile(&checked::Route {
            deny: vec![rule.clone()],
            ..route(Some(Access::SignedIn), Vec::new())
        });
        let target = Target::for_tests("GET", "http://app.test/");
        let denied = policy
            .lane(&target, &HeaderMap::new())
            .decide(Some(&person), "192.0.2.1".parse().unwrap());
        assert_eq!(matches!(denied, Decision::Deny(_)), fit != "no", "{rule:?}");
    }
    let unnamed = Identity {
        username: None,
        ..person
    };
    let admitted = decide(one(usernames("ann")), &unnamed);
    assert_eq!(admitted, Decision::Deny(DenyReason::NotAdmitted));
}

fn with_mail(email: &str, verified: bool) -> Identity {
    Identity {
        email: Some(email.to_owned()),
        email_verified: verified,
        ..identity("mail", known(&["staff"]))
    }
}

fn decide(access: Access, identity: &Identity) -> Decision {
    let policy = RoutePolicy::compile(&route(Some(access), Vec::new()));
    let target = Target::for_tests("GET", "http://app.test/");
    let lane = policy.lane(&target, &HeaderMap::new());
    lane.decide(Some(identity), "192.0.2.1".parse().unwrap())
}

fn one(rule: AccessRule) -> Access {
    Access::AnyOf(vec![rule])
}

#[test]
fn mail_counts_only_when_verified_and_whole() {
    let domain = one(AccessRule {
        email_domains: vec!["example.com".to_owned()],
        ..AccessRule::default()
    });
    let address = one(AccessRule {
        emails: vec!["ann@example.com".to_owned()],
        ..AccessRule::default()
    });
    for email in ["ann@example.com", "Ann@EXAMPLE.com"] {
        for access in [&domain, &address] {
            let decision = decide(access.clone(), &with_mail(email, true));
            assert!(matches!(decision, Decision::Permit(_)), "{email}");
            let unverified = decide(access.clone(), &with_mail(email, false));
            assert_eq!(unverified, Decision::Deny(DenyReason::EmailUnverified));
        }
    }
    for email in [
        "ann@example.com@evil.test",
        "ann@evil.test@example.com",
        "@example.com",
        "ann@",
        "example.com",
        "",
        "ann@sub.example.com",
        "ann@notexample.com",
        "ann@example.com.",
        "ann@example.com ",
        "ann@ｅxample.com",
        "ann@example.com\u{0}",
    ] {
        for access in [&domain, &address] {
            assert_eq!(
                decide(access.clone(), &with_mail(email, true)),
                Decision::Deny(DenyReason::NotAdmitted),
                "{email}"
            );
        }
    }
    // The Kelvin sign folds to "k" in Unicode, never here.
    let kelvin = one(AccessRule {
        email_domains: vec!["k.test".to_owned()],
        ..AccessRule::default()
    });
    assert_eq!(
        decide(kelvin, &with_mail("a@\u{212a}.test", true)),
        Decision::Deny(DenyReason::NotAdmitted)
    );
}

#[test]
fn every_key_of_a_rule_must_match_and_one_rule_is_enough() {
    let both = AccessRule {
        groups: vec!["staff".to_owned()],
        email_domains: vec!["example.com".to_owned()],
        ..AccessRule::default()
    };
    let permit = |access: Access, identity: &Identity| {
        matches!(decide(access, identity), Decision::Permit(_))
    };
    assert!(permit(one(both.clone()), &with_mail("a@example.com", true)));
    assert!(!permit(one(both.clone()), &with_mail("a@other.test", true)));
    assert!(!permit(one(both.clone()), &who("ben").unwrap()));
    let other = AccessRule {
        emails: vec!["a@other.test".to_owned()],
        ..AccessRule::default()
    };
    let either = Access::AnyOf(vec![both.clone(), other]);
    assert!(permit(either, &with_mail("a@other.test", true)));

    let elsewhere = AccessRule {
        provider: Some(ProviderId("second".to_owned())),
        ..both
    };
    assert!(!permit(one(elsewhere), &with_mail("a@example.com", true)));
    assert!(!permit(one(AccessRule::default()), &who("ann").unwrap()));
    assert!(!permit(Access::AnyOf(Vec::new()), &who("ann").unwrap()));
    assert!(permit(Access::SignedIn, &who("dot").unwrap()));
}

#[test]
fn unknown_groups_never_admit_but_another_rule_may() {
    let dot = Identity {
        email: Some("dot@example.com".to_owned()),
        email_verified: true,
        ..who("dot").unwrap()
    };
    let by_group = AccessRule {
        groups: vec!["staff".to_owned()],
        ..AccessRule::default()
    };
    let by_mail = AccessRule {
        emails: vec!["dot@example.com".to_owned()],
        ..AccessRule::default()
    };
    assert_eq!(
        decide(one(by_group.clone()), &dot),
        Decision::Deny(DenyReason::GroupsUnknown)
    );
    let either = Access::AnyOf(vec![by_group.clone(), by_mail]);
    assert!(matches!(decide(either, &dot), Decision::Permit(_)));
    let impossible = AccessRule {
        emails: vec!["someone@else.test".to_owned()],
        ..by_group
    };
    assert_eq!(
        decide(one(impossible), &dot),
        Decision::Deny(DenyReason::NotAdmitted)
    );
}

#[test]
fn a_session_lane_without_access_admits_nobody() {
    let policy = RoutePolicy::compile(&route(None, Vec::new()));
    let target = Target::for_tests("GET", "http://app.test/");
    assert_eq!(
        policy
            .lane(&target, &HeaderMap::new())
            .decide(who("ann").as_ref(), "192.0.2.1".parse().unwrap()),
        Decision::Deny(DenyReason::NotAdmitted)
    );
    assert!(!policy.is_reachable_without_signing_in());
    assert!(staff().is_reachable_without_signing_in());
}
