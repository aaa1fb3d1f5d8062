use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderName;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, ORIGIN};

use super::*;
use crate::base::clock::Timestamp;
use crate::config::checked;
use crate::model::access::Preflight;
use crate::model::header_pattern::HeaderPattern;
use crate::model::identity::{Groups, ProviderId};
use crate::model::origin::Authority;
use crate::model::pattern::PathPattern;
use crate::policy::DenyReason;

fn rule(lane: Lane, methods: &[&str], path: &str, access: Option<Access>) -> LaneRule {
    LaneRule {
        methods: methods.iter().map(|one| one.parse().unwrap()).collect(),
        access,
        ..LaneRule::plain(lane, PathPattern::parse(path).unwrap())
    }
}

fn groups(names: &[&str]) -> AccessRule {
    AccessRule {
        groups: names.iter().map(|name| (*name).to_owned()).collect(),
        ..AccessRule::default()
    }
}

fn route() -> checked::Route {
    let mail = AccessRule {
        emails: vec!["ann@example.com".to_owned()],
        provider: Some(ProviderId("main".to_owned())),
        ..AccessRule::default()
    };
    let admins = Access::AnyOf(vec![groups(&["admins"])]);
    checked::Route {
        id: "app".to_owned(),
        hosts: vec![checked::RouteHost::Any],
        path: PathPattern::parse("/*").unwrap(),
        prefix: crate::model::path_prefix::PathPrefix::default(),
        upstream_tls: checked::UpstreamTls::default(),
        upstream: checked::Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
        preserve_host: true,
        access: Some(Access::AnyOf(vec![groups(&["staff"]), mail])),
        deny: Vec::new(),
        encoded_slash: false,
        preflight: Preflight::Session,
        rules: vec![
            rule(Lane::Deny, &["POST"], "/internal/*", None),
            rule(Lane::Public, &["GET"], "/u/*", None),
            rule(Lane::Session, &[], "/admin/*", Some(admins)),
        ],
        identity: checked::IdentityRules::default(),
        headers: Vec::new(),
        pass_access_token: false,
        response_timeout: Duration::from_secs(60),
        max_body: None,
    }
}

fn policy() -> RoutePolicy {
    RoutePolicy::compile(&route())
}

/// Every lane and every key.
fn rich() -> RoutePolicy {
    let at_home = AccessRule {
        client_networks: vec!["10.0.0.0/8".parse().unwrap()],
        ..groups(&["staff"])
    };
    let named = AccessRule {
        subjects: vec!["other".to_owned()],
        usernames: vec!["ann".to_owned()],
        claims: BTreeMap::from([("team".to_owned(), vec!["red".to_owned()])]),
        ..AccessRule::default()
    };
    let token = HeaderPattern::parse(AUTHORIZATION, "Bearer [a-z]{8}").unwrap();
    RoutePolicy::compile(&checked::Route {
        access: Some(Access::AnyOf(vec![at_home, named])),
        deny: vec![groups(&["guests"])],
        preflight: Preflight::Pass,
        rules: vec![
            LaneRule {
                header: Some(token),
                ..rule(Lane::BackendToken, &["POST"], "/api/*", None)
            },
            rule(Lane::Optional, &["GET"], "/news/*", None),
            LaneRule {
                deny: vec![AccessRule {
                    email_domains: vec!["example.com".to_owned()],
                    ..AccessRule::default()
                }],
                ..rule(Lane::Session, &[], "/inner/*", None)
            },
            rule(Lane::Session, &[], "/x/*/log", None),
            rule(Lane::Deny, &[], "/x/a/*", None),
        ],
        ..route()
    })
}

fn sent(lines: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name, value.parse().unwrap());
    }
    headers
}

fn home() -> IpAddr {
    "10.1.2.3".parse().unwrap()
}

fn away() -> IpAddr {
    "192.0.2.1".parse().unwrap()
}

fn get(path: &str) -> Target {
    Target::for_tests("GET", &format!("http://a.test{path}"))
}

