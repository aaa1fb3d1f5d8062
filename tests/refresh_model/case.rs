//! What may happen in one exploration, and which protocol is run.

/// The condition on which new tokens are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    Blindly,
    /// The claim must still be the saver's.
    AsOwner,
    /// The record must still have the token that was spent.
    IfSpent,
}

/// One thing done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// A process that was paused after its claim sends all the same.
    SendsLate,
    /// A token of unknown outcome gets its last try without waiting for the
    /// end of the access token.
    LastTryAtOnce,
    /// A lost answer counts as "not spent".
    ForgetsUnknown,
    /// A claim is a lock that only its holder opens.
    EndlessLease,
    /// `invalid_grant` ends the session without another look.
    DeletesAtOnce,
    /// `invalid_grant` ends the session although another sent the token as
    /// well and may hold its successor.
    DeletesForOthers,
    /// New tokens that the store does not take are dropped.
    DropsUnsaved,
    /// They are kept in memory only.
    NoSpool,
    /// A spooled token is stored whatever the record says.
    ReplaysBlindly,
    /// A tombstone is written once, not again after the store lost writes.
    TombstoneOnce,
}

#[derive(Debug, Clone)]
pub struct Case {
    pub replicas: usize,
    pub crashes: u8,
    pub lost_writes: u8,
    /// Writes that are done but answered with an error.
    pub hiccups: u8,
    pub answers_lost: bool,
    pub signs_out: bool,
    /// New tokens are looked at once they are stored.
    pub validates: bool,
    /// A token that was used before ends the whole family.
    pub family: bool,
    /// How long the provider takes a spent token again.
    pub grace: u64,
    /// It then hands out one more token, and the one before counts no more.
    pub grace_renews: bool,
    /// For how long we are told that it does.
    pub rotation_grace: u64,
    /// How long others wait after a failure.
    pub back_off: u64,
    pub access_life: u64,
    pub clock_ends: u64,

    /// A claim holds others off for a time.
    pub lease: bool,
    /// A claim stays on record until its outcome is known.
    pub intent: bool,
    /// Instead of a lease: a lock that lives exactly as long as its holder.
    pub lock: bool,
    pub save: Save,
    /// `invalid_grant` is followed by another look at the record.
    pub rereads: bool,
    pub flaw: Option<Flaw>,
}

impl Case {
    /// Our protocol, two replicas, nothing goes wrong yet.
    pub fn ours() -> Self {
        Self {
            replicas: 2,
            crashes: 0,
            lost_writes: 0,
            hiccups: 0,
            answers_lost: true,
            signs_out: true,
            validates: false,
            family: true,
            grace: 0,
            grace_renews: false,
            rotation_grace: 0,
            back_off: 0,
            access_life: 1,
            clock_ends: 3,
            lease: true,
            intent: true,
            lock: false,
            save: Save::IfSpent,
            rereads: true,
            flaw: None,
        }
    }
}
