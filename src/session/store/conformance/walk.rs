//! Long walks: three actors claim, release, commit, touch and end one session
//! in an order that dice decide. After each step the store must hold and have
//! answered what `rotation` says: SQL and scripts are the rules, not like
//! them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::subject::*;
use crate::base::clock::Timestamp;
use crate::session::record::*;
use crate::session::store::*;

cases! {
    a_store_follows_the_rules_step_by_step
}

const WALKS: u8 = 16;
const STEPS: usize = 40;
/// Over for good, and under way for good, whatever clock the store goes by.
const NEVER: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3600);
const LAST_TOKEN: u8 = 250;
/// Every answer there is, in the order of the alphabet.
const ANSWERS: [&str; 7] = [
    "back-off",
    "busy",
    "done",
    "gone",
    "granted",
    "superseded",
    "unknown",
];

async fn a_store_follows_the_rules_step_by_step(on: &Subject) -> Outcome {
    let mut seen = BTreeSet::new();
    for seed in 0..WALKS {
        let mut walk = Walk {
            on,
            id: on.session().await?,
            dice: Dice::of(seed),
            newest: OLD.0[0],
            seen: &mut seen,
        };
        for step in 0..STEPS {
            let last = step + 1 == STEPS && seed % 2 == 0;
            if let Err(error) = walk.step(last).await {
                return Err(format!("walk {seed}, step {step}: {error}").into());
            }
        }
    }
    // Otherwise the dice decide less than is claimed here.
    must_eq!(Vec::from_iter(seen), ANSWERS);
    Ok(())
}

/// The same walk for the same seed.
struct Dice(blake3::OutputReader);

impl Dice {
    fn of(seed: u8) -> Self {
        Self(blake3::Hasher::new().update(&[seed]).finalize_xof())
    }

    fn below(&mut self, end: u8) -> u8 {
        let mut byte = [0];
        self.0.fill(&mut byte);
        byte[0] % end
    }

    fn once_in(&mut self, times: u8) -> bool {
        self.below(times) == 0
    }
}

struct Walk<'a> {
    on: &'a Subject,
    id: SessionId,
    dice: Dice,
    newest: u8,
    seen: &'a mut BTreeSet<&'static str>,
}

