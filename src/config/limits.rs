//! `[limits]`: how much one client, one provider or the whole world may take.

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::Limits;
use super::problems::Findings;
use super::quantity::{RawDuration, RawSize, duration, size};

/// The HTTP parser takes no smaller buffer.
const LEAST_HEAD: usize = 8 * 1024;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Request line and header fields together; more is answered 431.
    request_head: Option<RawSize>,
    /// Header fields of one request.
    header_count: Option<u32>,
    /// From the first byte of a request head to its last.
    head_timeout: Option<RawDuration>,
    /// How long an idle connection of a client is kept.
    keep_alive: Option<RawDuration>,
    /// From the first byte of a TLS handshake to its last.
    tls_handshake_timeout: Option<RawDuration>,
    /// TLS handshakes at once; more wait for a place.
    tls_handshakes: Option<u32>,
    /// Requests at once on one HTTP/2 connection.
    streams: Option<u32>,
    /// Without a byte of a body for this long the exchange ends.
    body_idle: Option<RawDuration>,
    /// Without a byte in either direction for this long an upgraded connection ends.
    websocket_idle: Option<RawDuration>,
    /// To connect to an upstream.
    connect_timeout: Option<RawDuration>,
    /// Connections of all clients.
    connections: Option<u32>,
    /// Connections of one client address; trusted proxies are exempt.
    connections_per_address: Option<u32>,
    /// Requests under way at once.
    in_flight: Option<u32>,
    /// Connections to one upstream.
    upstream_connections: Option<u32>,
    /// How long an idle connection to an upstream is kept; less than the upstream's own.
    upstream_idle: Option<RawDuration>,
    /// Connects in a row that fail until an upstream counts as down; 0: it never does.
    upstream_failures: Option<u32>,
    /// How long requests to an upstream that is down fail at once, until one may try again.
    upstream_pause: Option<RawDuration>,
    /// To connect to a provider.
    provider_connect: Option<RawDuration>,
    /// For one whole answer of a provider.
    provider_total: Option<RawDuration>,
    /// Body of an answer of a provider.
    provider_body: Option<RawSize>,
    /// Calls to one provider at once.
    provider_parallel: Option<u32>,
    /// Failed calls in a row until a provider counts as unreachable; 0: it never does.
    provider_failures: Option<u32>,
    /// How often a provider that counts as unreachable is asked whether it is back.
    provider_pause: Option<RawDuration>,
    /// For one operation of the session store.
    store_timeout: Option<RawDuration>,
    /// Sign-ins that one address may begin in a minute.
    login_starts_per_minute: Option<u32>,
    /// Requests that one address may send in a minute where nobody has to sign in.
    open_requests_per_minute: Option<u32>,
    /// How long running requests may go on at a stop.
    drain: Option<RawDuration>,
}

pub(super) fn check(raw: &RawLimits, findings: &mut Findings) -> Limits {
    let standard = Limits::default();
    macro_rules! checked {
        ($($name:ident: $with:ident,)*) => {
            Limits {
                $($name: $with(
                    raw.$name.as_ref(),
                    concat!("limits.", stringify!($name)),
                    standard.$name,
                    findings,
                ),)*
            }
        };
    }
    let checked = checked! {
        request_head: size,
        header_count: count,
        head_timeout: duration,
        keep_alive: duration,
        tls_handshake_timeout: duration,
        tls_handshakes: count,
        streams: count,
        body_idle: duration,
        websocket_idle: duration,
        connect_timeout: duration,
        connections: count,
        connections_per_address: count,
        in_flight: count,
        upstream_connections: count,
        upstream_idle: duration,
        upstream_failures: number,
        upstream_pause: duration,
        provider_connect: duration,
        provider_total: duration,
        provider_body: size,
        provider_parallel: count,
        provider_failures: number,
        provider_pause: duration,
        store_timeout: duration,
        login_starts_per_minute: small_count,
        open_requests_per_minute: small_count,
        drain: duration,
    };
    if checked.request_head < LEAST_HEAD {
        findings.error(
            "limits.request_head",
            "is too small for the cookies of ordinary browsers",
            "write at least \"8KiB\"",
        );
    }
    checked
}

fn count(raw: Option<&u32>, key: &str, standard: usize, findings: &mut Findings) -> usize {
    match raw {
        Some(0) => findings.error(key, "is zero: nothing could pass", "write at least 1"),
        Some(number) => return *number as usize,
        None => {}
    }
    standard
}

fn number(raw: Option<&u32>, _: &str, standard: u32, _: &mut Findings) -> u32 {
    raw.copied().unwrap_or(standard)
}

fn small_count(raw: Option<&u32>, key: &str, standard: u32, findings: &mut Findings) -> u32 {
    match raw {
        Some(0) => findings.error(key, "is zero: nothing could pass", "write at least 1"),
        Some(number) => return *number,
        None => {}
    }
    standard
}
