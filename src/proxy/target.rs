//! The upstream of a route, ready to be used.

use std::sync::Arc;

use http::HeaderValue;

use super::connect::Dialer;
use super::health::Health;
use super::line::sweeps;
use super::pool::Pool;
use super::upstream_tls::UnusableUpstream;
use crate::config::checked::{Limits, Route, Upstream, UpstreamTls};
use crate::telemetry::Telemetry;

/// Where requests of one route go. Routes with the same upstream share its
/// connections; two TLS names, client certificates or sets of trust anchors
/// never do.
pub struct UpstreamTarget {
    pub(super) pool: Arc<Pool>,
    /// What `Host` says; absent where the client's is kept.
    pub(super) host: Option<HeaderValue>,
    /// What was taken off the front of paths.
    pub(super) stripped: Option<HeaderValue>,
    /// In sweeps.
    pub(super) patience: u32,
    pub(super) max_body: Option<u64>,
}

/// What makes two upstreams the same one: never across TLS identities.
type Place<'a> = (&'a Upstream, &'a UpstreamTls);

/// In the order of `routes`.
pub(super) fn compile(
    routes: &[Route],
    limits: &Limits,
    telemetry: &Telemetry,
) -> Result<Vec<UpstreamTarget>, UnusableUpstream> {
    let mut pools: Vec<(Place<'_>, Arc<Pool>)> = Vec::new();
    let mut targets = Vec::with_capacity(routes.len());
    for route in routes {
        let place = (&route.upstream, &route.upstream_tls);
        let known = pools
            .iter()
            .find(|(known, _)| *known == place)
            .map(|(_, pool)| pool.clone());
        let pool = match known {
            Some(pool) => pool,
            None => {
                let dialer = Dialer::new(&route.upstream, &route.upstream_tls)?;
                let upstream = route.upstream.to_string();
                let health = Health::new(upstream, route.id.clone(), limits, telemetry.clone());
                let pool = Arc::new(Pool::new(dialer, health, limits));
                pools.push((place, pool.clone()));
                pool
            }
        };
        let stripped = route.prefix.strip.as_deref();
        targets.push(UpstreamTarget {
            pool,
            host: (!route.preserve_host).then(|| own_host(&route.upstream)),
            stripped: stripped.map(|prefix| {
                HeaderValue::from_str(prefix).expect("a canonical path is plain ASCII")
            }),
            patience: sweeps(route.response_timeout),
            max_body: route.max_body,
        });
    }
    Ok(targets)
}

fn own_host(upstream: &Upstream) -> HeaderValue {
    let host = match upstream {
        Upstream::Http(authority) | Upstream::Https(authority) | Upstream::H2c(authority) => {
            authority.to_string()
        }
        Upstream::Unix(_) => "localhost".to_owned(),
    };
    HeaderValue::from_str(&host).expect("an authority is ASCII without control characters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::origin::Authority;

    #[test]
    fn sec_smg_18_only_equal_upstreams_share_connections() {
        let https = |host| Upstream::Https(Authority::parse(host).unwrap());
        let public = UpstreamTls::default();
        let named = UpstreamTls {
            server_name: Some("b.example.com".to_owned()),
            ..UpstreamTls::default()
        };
        let places = [
            (https("a.example.com"), public.clone()),
            (https("b.example.com"), public.clone()),
            (
                Upstream::Http(Authority::parse("a.example.com").unwrap()),
                public.clone(),
            ),
            (https("a.example.com"), named.clone()),
            (https("a.example.com"), public),
            (https("a.example.com"), named),
        ];
        let routes = places.map(|(upstream, upstream_tls)| Route {
            upstream,
            upstream_tls,
            ..crate::proxy::tests::route("127.0.0.1:1".parse().unwrap())
        });
        let targets = compile(&routes, &Limits::default(), &Telemetry::new(None)).unwrap();
        let same = |a: usize, b: usize| Arc::ptr_eq(&targets[a].pool, &targets[b].pool);
        assert!(same(0, 4) && same(3, 5));
        assert!(!same(0, 1) && !same(0, 2) && !same(0, 3) && !same(1, 3));
    }
}
