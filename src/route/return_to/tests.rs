use proptest::prelude::*;

use super::*;
use crate::route::fixture::{config, origin, route};

fn policy() -> ReturnToPolicy {
    let hosts = ["foo.allowed.test", "gw.test"];
    let mut config = config("https://gw.test", vec![route("foo", &hosts, "/*")]);
    config.server.return_to_hosts = vec![
        ReturnToHost::Exact(Authority::parse("port.allowed.test:8080").unwrap()),
        ReturnToHost::Below(".sub.allowed.test".to_owned()),
    ];
    ReturnToPolicy::compile(&config)
}

#[track_caller]
fn kept(texts: &[&str]) {
    for text in texts {
        assert_eq!(ReturnTo::check(text, &policy()).as_str(), *text);
    }
}

#[track_caller]
fn refused(texts: &[&str]) {
    for text in texts {
        assert_eq!(ReturnTo::check(text, &policy()).as_str(), "/", "{text:?}");
    }
}

/// The verdicts come from Node's URL class, see the script beside the
/// corpus.
#[test]
fn sec_red_01_what_leaves_in_a_browser_is_refused() {
    let corpus = include_str!("../../../tests/corpus/open_redirects.txt");
    let policy = policy();
    let (mut rows, mut leaving) = (0, 0);
    for line in corpus.lines() {
        let columns: Vec<_> = line.splitn(3, '\t').collect();
        let [raw, decoded, text] = columns[..] else {
            panic!("three columns: {line}");
        };
        let text: String = serde_json::from_str(text).unwrap();
        let query = format!("rd={}", text.replace('&', "%26"));
        let through_query = ReturnTo::from_query(Some(&query), "rd", &policy);
        for (verdict, result) in [
            (raw, ReturnTo::check(&text, &policy)),
            (decoded, through_query),
        ] {
            if verdict == "leave" {
                assert_eq!(result.as_str(), "/", "{text:?}");
                leaving += 1;
            }
        }
        rows += 1;
    }
    assert!(
        rows >= 250 && leaving >= 500,
        "{rows} rows, {leaving} leaving"
    );
}

#[test]
fn sec_red_05_schemes() {
    kept(&[
        "https://gw.test/x",
        "https://gw.test",
        "https://gw.test?a=b",
    ]);
    refused(&[
        "javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "ftp://gw.test/",
        " https://gw.test/",
        "https:gw.test",
        "https:/gw.test",
        "HtTpS://gw.test/",
        "//gw.test/",
    ]);
}

#[test]
fn sec_red_06_authority_tricks() {
    refused(&[
        "https://foo.allowed.test@evil.test",
        "https://evil.test@foo.allowed.test",
        "https://foo.allowed.test\\@evil.test",
        "https://evil.test\\.foo.allowed.test",
        "https://foo.allowed.test%2eevil.test",
        "https://foo.allowed.test:80@evil.test",
        "https://foo.allowed.test:",
    ]);
    // A browser stays here: the fragment begins before the "@".
    kept(&["https://foo.allowed.test#@evil.test"]);
}

#[test]
fn sec_red_07_and_08_hosts_and_ports_are_equal_or_not_ours() {
    kept(&[
        "https://FOO.allowed.test/",
        "https://foo.allowed.test:443/",
        "https://port.allowed.test:8080/x",
    ]);
    refused(&[
        "https://foo.allowed.test./",
        "https://foo.allowed.test:8443/",
        "https://ｆoo.allowed.test/",
        "https://foo。allowed.test/",
        "https://port.allowed.test/",
        "https://port.allowed.test:80/",
        "https://port.allowed.test:08080/",
        "https://port.allowed.test:8080@x/",
    ]);
}

#[test]
fn sec_red_09_a_leading_dot_is_below_and_not_the_name_itself() {
    kept(&[
        "https://a.sub.allowed.test/",
        "https://a.b.sub.allowed.test/",
    ]);
    refused(&[
        "https://sub.allowed.test/",
        "https://xsub.allowed.test/",
        "https://.sub.allowed.test/",
        "https://a.sub.allowed.test:8443/",
        "https://a.sub.allowed.test.evil.test/",
    ]);
}

#[test]
fn sec_red_10_no_downgrade_to_http() {
    refused(&[
        "http://foo.allowed.test/",
        "http://gw.test/",
        "http://a.sub.allowed.test/",
        "http://port.allowed.test:8080/",
    ]);
}

