use super::*;
use crate::config::checked::{CustomHeader, HeaderSource};

fn list() -> ScrubList {
    let mut route = crate::identity_headers::inject::tests::route();
    route.headers.push(CustomHeader {
        name: HeaderName::from_static("app-user"),
        value: HeaderSource::Subject,
    });
    route.headers.push(CustomHeader {
        name: http::header::AUTHORIZATION,
        value: HeaderSource::Subject,
    });
    ScrubList::compile(&[route])
}

#[test]
fn sec_hdr_02_every_spelling_is_removed() {
    let list = list();
    let long = format!("x_forwarded_{}", "a".repeat(100));
    for name in [
        long.as_str(),
        "x-forwarded-",
        "X-FORWARDED-user",
        "x_forwarded_user",
        "x.forwarded.user",
        "x-forwarded_User",
        "x~forwarded~user",
        "Remote_User",
        "app-user",
        "APP_USER",
        "app.user",
        "x_real_ip",
        "x_forwarded_for",
        "X_Original_URL",
        "x-http-method-override",
        "x_method_override",
        "Impersonate-User",
        "x-forwarded-uri",
        "x-forwarded-prefix",
    ] {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name.clone(), "ann".parse().unwrap());
        headers.append(name.clone(), "ben".parse().unwrap());
        headers.append("accept", "*/*".parse().unwrap());
        list.scrub(&mut headers);
        assert_eq!(headers.len(), 1, "{name}");
    }
}

#[test]
fn sec_hdr_04_families_are_removed_not_only_known_names() {
    let list = list();
    for name in [
        "x-auth-request-roles",
        "x-forwarded-claims-x",
        "remote-admin",
        "x-remote-anything",
        "x-webauth-role",
        "x-vestibule-assertion",
        "impersonate-extra-scopes",
    ] {
        assert!(list.removes(&HeaderName::from_static(name)), "{name}");
    }
}

#[test]
fn names_of_presets_that_no_route_uses_are_removed() {
    let list = list();
    for preset in IdentityPreset::all() {
        for (name, _) in &preset.headers {
            assert!(list.removes(name), "{}: {name}", preset.name);
        }
    }
    assert!(list.removes(&HeaderName::from_static("x_proxy_roles")));
}

#[test]
fn other_headers_stay() {
    let list = list();
    for name in [
        "accept",
        "authorization",
        "cookie",
        "referer",
        "range",
        "if-none-match",
        "x-requested-with",
        "x-request-id",
        "x-csrf-token",
        "remote",
        "app-users",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-real-ip",
        "forwarded",
    ] {
        assert!(!list.removes(&HeaderName::from_static(name)), "{name}");
    }
}

#[test]
fn trailers_lose_forwarding_names_too() {
    let mut trailers = HeaderMap::new();
    for name in ["x-forwarded-for", "x_forwarded_user", "server-timing"] {
        trailers.insert(HeaderName::from_static(name), "1".parse().unwrap());
    }
    list().scrub_trailers(&mut trailers);
    assert_eq!(trailers.len(), 1);
}
