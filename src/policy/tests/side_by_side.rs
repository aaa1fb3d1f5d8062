//! Every lane on one route.

use super::table::check;
use super::*;
use crate::model::access::{Preflight, Unauthenticated};
use crate::model::header_pattern::HeaderPattern;

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
