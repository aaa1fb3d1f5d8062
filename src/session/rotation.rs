//! The rules by which a refresh token is claimed, given back and replaced:
//! pure changes of a token header. Stores run them atomically; the Redis
//! scripts mirror them and pass the same conformance suite.
//!
//! The aim: without lost writes no refresh token is ever sent twice, except
//! for one last try of a token whose outcome is unknown, and except within
//! the grace in which its provider takes a spent token again.

use super::record::{Fingerprint, Owner, TokenHeader};
use super::store::{Claim, Claimed, Committed, Release};
use crate::base::clock::Timestamp;

/// How often one token may be sent: once, and the one last try.
pub const MAX_TRIES: u8 = 2;

impl TokenHeader {
    /// Asks to send the refresh token `claim.rt_fp`. Changes the header only
    /// where the answer is `Granted`.
    pub fn claim(&mut self, claim: &Claim, now: Timestamp) -> Claimed {
        if self.rt_fp.is_none() || self.rt_fp != claim.rt_fp {
            return Claimed::Superseded;
        }
        if self.lease_until > now && self.owner != claim.owner {
            return Claimed::Busy {
                lease_until: self.lease_until,
            };
        }
        if self.retry_at > now {
            return Claimed::BackOff {
                retry_at: self.retry_at,
                fail_class: self.fail_class,
            };
        }
        let sent_before = if self.intent_fp == self.rt_fp {
            self.tries
        } else {
            0
        };
        let graced = sent_before > 0 && now < self.sent_at.plus(claim.grace);
        if sent_before > 0 && !graced && (!claim.last_try || sent_before >= MAX_TRIES) {
            return Claimed::Unknown {
                tries: sent_before,
                sent_at: self.sent_at,
            };
        }
        self.version += 1;
        self.intent_fp = self.rt_fp;
        self.owner = claim.owner;
        self.graced = graced;
        if !graced {
            self.tries = sent_before + 1;
        }
        // The provider counts its grace from the first time, so neither a
        // repetition nor the last try prolongs it.
        if sent_before == 0 {
            self.sent_at = now;
        }
        self.lease_until = now.plus(claim.lease);
        Claimed::Granted
    }

    /// Ends the owner's claim without new tokens. False, and no change, if
    /// the claim is not the owner's. `clear_intent` takes back this one try:
    /// an earlier try of unknown outcome stays on record. With a class of
    /// failure the failures in a row are one more.
    pub fn release(&mut self, release: &Release) -> bool {
        if self.owner != release.owner || self.owner == Owner::default() {
            return false;
        }
        self.version += 1;
        self.owner = Owner::default();
        self.lease_until = Timestamp(0);
        self.retry_at = release.retry_at;
        self.fail_class = release.fail_class;
        if release.fail_class != 0 {
            self.failures = self.failures.saturating_add(1);
        }
        let graced = std::mem::take(&mut self.graced);
        if release.clear_intent && !graced {
            self.tries = self.tries.saturating_sub(1);
            if self.tries == 0 {
                self.intent_fp = Fingerprint::NONE;
            }
        }
        true
    }

    /// Puts the new token in the place of the spent one. The condition is the
    /// spent token, not the lease: whoever's request won must be able to save.
    pub fn commit(
        &mut self,
        spent: Fingerprint,
        new: Fingerprint,
        access_exp: Timestamp,
        received_at: Timestamp,
    ) -> Committed {
        if self.rt_fp.is_none() || self.rt_fp != spent {
            return Committed::Superseded;
        }
        self.version += 1;
        self.rt_fp = new;
        self.intent_fp = Fingerprint::NONE;
        self.owner = Owner::default();
        self.tries = 0;
        self.lease_until = Timestamp(0);
        self.retry_at = Timestamp(0);
        self.fail_class = 0;
        self.failures = 0;
        self.graced = false;
        self.access_exp = access_exp;
        self.received_at = received_at;
        Committed::Done {
            version: self.version,
        }
    }
}

#[cfg(test)]
mod tests;