fn who(known: Groups, email: Option<(&str, bool)>) -> Identity {
    Identity {
        provider: ProviderId("main".to_owned()),
        issuer: "https://id.test".to_owned(),
        subject: "s".to_owned(),
        username: None,
        name: None,
        email: email.map(|(email, _)| email.to_owned()),
        email_verified: email.is_some_and(|(_, verified)| verified),
        groups: known,
        claims: BTreeMap::new(),
        provider_session: None,
        read_at: Timestamp::default(),
    }
}

fn known(names: &[&str]) -> Groups {
    Groups::Known(names.iter().map(|name| (*name).to_owned()).collect())
}

fn mismatched(method: &str, path: &str) -> Vec<Vec<Mismatch>> {
    let target = Target::for_tests(method, &format!("http://a.test{path}"));
    let explained = policy()
        .explain(&target, &HeaderMap::new(), None, away())
        .rules;
    explained.into_iter().map(|step| step.mismatches).collect()
}

#[test]
fn each_rule_says_why_it_is_not_about_the_request() {
    use Mismatch::{Method, MethodInQuery, Path, Spelling};
    for (method, path, expected) in [
        ("POST", "/internal/x", vec![vec![]]),
        ("GET", "/u/x", vec![vec![Method, Path], vec![]]),
        ("POST", "/u/x", vec![vec![Path], vec![Method], vec![Path]]),
        (
            "GET",
            "/U//x?_method=PUT",
            vec![
                vec![Method, Path],
                vec![Spelling, MethodInQuery],
                vec![Path],
            ],
        ),
        (
            "GET",
            "//Admin/x",
            vec![vec![Method, Path], vec![Path], vec![]],
        ),
    ] {
        assert_eq!(mismatched(method, path), expected, "{method} {path}");
    }
}

#[test]
fn each_entry_of_access_says_what_is_missing() {
    let explain = |path: &str, identity: &Identity| {
        let target = Target::for_tests("GET", &format!("http://a.test{path}"));
        policy().explain(&target, &HeaderMap::new(), Some(identity), away())
    };
    let provider = ProviderId("other".to_owned());
    let stranger = Identity {
        provider: provider.clone(),
        ..who(Groups::Unknown, Some(("bob@example.com", true)))
    };
    let explained = explain("/", &stranger);
    let wanted = ProviderId("main".to_owned());
    let mail = Shortfall::Email {
        emails: vec!["ann@example.com".to_owned()],
        domains: Vec::new(),
    };
    assert_eq!(
        explained.access,
        [AccessStep {
            asked: Asked::Route,
            outcome: AccessOutcome::Refused(vec![
                vec![Shortfall::GroupsUnknown],
                vec![Shortfall::Provider { wanted }, mail],
            ]),
        }]
    );
    assert_eq!(
        explained.decision,
        Decision::Deny(DenyReason::GroupsUnknown)
    );

    let ann = who(known(&[]), Some(("Ann@example.com", true)));
    let explained = explain("/admin/x", &ann);
    assert_eq!(explained.decision, Decision::Deny(DenyReason::NotAdmitted));
    let staff = vec![Shortfall::Groups {
        wanted: vec!["staff".to_owned()],
    }];
    let [route, rule] = &explained.access[..] else {
        panic!("{explained:?}")
    };
    assert_eq!(
        route.outcome,
        AccessOutcome::Admitted {
            index: 1,
            earlier: vec![staff]
        }
    );
    assert!(matches!(&rule.outcome, AccessOutcome::Refused(missed) if missed.len() == 1));
    assert_eq!(rule.asked, Asked::Rule(2));

    let unverified = who(known(&["staff"]), Some(("ann@example.com", false)));
    assert!(matches!(
        explain("/", &unverified).decision,
        Decision::Permit(_)
    ));
    let none = who(known(&[]), Some(("ann@example.com", false)));
    assert_eq!(
        explain("/", &none).decision,
        Decision::Deny(DenyReason::EmailUnverified)
    );
    assert_eq!(explain("/u/x", &none).access, [], "nobody is asked");
}

