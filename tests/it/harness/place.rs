//! Gateways that share a store, with people planted in it, and an application
//! that says whom it was told.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::gateway::{Gateway, Plan};
use super::keep_alive::KeepAlive;
use super::mirror::{Mirror, Told};
use super::planted::Planter;
use super::provider::Provider;

pub struct Place {
    pub provider: Provider,
    _mirror: Mirror,
    pub gateways: Vec<Gateway>,
    pub planter: Planter,
}

impl Place {
    /// One gateway for each of `stores`, lines of `[redis]`; with none a single
    /// one on the embedded store.
    pub async fn start(stores: &[String], change: impl FnOnce(Plan) -> Plan) -> Self {
        let stores: Vec<_> = stores.iter().map(|lines| Some(lines.as_str())).collect();
        let embedded = [None];
        let stores = if stores.is_empty() {
            &embedded[..]
        } else {
            &stores
        };
        Self::start_all(stores, change).await
    }

    /// Two processes on one database, as while one takes over from the other.
    pub async fn overlapping() -> Self {
        Self::start_all(&[None, None], |plan| plan).await
    }

    /// One gateway for each of `stores`; `None`: the embedded one.
    async fn start_all(stores: &[Option<&str>], change: impl FnOnce(Plan) -> Plan) -> Self {
        let provider = Provider::start("oidc-plain").await;
        let mirror = Mirror::start().await;
        let plan = Plan::new(&provider.issuer, &mirror.url())
            .route("pass_access_token = true")
            .log_level("info");
        let plan = change(plan);
        let mut gateways = Vec::new();
        for store in stores {
            let own = if gateways.is_empty() {
                plan.clone()
            } else {
                plan.replica()
            };
            let own = match store {
                Some(lines) => own.redis(lines),
                None => own,
            };
            gateways.push(own.start().await);
        }
        Self {
            planter: Planter::of(gateways[0].plan()),
            provider,
            _mirror: mirror,
            gateways,
        }
    }

    pub fn here(&self) -> &Gateway {
        &self.gateways[0]
    }
}

/// What the application was told of whoever has this cookie; `None`: 401.
pub async fn told(line: &mut KeepAlive, cookie: &str) -> Option<Told> {
    let (status, text) = line.get("/x", cookie).await.expect("an answer");
    assert!(matches!(status, 200 | 401), "{status}: {text}");
    (status == 200).then(|| Told::of(&text).expect("the mirror's answer"))
}

/// Whether the cookie opens the door; anything but 200 and 401 is a fault.
pub async fn lives(line: &mut KeepAlive, cookie: &str) -> bool {
    told(line, cookie).await.is_some()
}

/// Waits as long as a store may need to tell one process of another's writes.
pub async fn until_live(line: &mut KeepAlive, cookie: &str) {
    let since = Instant::now();
    while !lives(line, cookie).await {
        assert!(since.elapsed() < Duration::from_secs(2), "still unknown");
        sleep(Duration::from_millis(10)).await;
    }
}
