//! Every provider of the configuration by its id.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::conversation::Provider;
use super::error::ProviderError;
use crate::base::clock::Clock;
use crate::config::checked::{Limits, Provider as ProviderConfig};
use crate::model::identity::ProviderId;

/// Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    by_id: Arc<BTreeMap<ProviderId, Arc<Provider>>>,
}

impl Providers {
    /// Makes no call. Fails only on an unreadable `ca_file` or a malformed
    /// issuer.
    pub fn new(
        configs: &BTreeMap<ProviderId, ProviderConfig>,
        limits: &Limits,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let mut by_id = BTreeMap::new();
        for (id, config) in configs {
            let provider = Provider::new(config.clone(), limits, clock.clone())?;
            by_id.insert(id.clone(), Arc::new(provider));
        }
        Ok(Self {
            by_id: Arc::new(by_id),
        })
    }

    pub fn get(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.by_id.get(id)
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.by_id.values()
    }
}
