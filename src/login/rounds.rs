//! The guard against sign-ins that go in circles: a small cookie remembers
//! when this browser signed in during the last minute.
//!
//! A round is a sign-in that was followed by another one's beginning. Several
//! tabs that sign in side by side are one round, and signing out drops the
//! cookie, so nobody who does that by hand is stopped. It works on every
//! replica and while the store forgets everything. Whoever drops the cookie
//! misleads only their own browser; nobody can make one (MAC).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::{Inner, Login};
use crate::base::key_ring::{KeyId, RingKey};

/// This many rounds within the window are no person's doing.
const LIMIT: usize = 3;
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Follows the prefix of these cookies; no tag has this length.
const NAME: &str = "loop";
const MAC: usize = 16;

/// key id 2 | signed in and not seen again 1 | seconds since 1970, 4 each | MAC
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rounds {
    /// Sign-ins within the window, oldest first.
    signed_in_at: Vec<u32>,
    /// The last one was not yet followed by a new beginning.
    open: bool,
    now: u32,
}

impl Login {
    /// Whether this browser signed in a moment ago: then a new beginning
    /// should say what became of its session.
    pub fn signed_in_lately(&self, cookies: &[&[u8]]) -> bool {
        Rounds::read(&self.inner, cookies).open
    }

    /// Ends the count, because the person signed out: what to set, if there
    /// is anything.
    pub fn forget_rounds(&self, cookies: &[&[u8]]) -> Option<String> {
        let cookies_of = &self.inner.recent_cookies;
        let shown = cookies_of.named(cookies).any(|(name, _)| name == NAME);
        shown.then(|| cookies_of.clear(NAME))
    }
}

impl Rounds {
    pub(super) fn read(inner: &Inner, cookies: &[&[u8]]) -> Self {
        let now = u32::try_from(inner.clock.now().as_secs()).unwrap_or(u32::MAX);
        let mut rounds = Self {
            signed_in_at: Vec::new(),
            open: false,
            now,
        };
        let mut values = inner.recent_cookies.named(cookies);
        let body = values
            .by_ref()
            .filter(|(name, _)| *name == NAME)
            .take(2)
            .find_map(|(_, value)| opened(inner, value));
        if let Some((open, times)) = body {
            rounds.signed_in_at = times;
            rounds.signed_in_at.retain(|at| {
                let age = now.abs_diff(*at);
                u64::from(age) < WINDOW.as_secs()
            });
            rounds.open = open && !rounds.signed_in_at.is_empty();
        }
        rounds
    }

    /// A sign-in begins. `Err`: they go in circles; with how long that holds.
    /// `Some`: the cookie has to change.
    pub(super) fn begin(mut self) -> Result<Option<Self>, Duration> {
        if !self.open {
            return Ok(None);
        }
        if let Some(oldest) = self.signed_in_at.first()
            && self.signed_in_at.len() >= LIMIT
        {
            let age = Duration::from_secs(u64::from(self.now.abs_diff(*oldest)));
            return Err(WINDOW.saturating_sub(age));
        }
        self.open = false;
        Ok(Some(self))
    }

    /// A sign-in succeeded.
    pub(super) fn signed_in(mut self) -> Self {
        if self.open {
            self.signed_in_at.pop();
        }
        self.signed_in_at.push(self.now);
        self.open = true;
        self
    }

    pub(super) fn cookie(&self, inner: &Inner) -> String {
        let mut body = inner.ring.writer().id().0.to_vec();
        body.push(u8::from(self.open));
        let newest = self.signed_in_at.len().saturating_sub(LIMIT);
        for at in &self.signed_in_at[newest..] {
            body.extend_from_slice(&at.to_be_bytes());
        }
        let mac = mac(inner, inner.ring.writer(), &body);
        body.extend_from_slice(&mac);
        let value = URL_SAFE_NO_PAD.encode(body);
        inner.recent_cookies.cookie(NAME, value, WINDOW)
    }
}

fn opened(inner: &Inner, value: &str) -> Option<(bool, Vec<u32>)> {
    let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
    let (body, shown) = bytes.split_last_chunk::<MAC>()?;
    let (id, rest) = body.split_first_chunk::<2>()?;
    let key = inner.ring.find(KeyId(*id))?;
    if !bool::from(mac(inner, key, body).ct_eq(shown)) {
        return None;
    }
    let (open, times) = rest.split_first()?;
    let times = times.as_chunks::<4>().0.iter();
    Some((
        *open == 1,
        times.map(|at| u32::from_be_bytes(*at)).collect(),
    ))
}

