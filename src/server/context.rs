//! From a connection and a request head to a [`RequestContext`]: the one
//! place that reads forwarding headers and Fetch Metadata.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, Request};
use ipnet::IpNet;

use super::last_head::LastHead;
use super::look::{Field, Look};
use crate::base::clock::{Clock, Timestamp};
use crate::base::header_names as names;
use crate::base::random;
use crate::listener::Connection;
use crate::model::context::{RequestContext, RequestRef};
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

    pub fn make<B>(
        &self,
        connection: &Connection,
        request: &Request<B>,
        look: &Look<'_>,
        reference: RequestRef,
    ) -> Result<RequestContext, TargetError> {
        let target = target(connection, request, look)?;
        let peer_addr = connection.address();
        let peer_trusted = self.trusts(peer_addr);
        let (client_addr, scheme) = if peer_trusted {
            (
                self.client_addr(peer_addr, request.headers()),
                forwarded_scheme(request.headers()).unwrap_or(self.scheme),
            )
        } else {
            (peer_addr, self.scheme)
        };
        Ok(RequestContext {
            audience: look.audience(request.method()),
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

/// The authority is read anew only where this connection named another one
/// before.
fn target<B>(
    connection: &Connection,
    request: &Request<B>,
    look: &Look<'_>,
) -> Result<Target, TargetError> {
    let (method, uri) = (request.method(), request.uri());
    let host = match look.host {
        Field::Absent => None,
        Field::Once(host) => Some(host.as_bytes()),
        Field::Repeated => return Target::parse(method, uri, request.headers()),
    };
    Target::read(method, uri, host, |text| {
        connection.remember(|last: &mut LastHead| last.authority(text))
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{PeerAddr, Tunnels};

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = http::Request::builder().uri("/x").header("host", "a.test");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
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
            let request = request(&[("x-forwarded-for", chain), ("x-forwarded-proto", proto)]);
            let look = Look::at(request.headers());
            let peer = peer(from);
            let context = maker.make(&peer, &request, &look, maker.reference());
            let context = context.unwrap();
            assert_eq!(context.client_addr.to_string(), client, "{from} {chain}");
            assert_eq!(context.scheme, scheme, "{from} {proto}");
        }
    }
}
