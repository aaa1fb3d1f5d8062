//! Decisions as a table: method, path, who, and what comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};

use super::{Decision, DenyReason, RoutePolicy};
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::config::checked;
use crate::model::access::{Access, AccessRule, Lane, LaneRule, Unauthenticated};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::origin::Authority;
use crate::model::pattern::PathPattern;
use crate::model::target::Target;

fn groups(names: &[&str]) -> Access {
    Access::AnyOf(vec![AccessRule {
        groups: names.iter().map(|name| (*name).to_owned()).collect(),
        ..AccessRule::default()
    }])
}

fn rule(lane: Lane, methods: &str, path: &str) -> LaneRule {
    LaneRule {
        methods: methods
            .split_terminator(',')
            .map(|method| method.parse().unwrap())
            .collect(),
        path: PathPattern::parse(path).unwrap(),
        lane,
        access: None,
        unauthenticated: Unauthenticated::Auto,
        upgrade: false,
    }
}

fn route(access: Option<Access>, rules: Vec<LaneRule>) -> checked::Route {
    checked::Route {
        id: "app".to_owned(),
        hosts: vec![checked::RouteHost::Any],
        path: PathPattern::parse("/*").unwrap(),
        upstream: checked::Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
        upstream_tls: Default::default(),
        prefix: Default::default(),
        preserve_host: true,
        access,
        rules,
        identity: checked::IdentityPreset::Default,
        headers: Vec::new(),
        pass_access_token: false,
        response_timeout: Duration::from_secs(60),
        max_body: None,
    }
}

/// Staff only, with an open gallery, a part for admins, a part for nobody.
fn staff() -> RoutePolicy {
    RoutePolicy::compile(&route(
        Some(groups(&["staff"])),
        vec![
            rule(Lane::Deny, "", "/admin/private/*"),
            rule(Lane::Deny, "", "/metrics"),
            LaneRule {
                access: Some(groups(&["admins"])),
                ..rule(Lane::Session, "", "/admin/*")
            },
            rule(Lane::Public, "GET,HEAD", "/u/*"),
            LaneRule {
                upgrade: true,
                ..rule(Lane::Public, "", "/live")
            },
            rule(Lane::Public, "", "/assets/*"),
            LaneRule {
                unauthenticated: Unauthenticated::Status401,
                ..rule(Lane::Session, "", "/api/*")
            },
            rule(Lane::Deny, "POST,DELETE", "/read/*"),
            rule(Lane::Public, "", "/read/*"),
            rule(Lane::Public, "GET", "/f/*/raw"),
            rule(Lane::Public, "PROPFIND", "/dav/*"),
        ],
    ))
}

/// "Everything but": all is public except what is named first.
fn open() -> RoutePolicy {
    RoutePolicy::compile(&route(
        Some(Access::SignedIn),
        vec![
            rule(Lane::Deny, "", "/internal"),
            rule(Lane::Session, "", "/account/*"),
            rule(Lane::Public, "", "/*"),
        ],
    ))
}

fn identity(name: &str, known: Groups) -> Identity {
    Identity {
        provider: ProviderId("main".to_owned()),
        issuer: "https://id.test".to_owned(),
        subject: name.to_owned(),
        username: None,
        name: None,
        email: None,
        email_verified: false,
        groups: known,
        claims: BTreeMap::new(),
        provider_session: None,
        read_at: Timestamp::default(),
    }
}

fn known(names: &[&str]) -> Groups {
    Groups::Known(names.iter().map(|name| (*name).to_owned()).collect())
}

fn who(name: &str) -> Option<Identity> {
    match name {
        "-" => None,
        "ann" => Some(identity("ann", known(&["staff", "admins"]))),
        "ben" => Some(identity("ben", known(&["staff"]))),
        "cid" => Some(identity("cid", known(&["STAFF", "staff ", "admins"]))),
        "dot" => Some(identity("dot", Groups::Unknown)),
        _ => panic!("nobody is called {name}"),
    }
}

fn outcome(policy: &RoutePolicy, method: &str, path: &str, name: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::HOST, HeaderValue::from_static("app.test"));
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let target = match Target::parse(&method, &path.parse().unwrap(), &headers) {
        Ok(target) => target,
        Err(error) => return format!("400 {}", error.reason()),
    };
    let identity = who(name);
    match policy.lane(&target).decide(identity.as_ref()) {
        Decision::Permit(permit) if permit.lane() == Lane::Public && permit.upgrade_allowed() => {
            "public+upgrade".to_owned()
        }
        Decision::Permit(permit) => permit.lane().as_str().to_owned(),
        Decision::SignIn { unauthenticated } => match unauthenticated {
            Unauthenticated::Auto => "sign-in".to_owned(),
            Unauthenticated::Status401 => "401".to_owned(),
        },
        Decision::Deny(reason) => format!("403 {}", reason.reason()),
    }
}

/// Each line: method, path, who ("-" is nobody), "=", outcome.
fn check(policy: &RoutePolicy, table: &str) -> usize {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in table.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("--") {
            continue;
        }
        let (asked, expected) = line.split_once(" = ").expect("row with an outcome");
        let [method, path, name] = asked.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("not three words: {line}");
        };
        let got = outcome(policy, method, path, name);
        if got != expected.trim() {
            wrong.push(format!("{line}   got: {got}"));
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    rows
}

