//! A login door over a store in memory, for the tests of this module.

use std::sync::Arc;

use super::{Login, Parts};
use crate::base::clock::Clock;
use crate::config;
use crate::provider::Providers;
use crate::refresh::fixture::{Rig, scope};
use crate::telemetry::Telemetry;

const CONFIG: &str = r#"server.public_url = "https://app.test"
[provider.main]
kind = "oidc"
issuer = "https://id.test"
client_id = "vestibule"
[route.files]
host = "files.test"
upstream = "http://127.0.0.1:3000"
access = "signed-in"
"#;

pub(super) fn login(rig: &Rig, clock: &Clock) -> Login {
    login_with(rig, clock, "")
}

/// `keys`: lines of a key file; empty for new ones.
pub(super) fn login_with(rig: &Rig, clock: &Clock, keys: &str) -> Login {
    let folder = tempfile::tempdir().unwrap();
    let loaded = config::parse(CONFIG, "vestibule.toml", &[], folder.path()).unwrap();
    let mut config = loaded.config;
    if !keys.is_empty() {
        config.keys.ring = crate::base::key_ring::KeyRing::parse(keys).unwrap();
    }
    let providers = Providers::new(&config.providers, &config.limits, clock.clone());
    let parts = Parts {
        providers: Arc::new(providers.unwrap()),
        sessions: Arc::clone(&rig.sessions),
        clock: clock.clone(),
        telemetry: Telemetry::new(None),
        home: scope(),
        namespace: "n".into(),
        control: tokio::runtime::Handle::current(),
    };
    Login::new(&config, parts)
}
