//! Decisions as a table: method, path, who, and what comes out.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;

use super::{Decision, DenyReason, RoutePolicy};
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::config::checked;
use crate::model::access::{Access, AccessRule, Lane, LaneRule, Preflight, Unauthenticated};
use crate::model::header_pattern::HeaderPattern;
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
        ..LaneRule::plain(lane, PathPattern::parse(path).unwrap())
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
        deny: Vec::new(),
        rules,
        encoded_slash: false,
        preflight: Default::default(),
        identity: checked::IdentityRules::default(),
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
        "gus" => Some(identity("gus", known(&["staff", "guests"]))),
        _ => panic!("nobody is called {name}"),
    }
}

/// Words that stand for header fields after a method: `OPTIONS+preflight`.
fn fields(words: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::HOST, HeaderValue::from_static("app.test"));
    let token = format!("{:0<40}", "t0ken");
    for word in words.split_terminator('+') {
        let given: &[(&str, &str)] = match word {
            "token" => &[("authorization", &token)],
            "bearer" => &[("authorization", "Bearer x")],
            "short" => &[("authorization", "t0ken")],
            "empty" => &[("authorization", "")],
            "origin" => &[("origin", "https://spa.test")],
            "acrm" => &[("access-control-request-method", "PUT")],
            "body" => &[("content-length", "1")],
            "chunks" => &[("transfer-encoding", "chunked")],
            "nobody" => &[("content-length", "0")],
            "override" => &[("x-http-method-override", "GET")],
            "rewrite" => &[("x-original-url", "/u/a"), ("x-forwarded-prefix", "/u")],
            _ => panic!("no header is called {word}"),
        };
        for (name, value) in given {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
    }
    headers
}

