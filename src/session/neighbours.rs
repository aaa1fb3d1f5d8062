//! Gateways that share a store must share the settings of the session cookie:
//! else one of them writes a cookie that the other one does not look for, and
//! people are signed out by whichever answers next. Each leaves a mark of its
//! settings, and looks whether there are others.
//!
//! Limits: after a change of the settings the old ones are still remembered
//! for `REMEMBERED`, so that a change is told too. A store of our own is not
//! asked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::record::SessionId;
use super::sessions::{SessionError, Sessions};
use super::store::Digest;

/// Three times as long as the pause between two looks.
const REMEMBERED: Duration = Duration::from_secs(90);

#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Others have other settings, and it was said.
    told: AtomicBool,
}

impl Sessions {
    /// Leaves our mark and says, once until they agree, that others have
    /// other settings. `cookie` is the same text for the same settings.
    pub async fn meet_neighbours(&self, cookie: &str) -> Result<(), SessionError> {
        if self.store.is_private() {
            return Ok(());
        }
        let context = "vestibule 2026 marks of cookie settings";
        let marks = Digest(blake3::derive_key(context, self.namespace.as_bytes()));
        let mark = blake3::derive_key("vestibule 2026 cookie settings", cookie.as_bytes());
        let (mark, _) = mark.split_first_chunk().expect("32 bytes hold 16");
        let mark = SessionId(*mark);
        let until = self.clock.now().plus(REMEMBERED);
        self.store.index_add(marks, mark, until).await?;
        let others = self.store.index_list(marks).await?;
        let differ = others.iter().any(|other| *other != mark);
        if differ && !self.neighbours.told.swap(true, Ordering::Relaxed) {
            tracing::error!(
                alert = "cookie_settings_differ",
                ours = cookie,
                "another gateway on this store has other cookie settings (server.public_url, \
                 session.cookie_domain, session.same_site), or had them a minute ago: people whose \
                 requests reach both are signed out"
            );
        } else if !differ {
            self.neighbours.told.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}