#[test]
fn a_token_rule_says_what_is_wrong_with_the_header() {
    use Mismatch::{HeaderMissing, HeaderTwice, HeaderValue, Method};
    for (method, tokens, expected) in [
        ("POST", &["Bearer abcdefgh"][..], vec![]),
        ("POST", &[], vec![HeaderMissing]),
        ("POST", &["Bearer short"], vec![HeaderValue]),
        (
            "POST",
            &["Bearer abcdefgh", "Bearer abcdefgh"],
            vec![HeaderTwice],
        ),
        ("GET", &["Bearer short"], vec![Method, HeaderValue]),
    ] {
        let lines: Vec<_> = tokens.iter().map(|one| (AUTHORIZATION, *one)).collect();
        let target = Target::for_tests(method, "http://a.test/api/x");
        let explained = rich().explain(&target, &sent(&lines), None, away());
        assert_eq!(
            explained.rules[0].mismatches, expected,
            "{method} {tokens:?}"
        );
        assert_eq!(explained.lane == Lane::BackendToken, expected.is_empty());
    }
}

#[test]
fn where_the_client_is_counts_and_is_said() {
    let ann = who(known(&["staff"]), None);
    let headers = HeaderMap::new();
    let explained = rich().explain(&get("/"), &headers, Some(&ann), home());
    assert!(explained.networks);
    assert!(matches!(explained.decision, Decision::Permit(_)));
    let explained = rich().explain(&get("/"), &headers, Some(&ann), away());
    assert_eq!(explained.decision, Decision::Deny(DenyReason::NotAdmitted));
    let text = |one: &str| vec![one.to_owned()];
    let [step] = &explained.access[..] else {
        panic!("{explained:?}")
    };
    assert_eq!(
        step.outcome,
        AccessOutcome::Refused(vec![
            vec![Shortfall::ClientNetwork {
                client: away(),
                wanted: text("10.0.0.0/8"),
            }],
            vec![
                Shortfall::Subject {
                    wanted: text("other"),
                },
                Shortfall::UsernameMissing,
                Shortfall::ClaimMissing {
                    name: "team".to_owned(),
                },
            ],
        ])
    );
    let nobody = rich().explain(&get("/"), &headers, None, away());
    assert!(!nobody.networks, "nobody is asked");
    let plain = policy().explain(&get("/"), &headers, Some(&ann), away());
    assert!(!plain.networks);
}

#[test]
fn deny_says_whom_it_names_and_whom_it_could() {
    let headers = HeaderMap::new();
    let outcomes = |path: &str, identity: &Identity| {
        let explained = rich().explain(&get(path), &headers, Some(identity), home());
        let outcomes: Vec<_> = explained
            .deny
            .into_iter()
            .map(|step| (step.asked, step.outcome))
            .collect();
        (outcomes, explained.decision)
    };
    let (steps, decision) = outcomes("/", &who(known(&["staff", "guests"]), None));
    assert_eq!(steps, [(Asked::Route, DenyOutcome::Named { index: 0 })]);
    assert_eq!(decision, Decision::Deny(DenyReason::Denied));

    let (steps, decision) = outcomes("/", &who(Groups::Unknown, None));
    let unknown = vec![Shortfall::GroupsUnknown];
    let could_be = DenyOutcome::CouldBe { index: 0, unknown };
    assert_eq!(steps, [(Asked::Route, could_be)]);
    assert_eq!(decision, Decision::Deny(DenyReason::GroupsUnknown));

    let unverified = who(known(&["staff"]), Some(("ann@else.test", false)));
    let (steps, decision) = outcomes("/inner/x", &unverified);
    let unknown = vec![Shortfall::EmailUnverified];
    let could_be = DenyOutcome::CouldBe { index: 0, unknown };
    assert_eq!(
        steps,
        [
            (Asked::Route, DenyOutcome::Spared),
            (Asked::Rule(2), could_be)
        ]
    );
    assert_eq!(decision, Decision::Deny(DenyReason::EmailUnverified));
}

