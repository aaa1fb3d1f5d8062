//! From a connection and a request head to a [`RequestContext`]: the one
//! place that reads forwarding headers and Fetch Metadata.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http::{HeaderMap, Method};
use ipnet::IpNet;
use memchr::memmem::Finder;

use crate::base::clock::{Clock, Timestamp};
use crate::base::header_names as names;
use crate::base::random;
use crate::listener::Connection;
use crate::model::context::{Audience, RequestContext, RequestRef};
use crate::model::origin::{Origin, Scheme};
use crate::model::target::{Target, TargetError};

/// Makes contexts; one for the process.
pub struct ContextMaker {
    clock: Clock,
    trusted: Vec<IpNet>,
    /// What clients speak unless a trusted proxy says otherwise.
    scheme: Scheme,
    /// Random start, then a counter: no random call per request.
    next_reference: AtomicU64,
}

impl ContextMaker {
    pub fn new(clock: Clock, trusted: Vec<IpNet>, public_url: &Origin) -> Self {
        let start = u64::from_be_bytes(random::bytes()) >> 12;
        Self {
            clock,
            trusted,
            scheme: public_url.scheme,
            next_reference: AtomicU64::new(start),
        }
    }

    pub fn reference(&self) -> RequestRef {
        RequestRef(self.next_reference.fetch_add(1, Ordering::Relaxed))
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn make(
        &self,
        connection: &Connection,
        parts: &Parts,
        reference: RequestRef,
    ) -> Result<RequestContext, TargetError> {
        let target = Target::parse(&parts.method, &parts.uri, &parts.headers)?;
        let peer_addr = connection.address();
        let peer_trusted = self.trusts(peer_addr);
        let (client_addr, scheme) = if peer_trusted {
            (
                self.client_addr(peer_addr, &parts.headers),
                forwarded_scheme(&parts.headers).unwrap_or(self.scheme),
            )
        } else {
            (peer_addr, self.scheme)
        };
        Ok(RequestContext {
            audience: audience(&parts.method, &parts.headers),
            target,
            client_addr,
            peer_addr,
            peer_trusted,
            scheme,
            reference,
            received_at: self.clock.now(),
        })
    }

    pub(super) fn trusts(&self, addr: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&addr))
    }

    /// The rightmost hop that is not trusted itself. A hop that cannot be
    /// read ends the walk: what stands left of it proves nothing.
    fn client_addr(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let hops = headers.get_all(names::X_FORWARDED_FOR).iter();
        let hops: Vec<&[u8]> = hops
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .collect();
        for hop in hops.iter().rev() {
            let Some(addr) = std::str::from_utf8(hop.trim_ascii())
                .ok()
                .and_then(parse_hop)
            else {
                break;
            };
            client = addr;
            if !self.trusts(addr) {
                break;
            }
        }
        client
    }
}

fn parse_hop(text: &str) -> Option<IpAddr> {
    let addr = text
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<std::net::SocketAddr>().map(|addr| addr.ip()))
        .or_else(|_| text.trim_matches(['[', ']']).parse())
        .ok()?;
    Some(addr.to_canonical())
}

/// The scheme that the nearest trusted proxy saw; only one clear word counts.
fn forwarded_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let mut values = headers.get_all(names::X_FORWARDED_PROTO).iter();
    let (value, more) = (values.next()?, values.next());
    match (value.as_bytes(), more) {
        (b"https", None) => Some(Scheme::Https),
        (b"http", None) => Some(Scheme::Http),
        _ => None,
    }
}