impl Walk<'_> {
    async fn step(&mut self, last: bool) -> Outcome {
        if !self.on.is_in_real_time() && self.dice.once_in(2) {
            let millis = u64::from(self.dice.below(200));
            self.on.pass(Duration::from_millis(millis)).await;
        }
        if last {
            return self.tombstone().await;
        }
        match self.dice.below(8) {
            0..=2 => self.claim().await,
            3..=4 => self.release().await,
            5..=6 => self.commit().await,
            _ => self.touch().await,
        }
    }

    async fn load(&self) -> Result<Option<StoredSession>, Failure> {
        Ok(match self.on.store.load(self.id).await? {
            Loaded::Live(session) => Some(session),
            Loaded::Tombstone { .. } | Loaded::Missing => None,
        })
    }

    /// What the store must hold by now.
    async fn must_hold(&self, header: TokenHeader, tokens: &[u8], did: &str) -> Outcome {
        let Some(held) = self.load().await? else {
            return Err(format!("{did}: the session is gone").into());
        };
        if (&held.header, &held.tokens[..]) != (&header, tokens) {
            return Err(format!("{did}: {:?} is not {header:?}", held.header).into());
        }
        Ok(())
    }

    fn owner(&mut self) -> Owner {
        Owner([self.dice.below(3) + 1; 16])
    }

    /// Mostly the newest, sometimes one that was replaced.
    fn token(&mut self) -> Fingerprint {
        let back = u8::from(self.dice.once_in(4));
        Fingerprint([self.newest.saturating_sub(back).max(1); 16])
    }

    fn lease(&mut self) -> Duration {
        match self.dice.below(3) {
            0 => LONG,
            1 if !self.on.is_in_real_time() => self.on.span(),
            _ => NEVER,
        }
    }

    async fn claim(&mut self) -> Outcome {
        let Some(before) = self.load().await? else {
            return Err("gone before the claim".into());
        };
        let claim = Claim {
            rt_fp: self.token(),
            lease: self.lease(),
            last_try: self.dice.once_in(2),
            grace: match self.dice.once_in(4) {
                true => self.lease(),
                false => Duration::ZERO,
            },
            ..claim_by(self.owner())
        };
        let asked = self.on.clock.now();
        let answer = self.on.store.claim(self.id, claim).await?;
        let answered = self.on.clock.now();
        self.seen.insert(match answer {
            Claimed::Granted => "granted",
            Claimed::Busy { .. } => "busy",
            Claimed::BackOff { .. } => "back-off",
            Claimed::Unknown { .. } => "unknown",
            Claimed::Superseded => "superseded",
            Claimed::Gone => "gone",
        });
        let mut header = before.header;
        if answer == Claimed::Granted {
            let Some(after) = self.load().await? else {
                return Err("gone after the claim".into());
            };
            // By the store's clock: a server's may differ by a little.
            let now = after.header.lease_until.minus(claim.lease);
            let tolerance = Duration::from_secs(if self.on.is_in_real_time() { 5 } else { 0 });
            must!(asked <= now.plus(tolerance) && now <= answered.plus(tolerance));
            must_eq!(answer, header.claim(&claim, now));
        } else {
            // A lease may have run out between the question and the answer.
            let at_first = header.clone().claim(&claim, asked);
            must!(answer == at_first || answer == header.clone().claim(&claim, answered));
        }
        self.must_hold(header, &before.tokens, "claim").await
    }

    async fn release(&mut self) -> Outcome {
        let Some(before) = self.load().await? else {
            return Err("gone before the release".into());
        };
        let retry_at = match self.dice.below(4) {
            0 => self.on.later(),
            1 if !self.on.is_in_real_time() => self.on.soon(),
            _ => Timestamp(0),
        };
        let release = Release {
            owner: self.owner(),
            clear_intent: self.dice.once_in(2),
            retry_at,
            fail_class: self.dice.below(9),
        };
        self.on.store.release(self.id, release).await?;
        let mut header = before.header;
        header.release(&release);
        self.must_hold(header, &before.tokens, "release").await
    }

    async fn commit(&mut self) -> Outcome {
        let Some(before) = self.load().await? else {
            return Err("gone before the commit".into());
        };
        let new = self.newest + 1;
        if new > LAST_TOKEN {
            return Ok(());
        }
        let commit = Commit {
            tokens: binary(usize::from(new)),
            ..commit(self.token(), Fingerprint([new; 16]))
        };
        let answer = self.on.store.commit(self.id, commit.clone()).await?;
        let mut header = before.header;
        must_eq!(
            answer,
            header.commit(
                commit.spent_fp,
                commit.new_fp,
                commit.access_exp,
                commit.received_at
            )
        );
        if matches!(answer, Committed::Done { .. }) {
            self.seen.insert("done");
            self.newest = new;
            self.must_hold(header, &commit.tokens, "commit").await
        } else {
            self.must_hold(header, &before.tokens, "commit").await
        }
    }

    async fn touch(&mut self) -> Outcome {
        let Some(before) = self.load().await? else {
            return Err("gone before the touch".into());
        };
        let shift = Duration::from_secs(u64::from(self.dice.below(100)));
        let now = self.on.clock.now();
        let last_seen = if self.dice.once_in(3) {
            now.minus(shift)
        } else {
            now.plus(shift)
        };
        self.on.store.touch(self.id, last_seen).await?;
        let mut header = before.header;
        header.last_seen = header.last_seen.max(last_seen);
        self.must_hold(header, &before.tokens, "touch").await
    }

    /// Nothing brings the session back.
    async fn tombstone(&mut self) -> Outcome {
        must!(self.on.store.tombstone(self.id, Timestamp(5)).await?);
        must!(!self.on.store.tombstone(self.id, Timestamp(6)).await?);
        let token = Fingerprint([self.newest; 16]);
        let claim = Claim {
            rt_fp: token,
            last_try: true,
            ..fresh_claim()
        };
        must_eq!(self.on.store.claim(self.id, claim).await?, Claimed::Gone);
        self.seen.insert("gone");
        let release = giving_back(&claim, true);
        self.on.store.release(self.id, release).await?;
        let commit = commit(token, Fingerprint([LAST_TOKEN + 1; 16]));
        must_eq!(
            self.on.store.commit(self.id, commit).await?,
            Committed::Gone
        );
        self.on.store.touch(self.id, self.on.later()).await?;
        let loaded = self.on.store.load(self.id).await?;
        must!(matches!(loaded, Loaded::Tombstone { at } if at == Timestamp(5)));
        Ok(())
    }
}
