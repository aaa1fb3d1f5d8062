//! Marks that tell whether a browser still belongs to the same person on one
//! host. A mark opens nothing and names nobody; only the ring can make it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::sessions::Sessions;
use crate::base::key_ring::RingKey;
use crate::model::identity::Identity;

impl Sessions {
    /// The mark of this person on this host.
    pub fn person_mark(&self, host: &str, identity: &Identity) -> String {
        self.mark_under(self.ring.writer(), host, identity)
    }

    /// Whether one of the marks that a browser shows is this person's. Any
    /// key of the ring will do.
    pub fn shows_person(&self, shown: &[&[u8]], host: &str, identity: &Identity) -> bool {
        self.ring.all().iter().any(|key| {
            let mark = self.mark_under(key, host, identity);
            shown
                .iter()
                .any(|shown| bool::from(mark.as_bytes().ct_eq(shown)))
        })
    }

    fn mark_under(&self, key: &RingKey, host: &str, identity: &Identity) -> String {
        let parts = [&*self.namespace, host, &identity.issuer, &identity.subject];
        let digest = key.derive("mark of a person on a host", &parts.map(str::as_bytes));
        URL_SAFE_NO_PAD.encode(&digest[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::super::sessions::tests::{identity, rig_with};
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;

    #[test]
    fn a_mark_fits_one_person_on_one_host_under_any_key_of_the_ring() {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let first = rig_with(&old, Clock::movable(), None).sessions;
        let mark = first.person_mark("a.test", &identity("ann"));
        let shown: [&[u8]; 2] = [b"junk", mark.as_bytes()];
        assert!(first.shows_person(&shown, "a.test", &identity("ann")));
        assert!(!first.shows_person(&shown, "a.test", &identity("ben")));
        assert!(!first.shows_person(&shown, "b.test", &identity("ann")));
        assert!(!first.shows_person(&[], "a.test", &identity("ann")));
        let both = rig_with(&format!("{new}{old}"), Clock::movable(), None).sessions;
        assert!(both.shows_person(&shown, "a.test", &identity("ann")));
        let other = rig_with(&new, Clock::movable(), None).sessions;
        assert!(!other.shows_person(&shown, "a.test", &identity("ann")));
    }
}
