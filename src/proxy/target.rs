//! The upstream of a route, ready to be used.

use std::sync::Arc;

use http::HeaderValue;

use super::connect::Dialer;
use super::line::sweeps;
use super::pool::Pool;
use crate::base::fault::{Blame, Fault};
use crate::config::checked::{Limits, Route, Upstream};

/// Where requests of one route go. Routes with the same upstream share its
/// connections; two TLS names never do.
pub struct UpstreamTarget {
    pub(super) pool: Arc<Pool>,
    /// What `Host` says; absent where the client's is kept.
    pub(super) host: Option<HeaderValue>,
    /// In sweeps.
    pub(super) patience: u32,
    pub(super) max_body: Option<u64>,
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("{authority} is no name that a certificate could carry")]
pub struct UnusableUpstream {
    pub authority: String,
}

impl Fault for UnusableUpstream {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        "upstream_unusable"
    }
}

/// In the order of `routes`.
pub(super) fn compile(
    routes: &[Route],
    limits: &Limits,
) -> Result<Vec<UpstreamTarget>, UnusableUpstream> {
    let mut pools: Vec<(&Upstream, Arc<Pool>)> = Vec::new();
    let mut targets = Vec::with_capacity(routes.len());
    for route in routes {
        let known = pools
            .iter()
            .find(|(upstream, _)| **upstream == route.upstream)
            .map(|(_, pool)| pool.clone());
        let pool = match known {
            Some(pool) => pool,
            None => {
                let pool = Arc::new(Pool::new(Dialer::new(&route.upstream)?, limits));
                pools.push((&route.upstream, pool.clone()));
                pool
            }
        };
        targets.push(UpstreamTarget {
            pool,
            host: (!route.preserve_host).then(|| own_host(&route.upstream)),
            patience: sweeps(route.response_timeout),
            max_body: route.max_body,
        });
    }
    Ok(targets)
}

fn own_host(upstream: &Upstream) -> HeaderValue {
    let host = match upstream {
        Upstream::Http(authority) | Upstream::Https(authority) => authority.to_string(),
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
        let upstreams = [
            Upstream::Https(Authority::parse("a.example.com").unwrap()),
            Upstream::Https(Authority::parse("b.example.com").unwrap()),
            Upstream::Http(Authority::parse("a.example.com").unwrap()),
            Upstream::Https(Authority::parse("a.example.com").unwrap()),
        ];
        let routes = upstreams.map(|upstream| Route {
            upstream,
            ..crate::proxy::tests::route("127.0.0.1:1".parse().unwrap())
        });
        let targets = compile(&routes, &Limits::default()).unwrap();
        let same = |a: usize, b: usize| Arc::ptr_eq(&targets[a].pool, &targets[b].pool);
        assert!(same(0, 3));
        assert!(!same(0, 1) && !same(0, 2));
    }
}
