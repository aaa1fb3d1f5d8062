//! What an upstream is told of the way a request came: `X-Forwarded-*`,
//! `X-Real-IP`, `Forwarded`.
//!
//! A trusted peer's list of addresses is continued, anybody else's is
//! replaced. `Forwarded` (RFC 7239) is continued for trusted peers and not
//! begun by us: upstreams that read it read `X-Forwarded-For` too.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use super::survey::{Field, Survey};
use crate::base::header_names as names;
use crate::listener::Connection;
use crate::model::context::RequestContext;
use crate::model::origin::Scheme;

/// `host` is the authority that the request was judged by.
pub(super) fn write(
    headers: &mut HeaderMap,
    context: &RequestContext,
    connection: &Connection,
    host: &HeaderValue,
    there: Survey,
) {
    let peer = if context.peer_addr == connection.address() {
        connection.address_text().clone()
    } else {
        address(context.peer_addr)
    };
    let client = if context.client_addr == context.peer_addr {
        peer.clone()
    } else {
        address(context.client_addr)
    };
    if context.peer_trusted {
        continue_list(headers, &names::X_FORWARDED_FOR, &peer);
        if there.has(Field::FORWARDED) {
            let own = element(context.peer_addr, context.scheme);
            continue_list(headers, &FORWARDED, &own);
        }
    } else {
        headers.insert(names::X_FORWARDED_FOR, peer);
        if there.has(Field::FORWARDED) {
            headers.remove(FORWARDED);
        }
    }
    headers.insert(names::X_REAL_IP, client);
    headers.insert(
        names::X_FORWARDED_PROTO,
        HeaderValue::from_static(context.scheme.as_str()),
    );
    headers.insert(names::X_FORWARDED_HOST, host.clone());
    headers.insert(names::X_FORWARDED_PORT, port(context));
}

fn port(context: &RequestContext) -> HeaderValue {
    match (context.target.authority.port, context.scheme) {
        (None | Some(443), Scheme::Https) => HeaderValue::from_static("443"),
        (None | Some(80), Scheme::Http) => HeaderValue::from_static("80"),
        (Some(port), _) => HeaderValue::from(port),
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

fn continue_list(headers: &mut HeaderMap, name: &HeaderName, last: &HeaderValue) {
    let mut list: Vec<u8> = Vec::new();
    for value in headers.get_all(name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(last.as_bytes());
    let list = HeaderValue::from_bytes(&list).expect("joined from header values");
    headers.insert(name.clone(), list);
}
