//! Exceptions from one rule, and what stays protected beside them.

use http::HeaderMap;

use super::table::check;
use super::*;
use crate::model::access::Unauthenticated;
use crate::model::target::Target;

/// Staff only, with an open gallery, a part for admins, a part for nobody.
pub(super) fn staff() -> RoutePolicy {
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
pub(super) fn open() -> RoutePolicy {
    RoutePolicy::compile(&route(
        Some(Access::SignedIn),
        vec![
            rule(Lane::Deny, "", "/internal"),
            rule(Lane::Session, "", "/account/*"),
            rule(Lane::Public, "", "/*"),
        ],
    ))
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
