//! What an entry is found by: the whole ticket, whose MAC was checked.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::session::ticket::Ticket;

const LENGTH: usize = 2 + 16 + 32 + 16;

/// Everything of a ticket but its scope, which the MAC at the end covers.
/// Unprintable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; LENGTH]);

impl Key {
    pub fn of(ticket: &Ticket) -> Self {
        let mut key = [0; LENGTH];
        key[..2].copy_from_slice(&ticket.key.0);
        key[2..18].copy_from_slice(&ticket.id);
        key[18..50].copy_from_slice(&ticket.secret);
        key[50..].copy_from_slice(&ticket.mac);
        Self(key)
    }

    #[cfg(test)]
    pub fn for_tests(number: u64) -> Self {
        let mut key = [0; LENGTH];
        key[2..10].copy_from_slice(&number.to_le_bytes());
        key[50..].copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
        Self(key)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The MAC is a keyed hash of all the rest: whoever does not hold the ring
/// cannot choose it, so nobody can make keys collide.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (_, mac) = self.0.split_at(50);
        let start = mac.first_chunk().copied().unwrap_or_default();
        state.write_u64(u64::from_le_bytes(start));
    }
}

/// Takes the hash that a [`Key`] brings along.
#[derive(Debug, Clone, Copy, Default)]
pub struct Brought(u64);

pub type ByMac = BuildHasherDefault<Brought>;

impl Hasher for Brought {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
