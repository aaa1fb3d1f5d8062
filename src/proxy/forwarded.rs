//! What an upstream is told of the way a request came: `X-Forwarded-*`,
//! `X-Real-IP`, `Forwarded`.
//!
//! A trusted peer's list of addresses is continued, anybody else's is
//! replaced. `Forwarded` (RFC 7239) is continued for trusted peers and not
//! begun by us: upstreams that read it read `X-Forwarded-For` too.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use super::request_head::Fields;
use super::survey::{Field, Survey};
use crate::base::header_names as names;
use crate::listener::Connection;
use crate::model::context::RequestContext;
use crate::model::origin::Scheme;

static FOR: HeaderName = names::X_FORWARDED_FOR;
static REAL_IP: HeaderName = names::X_REAL_IP;
static PROTO: HeaderName = names::X_FORWARDED_PROTO;
static HOST: HeaderName = names::X_FORWARDED_HOST;
static PORT: HeaderName = names::X_FORWARDED_PORT;

static HTTP: HeaderValue = HeaderValue::from_static(Scheme::Http.as_str());
static HTTPS: HeaderValue = HeaderValue::from_static(Scheme::Https.as_str());
static PORT_80: HeaderValue = HeaderValue::from_static("80");
static PORT_443: HeaderValue = HeaderValue::from_static("443");

/// `host` is the authority that the request was judged by; `received`, what
/// the client said, none of which has been passed on.
pub(super) fn write(
    fields: &mut impl Fields,
    received: &HeaderMap,
    context: &RequestContext,
    connection: &Connection,
    host: &HeaderValue,
    there: Survey,
) {
    let own;
    let peer = if context.peer_addr == connection.address() {
        connection.address_text()
    } else {
        own = address(context.peer_addr);
        &own
    };
    if context.peer_trusted {
        fields.put(&FOR, &continued(received, &FOR, peer));
        if there.has(Field::FORWARDED) {
            let own = element(context.peer_addr, context.scheme);
            fields.put(&FORWARDED, &continued(received, &FORWARDED, &own));
        }
    } else {
        fields.put(&FOR, peer);
    }
    if context.client_addr == context.peer_addr {
        fields.put(&REAL_IP, peer);
    } else {
        fields.put(&REAL_IP, &address(context.client_addr));
    }
    let scheme = match context.scheme {
        Scheme::Https => &HTTPS,
        Scheme::Http => &HTTP,
    };
    fields.put(&PROTO, scheme);
    fields.put(&HOST, host);
    match (context.target.authority.port, context.scheme) {
        (None | Some(443), Scheme::Https) => fields.put(&PORT, &PORT_443),
        (None | Some(80), Scheme::Http) => fields.put(&PORT, &PORT_80),
        (Some(port), _) => fields.put(&PORT, &HeaderValue::from(port)),
    }
}

fn address(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).expect("an address is ASCII")
}

/// One element of `Forwarded`; IPv6 addresses are bracketed and quoted.
fn element(peer: IpAddr, scheme: Scheme) -> HeaderValue {
    let scheme = scheme.as_str();
    let text = match peer {
        IpAddr::V4(peer) => format!("for={peer};proto={scheme}"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";proto={scheme}"),
    };
    HeaderValue::from_str(&text).expect("an address is ASCII")
}

fn continued(received: &HeaderMap, name: &HeaderName, last: &HeaderValue) -> HeaderValue {
    let mut list: Vec<u8> = Vec::new();
    for value in received.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    HeaderValue::from_bytes(&list).expect("joined from header values")
}
