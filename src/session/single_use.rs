//! Who was first: names that count once, and what the first one left for the
//! others.

use std::time::Duration;

use super::sessions::{SessionError, Sessions};
use super::store::{Digest, Once};

impl Sessions {
    /// Whether this is the first time that `key` is named for `purpose`
    /// within `ttl`.
    pub async fn once(
        &self,
        purpose: &'static str,
        key: &[u8],
        ttl: Duration,
    ) -> Result<Once, SessionError> {
        let name = self.once_name(purpose, key);
        Ok(self.store.once(name, self.clock.now().plus(ttl)).await?)
    }

    /// Leaves a result for later callers of `once`.
    pub async fn once_finish(
        &self,
        purpose: &'static str,
        key: &[u8],
        value: Vec<u8>,
    ) -> Result<(), SessionError> {
        let name = self.once_name(purpose, key);
        Ok(self.store.once_finish(name, value).await?)
    }

    /// Not under a ring key: replicas that write with different keys, or a
    /// key change, must not make anything first twice. What is named here is
    /// random already.
    pub(super) fn once_name(&self, purpose: &'static str, key: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("vestibule 2026 single use");
        for part in [self.namespace.as_bytes(), purpose.as_bytes(), key] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Digest(*hasher.finalize().as_bytes())
    }
}
