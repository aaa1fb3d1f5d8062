//! The head of a request, written onto the wire and into a map: both say the
//! same, and nothing but what the client may say and what we say.

use std::collections::BTreeMap;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::config::checked::{CustomHeader, HeaderSource};
use crate::listener::Tunnels;
use crate::proxy::request_head::Rewrite;
use crate::proxy::survey::Survey;

/// By name, in order.
type Fields = BTreeMap<String, Vec<String>>;

#[derive(Debug, Clone)]
struct Case {
    sent: Vec<(String, String)>,
    trusted: bool,
    peer: &'static str,
    client: &'static str,
    drop_cookies: bool,
    own_host: bool,
    stripped: bool,
    /// Of `tellings`.
    identity: usize,
}

const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "te",
    "expect",
    "proxy-authorization",
    "keep-alive",
    "proxy-connection",
    "http2-settings",
];

/// Said by us, whatever the client says.
const OURS: [&str; 11] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-real-ip",
    "forwarded",
    "trailer",
    "cookie",
    "x-forwarded-user",
];

const NEVER_NOMINATED: [&str; 8] = [
    "authorization",
    "content-type",
    "content-encoding",
    "origin",
    "sec-fetch-site",
    "set-cookie",
    "cookie",
    "trailer",
];

fn names() -> impl Strategy<Value = String> {
    let known = select(vec![
        "Host",
        "Cookie",
        "COOKIE",
        "Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Content-Length",
        "Upgrade",
        "Expect",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "HTTP2-Settings",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-User",
        "X-Real-IP",
        "x_forwarded_for",
        "x.forwarded.user",
        "X_Real_IP",
        "x~forwarded-host",
        "Remote-User",
        "remote_groups",
        "REMOTE.USER",
        "Impersonate-User",
        "X-Original-URL",
        "X_HTTP_Method_Override",
        "X-Vestibule-Decision",
        "Authorization",
        "Accept",
        "Accept-Language",
        "X-App",
        "X_App",
        "Set-Cookie",
        "Clear-Site-Data",
        "Content-Type",
        "Origin",
        "Sec-Fetch-Site",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "[a-z_.~-]{1,20}"]
}

fn values() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        "a=b",
        "a=1; __Host-vestibule=ann",
        "__Host-vestibule=ann",
        "trailers",
        "gzip;q=1, Trailers",
        "close, X-App",
        "x-app,Cookie , x_app, Host",
        "keep-alive, TE, authorization, x-forwarded-for",
        "accept",
        "X-Sum, Content-Length, Remote-User, Host",
        "X-Sum",
        "for=6.6.6.6",
        "6.6.6.6, 7.7.7.7",
        "0",
        "evil",
    ]);
    prop_oneof![6 => known.prop_map(str::to_owned), 1 => "[ -~]{0,20}"]
}

fn requests() -> impl Strategy<Value = Case> {
    let few = vec((names(), values()), 0..14);
    // More than a survey keeps the places of.
    let many = vec((names(), values()), 1..20).prop_map(|last| {
        let filling = (0..125).map(|n| (format!("x-{n}"), "1".to_owned()));
        filling.chain(last).collect()
    });
    let sent = prop_oneof![6 => few, 1 => many];
    let peers = select(vec!["192.0.2.1", "2001:db8::1"]);
    let clients = select(vec!["192.0.2.1", "198.51.100.9"]);
    let flags = any::<(bool, bool, bool, bool)>();
    (sent, peers, clients, flags, 0..3_usize).prop_map(
        |(sent, peer, client, (trusted, drop_cookies, own_host, stripped), identity)| Case {
            sent,
            trusted,
            peer,
            client,
            drop_cookies,
            own_host,
            stripped,
            identity,
        },
    )
}

fn on_the_wire(bytes: &[u8]) -> Fields {
    let text = std::str::from_utf8(bytes).unwrap();
    let head = text.strip_suffix("\r\n\r\n").unwrap();
    assert!(!head.contains("\r\n\r\n"), "one head");
    let (start, lines) = head.split_once("\r\n").unwrap();
    assert_eq!(start, "GET /a?b=c HTTP/1.1");
    let mut fields = Fields::new();
    for line in lines.split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(
            !value.contains(['\r', '\n']) && !name.contains(' '),
            "{line:?}"
        );
        fields.entry(name.into()).or_default().push(value.into());
    }
    fields
}

fn in_the_map(map: &HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        let value = value.to_str().unwrap().to_owned();
        fields.entry(name.to_string()).or_default().push(value);
    }
    fields
}

fn members(sent: &HeaderMap, name: &str) -> Vec<String> {
    let values = sent.get_all(name).into_iter();
    let members = values.flat_map(|value| value.to_str().unwrap().split(','));
    members.map(|member| member.trim().to_lowercase()).collect()
}

impl Case {
    /// What goes through as the client sent it.
    fn passes(&self, sent: &HeaderMap, scrub: &ScrubList, told: &Fields) -> Fields {
        let nominated: Vec<String> = members(sent, "connection");
        let mut passes = in_the_map(sent);
        passes.retain(|name, _| {
            let name = name.as_str();
            let parsed: HeaderName = name.parse().unwrap();
            let nominated = nominated.iter().any(|nominated| nominated == name)
                && !["close", "keep-alive"].contains(&name)
                && !NEVER_NOMINATED.contains(&name);
            !OF_THE_CONNECTION.contains(&name)
                && !OURS.contains(&name)
                && !scrub.removes(&parsed)
                && !told.contains_key(name)
                && !nominated
        });
        passes
    }