#[test]
fn staff_only_with_exceptions() {
    let rows = check(
        &staff(),
        r"
        -- what no rule names is the session lane with the route's access
        GET      /                        -    = sign-in
        GET      /                        ann  = session
        GET      /                        ben  = session
        GET      /                        cid  = 403 not_admitted
        GET      /                        dot  = 403 groups_unknown
        POST     /form                    -    = sign-in
        POST     /form                    ben  = session
        DELETE   /x                       cid  = 403 not_admitted
        FOO      /x                       -    = sign-in
        FOO      /x                       ben  = session
        get      /x                       -    = sign-in
        PROPFIND /x                       -    = sign-in
        OPTIONS  /x                       -    = sign-in
        GET      /publicx                 -    = sign-in

        -- public for two methods, everybody alike
        GET      /u/                      -    = public
        GET      /u/a.png                 -    = public
        GET      /u/a.png                 ann  = public
        GET      /u/a.png                 cid  = public
        GET      /u/a.png                 dot  = public
        HEAD     /u/a.png                 -    = public
        GET      /u/a/b/c                 -    = public
        GET      /u/a.png?x=1             -    = public
        GET      /u/a%20b.png             -    = public
        GET      /u/%E6%96%87.png         -    = public
        GET      /u                       -    = sign-in
        GET      /ux                      -    = sign-in
        GET      /U/a.png                 -    = sign-in
        POST     /u/a.png                 -    = sign-in
        OPTIONS  /u/a.png                 -    = sign-in
        get      /u/a.png                 -    = sign-in
        GeT      /u/a.png                 -    = sign-in
        GETS     /u/a.png                 -    = sign-in
        PROPFIND /u/a.png                 -    = sign-in
        TRACE    /u/a.png                 -    = 400 method_trace

        -- a granting rule wants the canonical spelling
        GET      //u/a.png                -    = sign-in
        GET      /u//a.png                -    = sign-in
        GET      /u/;x/a.png              -    = sign-in
        GET      /u/a.png;v=1             -    = sign-in
        GET      /u;/a.png                -    = sign-in
        GET      /%75/a.png               -    = sign-in
        GET      /u/%61.png               -    = sign-in
        GET      /u/a%25b                 -    = sign-in
        GET      /u/a%252fb               -    = sign-in
        GET      /u/a%3fb                 -    = sign-in
        GET      /u/a%3bb                 -    = sign-in
        GET      /u/a%ff                  -    = sign-in
        GET      /u/a%0ab                 -    = sign-in
        GET      /u//a.png                ben  = session
        GET      /u/%61.png               cid  = 403 not_admitted

        -- and nothing that could walk away
        GET      /u/../admin              -    = 400 path_dot_segment
        GET      /u/../admin              ann  = 400 path_dot_segment
        GET      /u/./x                   -    = 400 path_dot_segment
        GET      /u/%2e%2e/admin          -    = 400 path_dot_segment
        GET      /u/.%2E/admin            -    = 400 path_dot_segment
        GET      /u/%252e%252e/admin      -    = 400 path_dot_segment
        GET      /u/..;/admin             -    = 400 path_dot_segment
        GET      /u/..;x=y/admin          -    = 400 path_dot_segment
        GET      /u/..%3b/admin           -    = 400 path_dot_segment
        GET      /u/..%2fadmin            -    = 400 path_encoded_slash
        GET      /u%2fa.png               -    = 400 path_encoded_slash
        GET      /u/..%5cadmin            -    = 400 path_backslash
        GET      /u/a%00                  -    = 400 path_nul
        GET      /u/%c0%af                -    = 400 path_bad_escape
        GET      /u/%zz                   -    = 400 path_bad_escape

        -- the query never counts, but for the key that frameworks obey
        GET      /x?/u/                   -    = sign-in
        GET      /x?..;/u/                -    = sign-in
        GET      /x%3f/u/                 -    = sign-in
        GET      /u/a?_method=DELETE      -    = sign-in
        GET      /u/a?x=1&_method=PUT     -    = sign-in
        GET      /u/a?%5fmethod=PUT       -    = sign-in
        GET      /u/a?_Method=PUT         -    = sign-in
        GET      /u/a?_method             -    = sign-in
        GET      /u/a?_method[]=PUT       -    = sign-in
        GET      /u/a?.method=PUT         -    = sign-in
        GET      /u/a?x=1;_method=PUT     -    = sign-in
        GET      /u/a?_methods=1          -    = public
        GET      /u/a?x=_method           -    = public
        GET      /u/a?method=PUT          -    = public
        GET      /?_method=DELETE         ben  = session

        -- public for every method that has a name
        GET      /assets/a.css            -    = public
        POST     /assets/a.css            -    = public
        OPTIONS  /assets/a.css            -    = public
        FOO      /assets/a.css            -    = sign-in
        post     /assets/a.css            -    = sign-in
        PROPFIND /assets/a.css            -    = sign-in
        PROPFIND /dav/a                   -    = public
        propfind /dav/a                   -    = sign-in
        GET      /dav/a                   -    = sign-in
        GET      /live                    -    = public+upgrade
        GET      /live                    ben  = public+upgrade
        GET      /live/                   -    = sign-in
        GET      /live/x                  -    = sign-in
        GET      /f/1/raw                 -    = public
        GET      /f//raw                  -    = sign-in
        GET      /f/1/2/raw               -    = sign-in
        GET      /f/1/raw/                -    = sign-in
        GET      /f/secret%3f/raw         -    = sign-in

        -- the access of a rule comes on top of the route's
        GET      /admin/                  -    = sign-in
        GET      /admin/x                 ann  = session
        GET      /admin/x                 ben  = 403 not_admitted
        GET      /admin/x                 cid  = 403 not_admitted
        GET      /admin/x                 dot  = 403 groups_unknown
        GET      /Admin/x                 ben  = 403 not_admitted
        GET      /ADMIN/x                 ann  = session
        GET      //admin/x                ben  = 403 not_admitted
        GET      /%61dmin/x               ben  = 403 not_admitted
        GET      /%2561dmin/x             ben  = 403 not_admitted
        GET      /;/admin/x               ben  = 403 not_admitted
        GET      /admin;x/y               ben  = 403 not_admitted
        GET      /admin%3bx/y             ben  = 403 not_admitted
        GET      /admin%255cx             ben  = 403 not_admitted
        GET      /admin%252fx             ben  = 403 not_admitted
        GET      /admin                   ben  = session
        GET      /adminx                  ben  = session

        -- deny is for everybody, in every spelling
        GET      /admin/private/x         -    = 403 route_denies
        GET      /admin/private/x         ann  = 403 route_denies
        GET      /Admin/Private/x         ann  = 403 route_denies
        GET      /admin//private/x        ann  = 403 route_denies
        GET      /admin/%70rivate/x       ann  = 403 route_denies
        GET      /admin/private;a/x       ann  = 403 route_denies
        GET      /admin/private%252fx     ann  = 403 route_denies
        GET      /admin/privatex          ann  = session
        GET      /metrics                 -    = 403 route_denies
        GET      /metrics/                ann  = 403 route_denies
        GET      /metrics;x               ann  = 403 route_denies
        GET      /METRICS                 ann  = 403 route_denies
        FOO      /metrics                 ann  = 403 route_denies

        -- deny for some methods, public for the rest
        GET      /read/a                  -    = public
        PUT      /read/a                  -    = public
        POST     /read/a                  -    = 403 route_denies
        POST     /read/a                  ann  = 403 route_denies
        post     /read/a                  -    = 403 route_denies
        DELETE   /Read/a                  -    = 403 route_denies
        GET      /Read/a                  -    = sign-in

        -- a lane that never redirects
        GET      /api/v1                  -    = 401
        GET      /API/v1                  -    = 401
        GET      /api/v1                  ben  = session
        GET      /api/v1                  cid  = 403 not_admitted
        GET      /api                     -    = sign-in
        ",
    );
    assert!(rows >= 120, "{rows} rows");
}