#[test]
fn sec_red_11_controls() {
    refused(&[
        "/ok\r\nSet-Cookie:x=1",
        "/ok%0d%0aSet-Cookie:x=1",
        "/ok%00",
        "/ok%1b",
        "/\u{2028}",
        "/ok\u{ff}",
        "/ok?x=\u{ff}",
        "/ok?x=\t",
        "/ok#\n",
    ]);
}

#[test]
fn sec_red_12_length() {
    let longest = format!("/{}", "a".repeat(LONGEST - 1));
    kept(&[&longest]);
    refused(&[&format!("{longest}a"), &"/a".repeat(32 * 1024)]);
}

#[test]
fn sec_red_13_loops() {
    refused(&[
        "/oauth2",
        "/oauth2/",
        "/oauth2/start?rd=/",
        "/oauth2/callback?code=1",
        "/oauth2/sign_out",
        "/OAuth2/sign_out",
        "/%6fauth2/sign_out",
        "/oauth2;x/sign_out",
        "/%256fauth2/x",
        "https://gw.test/oauth2/sign_out",
        "https://foo.allowed.test/oauth2/start",
    ]);
    kept(&["/oauth2x", "/x/oauth2/start", "/?next=/oauth2/start"]);
}

#[test]
fn sec_red_17_query_and_fragment_are_kept_byte_for_byte() {
    kept(&[
        "/a?b=c%26d#frag",
        "/search?u=https://x//y\\z",
        "/a?x=%0d%0a&y=%zz",
        "/a%20b;v=1?c#d?e",
        "/?a",
        "/#/route",
    ]);
}

#[test]
fn sec_red_22_a_repeated_key_means_nothing() {
    let policy = policy();
    let of = |query| ReturnTo::from_query(Some(query), "rd", &policy);
    assert_eq!(of("rd=%2Fok%3Fa%3Db%2526c&x=1").as_str(), "/ok?a=b%26c");
    for query in [
        "rd=/ok&rd=//evil.test",
        "rd=/ok&rd=/ok",
        "rd=/ok&r%64=/ok",
        "rd[]=/ok",
        "rd=/ok;rd=//evil.test",
        "rd",
        "",
        "rd=%ff",
        "rd=%252fok",
    ] {
        assert_eq!(of(query).as_str(), "/", "{query}");
    }
    assert_eq!(ReturnTo::from_query(None, "rd", &policy).as_str(), "/");
}

#[test]
fn on_loopback_without_tls_the_port_counts() {
    let config = config(
        "http://app.localhost:4180",
        vec![route(
            "other",
            &["b.localhost:4180", "*.w.localhost:4180"],
            "/*",
        )],
    );
    let policy = ReturnToPolicy::compile(&config);
    assert_eq!(policy.origins[0], origin("http://app.localhost:4180"));
    for (text, expected) in [
        ("http://app.localhost:4180/x", "http://app.localhost:4180/x"),
        ("http://b.localhost:4180/x", "http://b.localhost:4180/x"),
        ("http://a.w.localhost:4180/x", "http://a.w.localhost:4180/x"),
        ("http://a.w.localhost/x", "/"),
        ("http://a.w.localhost:4181/x", "/"),
        ("https://a.w.localhost:4180/x", "/"),
        ("http://w.localhost:4180/x", "/"),
        ("http://xw.localhost:4180/x", "/"),
        ("http://app.localhost/x", "/"),
        ("https://app.localhost:4180/x", "/"),
    ] {
        assert_eq!(ReturnTo::check(text, &policy).as_str(), expected);
    }
    assert!(ReturnTo::default().is_path());
}

proptest! {
    #[test]
    fn what_passes_begins_with_one_slash_or_a_listed_origin(
        text in "(https?:)?[/\\\\]{0,3}(gw|foo\\.allowed|evil)?[.@:;%a-f0-9]{0,6}(\\.test)?[/\\\\?#.]{0,4}\\PC{0,8}"
    ) {
        let result = ReturnTo::check(&text, &policy());
        let kept = result.as_str();
        let path = kept.starts_with('/') && !kept[1..].starts_with(['/', '\\']);
        let ours = ["https://gw.test", "https://foo.allowed.test"].iter().any(|origin| {
            kept.strip_prefix(origin).is_some_and(|rest| {
                let rest = rest.strip_prefix(":443").unwrap_or(rest);
                rest.is_empty() || rest.starts_with(['/', '?', '#'])
            })
        });
        prop_assert!(path || ours, "{}", kept);
    }
}
