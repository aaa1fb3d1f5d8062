//! A write and a read of ordinary size.

use super::live::Lane;
use super::{RedisStore, layout};
use crate::session::store::StoreError;

/// As large as an ordinary record, so that full memory shows.
const LENGTH: usize = 4096;
const TTL_MILLIS: u64 = 60_000;

impl RedisStore {
    pub(super) async fn write_and_read(&self) -> Result<(), StoreError> {
        let key = layout::probe_key(&self.prefix);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(vec![0_u8; LENGTH]);
        command.arg("PX").arg(TTL_MILLIS);
        let _: () = self.send(Lane::Write, &key, &command).await?;
        let value: Vec<u8> = self
            .send(Lane::Write, &key, ::redis::cmd("GET").arg(&key))
            .await?;
        if value.len() != LENGTH {
            return Err(StoreError::Corrupt(
                "what was written is not read back".into(),
            ));
        }
        Ok(())
    }
}
