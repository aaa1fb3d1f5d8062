//! What the demonstration provider remembers: signing key, codes and grants,
//! in one file, so that a restart keeps everybody signed in. Tokens are kept
//! as digests.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::signing;
use crate::base::clock::{Clock, Timestamp};
use crate::base::random;

const CODE_LIFE: Duration = Duration::from_secs(60);
/// The oldest go first.
const MOST_GRANTS: usize = 200;

/// What an authorization code stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Code {
    pub person: String,
    pub redirect_uri: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub expires_at: Timestamp,
}

/// One sign-in: refresh tokens that follow each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    pub person: String,
    pub signed_in_at: Timestamp,
    /// How often it was refreshed.
    pub refreshes: u64,
    /// Digest of the one refresh token that is good.
    refresh_token: String,
    /// Digests of access tokens and when they end.
    access_tokens: Vec<(String, Timestamp)>,
}

/// Freshly made tokens; `grant` is also the provider's session id.
pub struct Issued {
    pub grant: String,
    pub person: String,
    pub signed_in_at: Timestamp,
    pub access_token: String,
    pub refresh_token: String,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// PKCS#8, base64.
    signing_key: String,
    /// By digest.
    codes: BTreeMap<String, Code>,
    grants: BTreeMap<String, Grant>,
}

pub struct Grants {
    file: PathBuf,
    clock: Clock,
    /// Of access tokens; short on purpose: a refresh is to be seen.
    life: Duration,
    kept: Mutex<Kept>,
}

impl Grants {
    /// Reads `file`, or begins it.
    pub fn access_token_life(&self) -> Duration {
        self.life
    }

    pub fn open(file: &Path, clock: Clock, life: Duration) -> std::io::Result<Self> {
        let kept = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept {
                signing_key: URL_SAFE_NO_PAD.encode(signing::generate()),
                ..Kept::default()
            },
            Err(error) => return Err(error),
        };
        let grants = Self {
            file: file.to_owned(),
            clock,
            life,
            kept: Mutex::new(kept),
        };
        grants.save(&grants.lock())?;
        Ok(grants)
    }

    pub(super) fn signing_key(&self) -> Result<signing::SigningKey, signing::BadKey> {
        let bytes = URL_SAFE_NO_PAD
            .decode(&self.lock().signing_key)
            .map_err(|_| signing::BadKey)?;
        signing::SigningKey::from_pkcs8(&bytes)
    }

    /// A code for `code`, whose end is set here.
    pub fn add_code(&self, mut code: Code) -> std::io::Result<String> {
        let now = self.clock.now();
        let text = secret();
        code.expires_at = now.plus(CODE_LIFE);
        let mut kept = self.lock();
        kept.codes.retain(|_, code| code.expires_at > now);
        kept.codes.insert(digest(&text), code);
        self.save(&kept)?;
        Ok(text)
    }

    /// Works once for each code, whatever comes of it.
    pub fn take_code(&self, text: &str) -> std::io::Result<Option<Code>> {
        let mut kept = self.lock();
        let code = kept.codes.remove(&digest(text));
        self.save(&kept)?;
        Ok(code.filter(|code| code.expires_at > self.clock.now()))
    }

    pub fn begin(&self, person: &str) -> std::io::Result<Issued> {
        let now = self.clock.now();
        let id = URL_SAFE_NO_PAD.encode(random::bytes::<12>());
        let mut grant = Grant {
            person: person.to_owned(),
            signed_in_at: now,
            refreshes: 0,
            refresh_token: String::new(),
            access_tokens: Vec::new(),
        };
        let issued = issue(&id, &mut grant, now.plus(self.life), now);
        let mut kept = self.lock();
        while kept.grants.len() >= MOST_GRANTS {
            let oldest = kept
                .grants
                .iter()
                .min_by_key(|(_, grant)| grant.signed_in_at)
                .map(|(id, _)| id.clone());
            let Some(oldest) = oldest else { break };
            kept.grants.remove(&oldest);
        }
        kept.grants.insert(id, grant);
        self.save(&kept)?;
        Ok(issued)
    }

    /// New tokens for a refresh token that was not used before. One that was
    /// ends its grant (RFC 9700 section 4.14.2).
    pub fn refresh(&self, refresh_token: &str) -> std::io::Result<Option<Issued>> {
        let mut kept = self.lock();
        let Some((id, _)) = refresh_token.split_once('.') else {
            return Ok(None);
        };
        let Some(grant) = kept.grants.get_mut(id) else {
            return Ok(None);
        };
        let issued = if grant.refresh_token == digest(refresh_token) {
            grant.refreshes += 1;
            Some(issue(
                id,
                grant,
                self.clock.now().plus(self.life),
                self.clock.now(),
            ))
        } else {
            kept.grants.remove(id);
            None
        };
        self.save(&kept)?;
        Ok(issued)
    }

    /// The grant of an access token and when the token ends.
    pub fn by_access_token(&self, access_token: &str) -> Option<(Grant, Timestamp)> {
        let (id, _) = access_token.split_once('.')?;
        let grant = self.lock().grants.get(id)?.clone();
        let digest = digest(access_token);
        let now = self.clock.now();
        let ends = grant
            .access_tokens
            .iter()
            .find(|(known, ends)| *known == digest && *ends > now)
            .map(|(_, ends)| *ends)?;
        Some((grant, ends))
    }

    /// Signed out at the provider.
    pub fn end(&self, id: &str) -> std::io::Result<()> {
        let mut kept = self.lock();
        kept.grants.remove(id);
        self.save(&kept)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Every change is complete before it can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole or not at all: a new file takes the old one's place.
    fn save(&self, kept: &Kept) -> std::io::Result<()> {
        let next = self.file.with_extension("next");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        std::fs::rename(&next, &self.file)
    }
}

fn issue(id: &str, grant: &mut Grant, ends_at: Timestamp, now: Timestamp) -> Issued {
    let issued = Issued {
        grant: id.to_owned(),
        person: grant.person.clone(),
        signed_in_at: grant.signed_in_at,
        access_token: format!("{id}.{}", secret()),
        refresh_token: format!("{id}.{}", secret()),
    };
    grant.access_tokens.retain(|(_, ends)| *ends > now);
    grant
        .access_tokens
        .push((digest(&issued.access_token), ends_at));
    grant.refresh_token = digest(&issued.refresh_token);
    issued
}

fn secret() -> String {
    URL_SAFE_NO_PAD.encode(random::bytes::<24>())
}

fn digest(text: &str) -> String {
    blake3::derive_key("vestibule 2026 demo token digest", text.as_bytes())[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests;