fn mac(inner: &Inner, key: &RingKey, body: &[u8]) -> [u8; MAC] {
    let digest = key.derive("sign-in rounds", &[inner.namespace.as_bytes(), body]);
    let mut mac = [0; MAC];
    mac.copy_from_slice(&digest[..MAC]);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;
    use crate::login::fixture::login_with;
    use crate::refresh::fixture::{Rig, signed_in};

    /// A browser that signs in at one replica or the other.
    struct Jar {
        field: String,
    }

    impl Jar {
        fn rounds(&self, inner: &Inner) -> Rounds {
            Rounds::read(inner, &[self.field.as_bytes()])
        }

        fn keep(&mut self, cookie: &str) {
            cookie
                .split(';')
                .next()
                .unwrap()
                .clone_into(&mut self.field);
        }

        fn begin(&mut self, inner: &Inner) -> Result<(), Duration> {
            if let Some(changed) = self.rounds(inner).begin()? {
                let cookie = changed.cookie(inner);
                self.keep(&cookie);
            }
            Ok(())
        }

        fn signed_in(&mut self, inner: &Inner) {
            let cookie = self.rounds(inner).signed_in().cookie(inner);
            assert!(cookie.starts_with("__Host-vestibule-r-loop="), "{cookie}");
            assert!(
                cookie.contains("Max-Age=60") && cookie.len() < 160,
                "{cookie}"
            );
            self.keep(&cookie);
        }
    }

    async fn rig() -> (Rig, Clock, Jar) {
        let jar = Jar {
            field: String::new(),
        };
        (signed_in(WINDOW).await, Clock::movable(), jar)
    }

    #[tokio::test]
    async fn row_2_8_the_fourth_beginning_within_a_minute_is_a_circle_on_every_replica() {
        let (rig, clock, mut jar) = rig().await;
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let one = login_with(&rig, &clock, &format!("{old}{new}")).inner;
        let two = login_with(&rig, &clock, &format!("{new}{old}")).inner;
        for replica in [&one, &two, &one] {
            jar.begin(replica).unwrap();
            jar.signed_in(replica);
            clock.advance(5_000);
        }
        let wait = jar.begin(&two).unwrap_err();
        // Fifteen seconds of the minute are over, and what the test itself took.
        let left = Duration::from_secs(41)..=Duration::from_secs(45);
        assert!(left.contains(&wait), "{wait:?}");
        // Trying again changes nothing until the first one is a minute old.
        clock.advance(40_000);
        assert!(jar.begin(&two).is_err());
        clock.advance(6_000);
        assert!(jar.begin(&two).is_ok());
    }

    #[tokio::test]
    async fn row_0_11_tabs_side_by_side_are_one_round() {
        let (rig, clock, mut jar) = rig().await;
        let inner = login_with(&rig, &clock, "").inner;
        for _ in 0..8 {
            jar.begin(&inner).unwrap();
        }
        for _ in 0..8 {
            jar.signed_in(&inner);
            clock.advance(1_000);
        }
        assert_eq!(jar.rounds(&inner).signed_in_at.len(), 1);
        assert!(jar.begin(&inner).is_ok());
    }

    #[tokio::test]
    async fn a_forged_or_foreign_count_counts_nothing() {
        let (rig, clock, mut jar) = rig().await;
        let (ours, others) = (
            login_with(&rig, &clock, "").inner,
            login_with(&rig, &clock, "").inner,
        );
        for _ in 0..3 {
            jar.begin(&others).unwrap();
            jar.signed_in(&others);
        }
        assert!(jar.begin(&others).is_err());
        assert!(jar.begin(&ours).is_ok());
        for _ in 0..3 {
            jar.begin(&ours).unwrap();
            jar.signed_in(&ours);
        }
        assert!(jar.begin(&ours).is_err());
        for junk in ["", "=", "=AAAA", "=%%", "=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            jar.field = format!("__Host-vestibule-r-loop{junk}");
            assert!(jar.begin(&ours).is_ok(), "{junk}");
        }
    }
}