    /// What we say of it.
    fn ours(&self, sent: &HeaderMap, scrub: &ScrubList) -> Fields {
        let mut ours = Fields::new();
        let mut say = |name: &str, value: String| {
            ours.entry(name.into()).or_default().push(value);
        };
        let all = |name: &str, last: String| {
            let values = sent.get_all(name).into_iter();
            let mut values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
            values.push(&last);
            values.join(", ")
        };
        let host = "app.example.com:8443";
        say(
            "host",
            if self.own_host {
                "own".into()
            } else {
                host.into()
            },
        );
        say("x-forwarded-host", host.into());
        say("x-forwarded-port", "8443".into());
        say("x-forwarded-proto", "https".into());
        say("x-real-ip", self.client.into());
        if self.trusted {
            say("x-forwarded-for", all("x-forwarded-for", self.peer.into()));
            if sent.contains_key("forwarded") {
                let peer = match self.peer {
                    v6 if v6.contains(':') => format!("for=\"[{v6}]\";proto=https"),
                    v4 => format!("for={v4};proto=https"),
                };
                say("forwarded", all("forwarded", peer));
            }
        } else {
            say("x-forwarded-for", self.peer.into());
        }
        if self.stripped {
            say("x-forwarded-prefix", "/app".into());
        }
        if members(sent, "te")
            .iter()
            .any(|member| member == "trailers")
        {
            say("te", "trailers".into());
            say("connection", "te".into());
        }
        if sent.contains_key("content-length") {
            say("content-length", "0".into());
        }
        for field in sent.get_all("cookie") {
            if self.drop_cookies {
                break;
            }
            match strip(field.as_bytes()) {
                CookieField::Unchanged => say("cookie", field.to_str().unwrap().into()),
                CookieField::Kept(kept) => say("cookie", kept.to_str().unwrap().into()),
                CookieField::Nothing => {}
            }
        }
        let announced = sent.get_all("trailer").into_iter();
        let announced: Vec<&str> = announced
            .flat_map(|value| value.to_str().unwrap().split(','))
            .map(str::trim)
            .filter(|name| {
                let lower = name.to_lowercase();
                name.parse::<HeaderName>()
                    .is_ok_and(|name| !scrub.removes(&name))
                    && !OF_THE_CONNECTION.contains(&lower.as_str())
                    && !OURS.contains(&lower.as_str())
                    && !NEVER_NOMINATED.contains(&lower.as_str())
                    && lower != "proxy-authenticate"
            })
            .collect();
        if !announced.is_empty() {
            say("trailer", announced.join(", "));
        }
        ours
    }
}

#[test]
fn sec_hdr_01_an_upstream_hears_what_passes_and_what_we_say_on_either_way() {
    let mut with_authorization = route("127.0.0.1:1".parse().unwrap());
    with_authorization.headers.push(CustomHeader {
        name: AUTHORIZATION,
        value: HeaderSource::Subject,
    });
    let routes = [route("127.0.0.1:1".parse().unwrap()), with_authorization];
    let scrub = ScrubList::compile(&routes);
    let told = |route| {
        let injection = Injection::compile(route, false);
        injection.render(&identity("ann"), None).unwrap()
    };
    let tellings = [None, Some(told(&routes[0])), Some(told(&routes[1]))];
    let own_host = HeaderValue::from_static("own");
    let prefix = HeaderValue::from_static("/app");
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&requests(), |case| {
        let mut request = Request::builder().method("GET").body(()).unwrap();
        for (name, value) in &case.sent {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            request.headers_mut().append(name, value);
        }
        let parts = request.into_parts().0;
        let peer = case.peer.parse().unwrap();
        let connection =
            Connection::new(PeerAddr::Tcp(SocketAddr::new(peer, 1)), Tunnels::default());
        let context = RequestContext {
            target: Target::for_tests("GET", "http://app.example.com:8443/a?b=c"),
            client_addr: case.client.parse().unwrap(),
            peer_addr: peer,
            peer_trusted: case.trusted,
            scheme: Scheme::Https,
            audience: Audience::Api,
            reference: RequestRef(1),
            received_at: Timestamp::default(),
        };
        let identity = tellings[case.identity].as_ref();
        let rewrite = Rewrite {
            context: &context,
            connection: &connection,
            scrub: &scrub,
            cookies: CookieFilter { strip, is_own },
            passed_on: None,
            drop_cookies: case.drop_cookies,
            own_host: case.own_host.then_some(&own_host),
            stripped: case.stripped.then_some(&prefix),
            identity,
        };
        let there = Survey::of(&parts.headers, &scrub);
        let bytes = rewrite.bytes(&parts, there, &context.target);
        let mut map = HeaderMap::new();
        rewrite.write(&parts.headers, there, &mut map);
        if parts.headers.contains_key("content-length") {
            // On the other way, with the body.
            map.insert("content-length", HeaderValue::from_static("0"));
        }
        let heard = on_the_wire(bytes.as_slice());
        prop_assert_eq!(&heard, &in_the_map(&map));

        let mut told = Fields::new();
        for (name, value) in identity.into_iter().flat_map(ReadyHeaders::iter) {
            told.insert(name.to_string(), vec![value.to_str().unwrap().into()]);
        }
        let mut expected = case.passes(&parts.headers, &scrub, &told);
        expected.extend(told);
        expected.extend(case.ours(&parts.headers, &scrub));
        prop_assert_eq!(heard, expected);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
