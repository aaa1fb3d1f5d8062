//! What the server says about itself, for operators who ask.

use std::collections::BTreeMap;

use super::live::Lane;
use super::{RedisStore, layout};
use crate::session::store::StoreError;

/// Settings of the server that decide whether sessions last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// "redis 7.0.15" or "valkey 8.1.0"; empty where it does not tell.
    pub server: String,
    /// `maxmemory-policy`; `None` where it is not told.
    pub eviction: Option<String>,
    /// Whether anything outlives a restart; `None` where it is not told.
    pub persistent: Option<bool>,
    /// Why it does not tell of changes, or that it does; `None` for a
    /// cluster, of which nothing is told.
    pub tells_changes: Option<Result<(), String>>,
}

impl RedisStore {
    /// Servers may forbid these questions: then less is known.
    pub async fn facts(&self) -> Result<Facts, StoreError> {
        // Of a cluster one node is asked.
        let key = layout::probe_key(&self.prefix);
        let mut command = ::redis::cmd("INFO");
        command.arg("server");
        let information: String = self.send(Lane::Read, &key, &command).await?;
        let mut facts = Facts {
            server: server(&information),
            ..Facts::default()
        };
        let mut settings = BTreeMap::new();
        for name in ["maxmemory-policy", "appendonly", "save"] {
            let mut command = ::redis::cmd("CONFIG");
            command.arg("GET").arg(name);
            // Managed servers have no CONFIG.
            if let Ok(pair) = self.send::<Vec<String>>(Lane::Read, &key, &command).await
                && let [_, value] = &*pair
            {
                settings.insert(name, value.clone());
            }
        }
        facts.eviction = settings.get("maxmemory-policy").cloned();
        if let (Some(log), Some(save)) = (settings.get("appendonly"), settings.get("save")) {
            facts.persistent = Some(log == "yes" || !save.is_empty());
        }
        facts.tells_changes = self.topology.tells_changes(&self.prefix).await;
        Ok(facts)
    }
}

fn server(information: &str) -> String {
    let field = |name: &str| {
        information
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let told = field("valkey_version")
        .map(|version| format!("valkey {version}"))
        .or_else(|| field("redis_version").map(|version| format!("redis {version}")));
    let plain = |one: &char| one.is_ascii_graphic() || *one == ' ';
    told.unwrap_or_default()
        .chars()
        .filter(plain)
        .take(60)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_say_what_they_are() {
        assert_eq!(
            server("# Server\r\nredis_version:7.0.15\r\n"),
            "redis 7.0.15"
        );
        let both = "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n";
        assert_eq!(server(both), "valkey 8.1.0");
        assert_eq!(server(""), "");
    }
}