#[test]
fn sec_path_14_everything_but_stays_protected() {
    check(
        &open(),
        r"
        GET      /                        -    = public
        GET      /about                   -    = public
        GET      /About                   -    = public
        GET      /accounts                -    = public
        GET      /account/x               -    = sign-in
        GET      /account/x               cid  = session
        GET      /Account/x               -    = sign-in
        GET      /%61ccount/x             -    = sign-in
        GET      //account/x              -    = sign-in
        GET      /account;/x              -    = sign-in
        GET      /;a=b/account/x          -    = sign-in
        GET      /account%252fx           -    = sign-in
        GET      /x//y                    -    = sign-in
        GET      /internal                cid  = 403 route_denies
        GET      /internal/               cid  = 403 route_denies
        GET      /INTERNAL                -    = 403 route_denies
        GET      /%69nternal              -    = 403 route_denies
        GET      /internal%3b             -    = 403 route_denies
        GET      /internalx               -    = public
        ",
    );
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
    policy.lane(&target).decide(Some(identity))
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
        policy.lane(&target).decide(who("ann").as_ref()),
        Decision::Deny(DenyReason::NotAdmitted)
    );
    assert!(!policy.has_public_lane());
    assert!(staff().has_public_lane());
}

#[test]
fn sec_hdr_20_to_22_methods_are_judged_as_sent() {
    // The rows above; here the rule that decided is named too.
    let policy = staff();
    let lane = |method, path: &str| {
        let target = Target::for_tests(method, &format!("http://app.test{path}"));
        policy.lane(&target).rule().map(|(index, _)| index)
    };
    assert_eq!(lane("GET", "/u/a"), Some(3));
    assert_eq!(lane("HEAD", "/f/1/raw"), None, "GET does not imply HEAD");
    assert_eq!(lane("OPTIONS", "/u/a"), None, "no preflight lane");
    assert_eq!(lane("get", "/u/a"), None);
}