fn outcome(policy: &RoutePolicy, method: &str, path: &str, name: &str) -> String {
    let (method, words) = method.split_once('+').unwrap_or((method, ""));
    let headers = fields(words);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let target = match Target::parse(&method, &path.parse().unwrap(), &headers) {
        Ok(target) => target,
        Err(error) => return format!("400 {}", error.reason()),
    };
    if let Err(error) = policy.takes(&target) {
        return format!("400 {}", error.reason());
    }
    let (name, client) = name.split_once('@').unwrap_or((name, "192.0.2.1"));
    let client = client.parse().unwrap();
    let identity = who(name);
    let matched = policy.lane(&target, &headers);
    if let (Some(rules), Some(person)) = (matched.keepable(), &identity) {
        // What was kept decides as the rules do, and nothing else's does.
        let elsewhere = "203.0.113.7".parse().unwrap();
        let standing = matched.standing(person, elsewhere, rules);
        assert_eq!(
            matched.decide_as(standing),
            matched.decide(Some(person), client)
        );
        let foreign = open().lane(&target, &headers).keepable();
        assert!(foreign.is_none_or(|foreign| !standing.is_of(foreign)));
    }
    match matched.decide(identity.as_ref(), client) {
        Decision::Permit(permit) => {
            assert_eq!(permit.lane(), matched.lane());
            let mut text = permit.lane().as_str().to_owned();
            let session = permit.lane() == Lane::Session;
            assert!(!session || (permit.carries_identity() && permit.upgrade_allowed()));
            for (said, word) in [
                (permit.carries_identity(), "+identity"),
                (permit.upgrade_allowed(), "+upgrade"),
                (permit.drops_cookies(), "-cookies"),
            ] {
                if said && !session {
                    text.push_str(word);
                }
            }
            text
        }
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
        GET      /u/..%2fadmin            -    = 400 path_dot_segment
        GET      /u/a%2fb                 ann  = 400 path_encoded_slash
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

/// Every lane on one route, in the shape of a file host with an interface for
/// its own tokens.
fn mixed() -> RoutePolicy {
    let token = HeaderPattern::parse(http::header::AUTHORIZATION, "^[A-Za-z0-9._=-]{40,}$");
    let token = Some(token.unwrap());
    let deny_guests = AccessRule {
        groups: vec!["guests".to_owned()],
        ..AccessRule::default()
    };
    RoutePolicy::compile(&checked::Route {
        deny: vec![deny_guests],
        encoded_slash: true,
        preflight: Preflight::Pass,
        ..route(
            Some(groups(&["staff"])),
            vec![
                rule(Lane::Deny, "", "/setup/*"),
                LaneRule {
                    header: token.clone(),
                    ..rule(Lane::BackendToken, "POST", "/api/upload")
                },
                LaneRule {
                    header: token,
                    upgrade: true,
                    ..rule(Lane::BackendToken, "GET,POST", "/git/*")
                },
                LaneRule {
                    unauthenticated: Unauthenticated::Status401,
                    deny: vec![AccessRule {
                        client_networks: vec!["198.51.100.0/24".parse().unwrap()],
                        ..AccessRule::default()
                    }],
                    ..rule(Lane::Session, "", "/api/*")
                },
                rule(Lane::Optional, "GET,HEAD", "/explore/*"),
                LaneRule {
                    upgrade: true,
                    ..rule(Lane::Optional, "", "/live")
                },
                rule(Lane::Public, "GET", "/u/*"),
                LaneRule {
                    access: Some(groups(&["admins"])),
                    ..rule(Lane::Session, "", "/x/*/log")
                },
                rule(Lane::Deny, "", "/x/a/b/*"),
            ],
        )
    })
}

#[test]
fn every_lane_side_by_side() {
    let rows = check(
        &mixed(),
        r"
        -- optional: everybody; told who it is where access admits
        GET           /explore/a           -    = optional
        GET           /explore/a           ann  = optional+identity+upgrade
        GET           /explore/a           ben  = optional+identity+upgrade
        GET           /explore/a           cid  = optional
        GET           /explore/a           dot  = optional
        GET           /explore/a           gus  = optional
        HEAD          /explore/a           -    = optional
        POST          /explore/a           -    = sign-in
        POST          /explore/a           ben  = session
        POST          /explore/a           gus  = 403 denied_by_rule
        get           /explore/a           -    = sign-in
        GET           /explore//a          -    = sign-in
        GET           /explore//a          ben  = session
        GET           /Explore/a           -    = sign-in
        GET           /explore/%61         -    = sign-in
        GET           /explore/a;x         -    = sign-in
        GET           /explore/a%2fb       -    = sign-in
        GET           /explore/a%2fb       ben  = session
        GET           /explore/a%252fb     -    = sign-in
        GET           /explore/../setup/x  -    = 400 path_dot_segment
        GET           /explore/..%2fsetup  -    = 400 path_dot_segment
        GET           /explore             -    = sign-in
        GET           /explore/a?_method=PUT -  = sign-in
        GET           /live                -    = optional+upgrade
        GET           /live                ben  = optional+identity+upgrade
        FOO           /live                -    = sign-in

        -- backend-token: method, path and the shape of one header
        POST+token    /api/upload          -    = backend-token-cookies
        POST+token    /api/upload          ann  = backend-token-cookies
        POST+token    /api/upload          cid  = backend-token-cookies
        POST+token    /api/upload          gus  = backend-token-cookies
        POST          /api/upload          -    = 401
        POST          /api/upload          ben  = session
        POST+empty    /api/upload          -    = 401
        POST+short    /api/upload          -    = 401
        POST+bearer   /api/upload          -    = 401
        POST+token+token /api/upload       -    = 401
        POST+token+empty /api/upload       -    = 401
        GET+token     /api/upload          -    = 401
        PUT+token     /api/upload          -    = 401
        post+token    /api/upload          -    = 401
        HEAD+token    /api/upload          -    = 401
        POST+token    /api/upload/         -    = 401
        POST+token    /api/upload/x        -    = 401
        POST+token    /API/upload          -    = 401
        POST+token    //api/upload         -    = 401
        POST+token    /api/uploa%64        -    = 401
        POST+token    /api/upload;x        -    = 401
        POST+token    /api%2fupload        -    = 401
        POST+token    /api/upload?x=1      -    = backend-token-cookies
        POST+token    /api/upload?_method=DELETE - = 401
        POST+token+override /api/upload    -    = backend-token-cookies
        GET+token     /git/a.git/info/refs -    = backend-token+upgrade-cookies
        GET+token     /git/..%2fsetup      -    = 400 path_dot_segment
        GET+token     /setup/a             -    = 403 route_denies
        POST+token    /setup/a             ann  = 403 route_denies
        GET+token     /                    -    = sign-in
        GET+token     /other               ben  = session

        -- deny beats access, in rules and on the route, and unknown is enough
        GET           /                    gus  = 403 denied_by_rule
        GET           /                    dot  = 403 groups_unknown
        GET           /                    cid  = 403 not_admitted
        GET           /api/v1              ben  = session
        GET           /api/v1              ben@198.51.100.7 = 403 denied_by_rule
        GET           /api/v1              ben@::ffff:198.51.100.7 = 403 denied_by_rule
        GET           /api/v1              ben@198.51.101.7 = session
        GET           /api/v1              ben@2001:db8::1 = session
        GET           /API/v1              ben@198.51.100.7 = 403 denied_by_rule
        GET           /api/v1              -@198.51.100.7 = 401
        GET           /other               ben@198.51.100.7 = session
        GET           /u/a                 gus  = public

        -- an encoded slash is a slash for deny and session, and opens nothing
        GET           /u/a%2fb             -    = sign-in
        GET           /u/a%2fb             ben  = session
        GET           /u%2fa               -    = sign-in
        GET           /u%2f..%2fsetup      -    = 400 path_dot_segment
        GET           /setup%2fa           ann  = 403 route_denies
        GET           /setup/a%2fb         ann  = 403 route_denies
        GET           /Setup%2Fa           -    = 403 route_denies
        GET           /%2fsetup%2fa        -    = 403 route_denies
        GET           /%2fsetup/a          -    = 403 route_denies
        GET           /repo/a%2fb          -    = sign-in
        GET           /repo/a%2fb          ben  = session
        GET           /repo/a%5cb          ben  = 400 path_backslash
        GET           /repo/%2e%2e%2fx     ben  = 400 path_dot_segment

        -- both readings of a path must let pass
        GET           /x/a/log             ann  = session
        GET           /x/a/log             ben  = 403 not_admitted
        GET           /x/a%2fb/log         ann  = 403 route_denies
        GET           /x/a%252fb/log       ann  = 403 route_denies
        GET           /x/a%2fb/log         -    = 403 route_denies
        GET           /x/c%2fb/log         ann  = session
        GET           /x/c%2fb/log         ben  = 403 not_admitted
        GET           /x/a/b/log           ann  = 403 route_denies

        -- preflights: only real ones, and deny stays deny
        OPTIONS+origin+acrm /api/v1        -    = public-cookies
        OPTIONS+origin+acrm /api/v1        gus  = public-cookies
        OPTIONS+origin+acrm /              -    = public-cookies
        OPTIONS+origin+acrm+nobody /api/v1 -    = public-cookies
        OPTIONS       /api/v1              -    = 401
        OPTIONS+origin /api/v1             -    = 401
        OPTIONS+acrm  /api/v1              -    = 401
        OPTIONS+origin+origin+acrm /api/v1 -    = 401
        OPTIONS+origin+acrm+acrm /api/v1   -    = 401
        OPTIONS+origin+acrm+body /api/v1   -    = 401
        OPTIONS+origin+acrm+chunks /api/v1 -    = 401
        options+origin+acrm /api/v1        -    = 401
        GET+origin+acrm /api/v1            -    = 401
        POST+origin+acrm /                 -    = sign-in
        OPTIONS+origin+acrm /setup/x       -    = 403 route_denies
        OPTIONS+origin+acrm /Setup/x       -    = 403 route_denies
        OPTIONS+origin+acrm /api//v1       -    = 401
        OPTIONS+origin+acrm /x/a%2fb/log   -    = 403 route_denies
        OPTIONS+origin+acrm /?_method=PUT  -    = sign-in
        OPTIONS+origin+acrm /live          ben  = public-cookies

        -- what claims to be another path or method is not read
        GET+rewrite   /other               -    = sign-in
        GET+rewrite   /setup/x             -    = 403 route_denies
        POST+override /u/a                 -    = sign-in
        DELETE+override /u/a               -    = sign-in
        ",
    );
    assert!(rows >= 110, "{rows} rows");
}

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

#[test]
fn sec_hdr_20_to_22_methods_are_judged_as_sent() {
    // The rows above; here the rule that decided is named too.
    let policy = staff();
    let lane = |method, path: &str| {
        let target = Target::for_tests(method, &format!("http://app.test{path}"));
        let lane = policy.lane(&target, &HeaderMap::new());
        lane.rule().map(|(index, _)| index)
    };
    assert_eq!(lane("GET", "/u/a"), Some(3));
    assert_eq!(lane("HEAD", "/f/1/raw"), None, "GET does not imply HEAD");
    assert_eq!(lane("OPTIONS", "/u/a"), None, "no preflight lane");
    assert_eq!(lane("get", "/u/a"), None);
}
