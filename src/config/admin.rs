//! `[admin]`: the listener for operators.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::address::socket;
use super::checked::{Admin, ListenAddr};
use super::problems::Findings;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// Address of /livez, /readyz and /metrics.
    listen: Option<String>,
    /// Whether /readyz also fails while the session store is away.
    ready_requires_store: Option<bool>,
}

pub(super) fn check(raw: &RawAdmin, public: &[ListenAddr], findings: &mut Findings) -> Admin {
    let key = "admin.listen";
    let mut listen: SocketAddr = ([127, 0, 0, 1], 4181).into();
    if let Some(text) = raw.listen.as_deref() {
        match socket(text) {
            Ok(address) => listen = address,
            Err(complaint) => findings.error(key, complaint.what, complaint.cure),
        }
    }
    if listen.port() != 0 && public.contains(&ListenAddr::Tcp(listen)) {
        findings.error(
            key,
            format!("{listen} is also in server.listen: metrics would be public"),
            "give the admin listener a port of its own",
        );
    }
    Admin {
        listen,
        ready_requires_store: raw.ready_requires_store.unwrap_or(false),
    }
}