/// Redirect or 401: the one rule. A redirect only for what is plainly a
/// person's navigation.
pub fn audience(method: &Method, headers: &HeaderMap) -> Audience {
    let mut accepts_html = false;
    // One pass costs less than asking for six names.
    for (name, value) in headers {
        let value = value.as_bytes();
        let says_otherwise = match name.as_str() {
            "accept" => {
                accepts_html |= offers_html(value);
                false
            }
            names::text::SEC_FETCH_MODE => value != b"navigate",
            names::text::SEC_FETCH_DEST => value != b"document",
            names::text::X_REQUESTED_WITH | "upgrade" | names::text::SEC_PURPOSE => true,
            _ => false,
        };
        if says_otherwise {
            return Audience::Api;
        }
    }
    if !accepts_html {
        Audience::Api
    } else if *method == Method::GET || *method == Method::HEAD {
        Audience::Navigation
    } else {
        Audience::Form
    }
}

fn offers_html(accept: &[u8]) -> bool {
    static HTML: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("text/html"));
    // Browsers begin with it.
    accept.starts_with(b"text/html") || HTML.find(accept).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{PeerAddr, Tunnels};

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Request::builder().uri("/x").header("host", "a.test");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn maker() -> ContextMaker {
        ContextMaker::new(
            Clock::system(),
            vec!["10.0.0.0/8".parse().unwrap()],
            &Origin {
                scheme: Scheme::Https,
                host: "a.test".into(),
                port: None,
            },
        )
    }

    fn peer(addr: &str) -> Connection {
        let addr = format!("{addr}:1000").parse().unwrap();
        Connection::new(PeerAddr::Tcp(addr), Tunnels::default())
    }

    #[test]
    fn sec_hdr_16_17_forwarding_headers_count_from_trusted_peers_only() {
        let cases = [
            ("192.0.2.1", "1.1.1.1", "http", "192.0.2.1", Scheme::Https),
            ("10.0.0.1", "1.1.1.1", "http", "1.1.1.1", Scheme::Http),
            (
                "10.0.0.1",
                "9.9.9.9, 1.1.1.1, 10.0.0.7",
                "https",
                "1.1.1.1",
                Scheme::Https,
            ),
            (
                "10.0.0.1",
                "9.9.9.9, junk, 10.0.0.7",
                "https,http",
                "10.0.0.7",
                Scheme::Https,
            ),
            (
                "10.0.0.1",
                "[2001:db8::1]:47",
                "https",
                "2001:db8::1",
                Scheme::Https,
            ),
            ("10.0.0.1", "", "gopher", "10.0.0.1", Scheme::Https),
        ];
        let maker = maker();
        for (from, chain, proto, client, scheme) in cases {
            let parts = parts(&[("x-forwarded-for", chain), ("x-forwarded-proto", proto)]);
            let context = maker.make(&peer(from), &parts, maker.reference()).unwrap();
            assert_eq!(context.client_addr.to_string(), client, "{from} {chain}");
            assert_eq!(context.scheme, scheme, "{from} {proto}");
        }
    }

    #[test]
    fn sec_red_19_only_navigations_are_redirected() {
        let html = ("accept", "text/html,*/*");
        let cases: &[(&[(&str, &str)], Audience)] = &[
            (&[html], Audience::Navigation),
            (
                &[html, ("sec-fetch-mode", "navigate")],
                Audience::Navigation,
            ),
            (&[html, ("sec-fetch-mode", "cors")], Audience::Api),
            (&[html, ("sec-fetch-dest", "image")], Audience::Api),
            (&[html, ("sec-fetch-dest", "iframe")], Audience::Api),
            (
                &[html, ("x-requested-with", "XMLHttpRequest")],
                Audience::Api,
            ),
            (&[html, ("upgrade", "websocket")], Audience::Api),
            (&[html, ("sec-purpose", "prefetch")], Audience::Api),
            (&[("accept", "application/json")], Audience::Api),
            (&[("accept", "*/*")], Audience::Api),
            (&[], Audience::Api),
        ];
        for (headers, expected) in cases {
            let parts = parts(headers);
            assert_eq!(
                audience(&Method::GET, &parts.headers),
                *expected,
                "{headers:?}"
            );
        }
        let parts = parts(&[html]);
        assert_eq!(audience(&Method::POST, &parts.headers), Audience::Form);
    }
}