#[test]
fn preflights_and_the_other_reading_are_said() {
    let preflight = sent(&[
        (ORIGIN, "https://b.test"),
        (ACCESS_CONTROL_REQUEST_METHOD, "PUT"),
    ]);
    let target = Target::for_tests("OPTIONS", "http://a.test/x");
    let explained = rich().explain(&target, &preflight, None, away());
    assert!(explained.preflight && explained.rules.is_empty());
    assert!(matches!(&explained.decision, Decision::Permit(permit) if permit.drops_cookies()));
    assert!(
        !policy()
            .explain(&target, &preflight, None, away())
            .preflight
    );

    let ann = who(known(&["staff"]), None);
    let explained = rich().explain(
        &get("/x/a%252fb/log"),
        &HeaderMap::new(),
        Some(&ann),
        home(),
    );
    assert_eq!(explained.also, Some(4));
    assert!(explained.also_denies);
    assert_eq!(explained.decision, Decision::Deny(DenyReason::RouteDenies));
}

/// Each step against the decision that the request path would take.
fn agrees(policy: &RoutePolicy, target: &Target, headers: &HeaderMap, who: Option<&Identity>) {
    for client in [home(), away()] {
        let what = format!("{target:?} {headers:?} {who:?} {client}");
        let explained = policy.explain(target, headers, who, client);
        let lane = policy.lane(target, headers);
        assert_eq!(explained.decision, lane.decide(who, client), "{what}");
        let decided_by = lane.rule().map(|(index, _)| index);
        for step in &explained.rules {
            let decided = Some(step.index) == decided_by;
            assert_eq!(step.mismatches.is_empty(), decided, "{what}");
        }
        let spared = explained
            .deny
            .iter()
            .all(|step| step.outcome == DenyOutcome::Spared);
        let admitted = explained
            .access
            .iter()
            .all(|step| !matches!(step.outcome, AccessOutcome::Refused(_)));
        let passes = spared && admitted;
        match &explained.decision {
            Decision::Permit(permit) if explained.lane == Lane::Optional => {
                assert_eq!(permit.carries_identity(), who.is_some() && passes, "{what}");
            }
            Decision::Deny(DenyReason::RouteDenies) => {
                assert!(
                    explained.also_denies || explained.lane == Lane::Deny,
                    "{what}"
                );
            }
            Decision::Deny(_) => assert!(!passes, "{what}"),
            Decision::Permit(_) | Decision::SignIn { .. } => assert!(passes, "{what}"),
        }
    }
}

#[test]
fn the_steps_agree_with_the_decision() {
    let people = [
        None,
        Some(who(known(&["staff"]), None)),
        Some(who(known(&["staff", "admins"]), None)),
        Some(who(known(&["staff", "guests"]), None)),
        Some(who(Groups::Unknown, Some(("ann@example.com", true)))),
        Some(who(known(&[]), Some(("ann@example.com", false)))),
    ];
    let carried = [
        sent(&[]),
        sent(&[(AUTHORIZATION, "Bearer abcdefgh")]),
        sent(&[(AUTHORIZATION, "Bearer short")]),
    ];
    for method in ["GET", "POST", "post", "HEAD", "FOO"] {
        for path in [
            "/",
            "/u/x",
            "/U/x",
            "/u//x",
            "/u/x?_method=PUT",
            "/internal/x",
            "/INTERNAL/x",
            "/admin/x",
            "/%61dmin/x",
            "/admin",
            "/api/x",
            "/API/x",
            "/news/x",
            "/inner/x",
            "/x/a/log",
            "/x/a%252fb/log",
        ] {
            let target = Target::for_tests(method, &format!("http://a.test{path}"));
            for policy in [policy(), rich()] {
                for headers in &carried {
                    for who in &people {
                        agrees(&policy, &target, headers, who.as_ref());
                    }
                }
            }
        }
    }
}
