//! Codes, access tokens and refresh tokens as a strict provider keeps them.

use std::collections::{HashMap, HashSet};

use vestibule::base::clock::{Clock, Timestamp};
use vestibule::base::random;

use super::script::User;
use super::signing::b64;

#[derive(Debug, Clone)]
pub(super) struct Code {
    pub user: User,
    pub redirect_uri: String,
    pub challenge: String,
    pub nonce: Option<String>,
    pub scope: String,
    pub spent: bool,
}

#[derive(Debug, Clone)]
struct RefreshToken {
    family: u64,
    user: User,
    scope: String,
    /// When it was spent, and the token that took its place.
    spent: Option<(Timestamp, String)>,
}

#[derive(Default)]
pub(super) struct Grants {
    pub codes: HashMap<String, Code>,
    access: HashMap<String, (User, Timestamp)>,
    refresh: HashMap<String, RefreshToken>,
    revoked: HashSet<u64>,
    families: u64,
    pub reuse: usize,
    /// Refresh tokens that bought a successor.
    pub rotations: usize,
    /// Whose refresh token came, and how often nobody answered.
    unanswered: HashMap<String, (String, usize)>,
    /// Every secret value that was handed out.
    pub issued: Vec<String>,
}

/// What came of presenting a refresh token.
pub(super) enum Refreshed {
    Granted {
        user: User,
        scope: String,
        refresh_token: Option<String>,
    },
    Unknown,
    Spent,
}

impl Grants {
    pub(super) fn code(&mut self, code: Code) -> String {
        let value = self.secret("code");
        self.codes.insert(value.clone(), code);
        value
    }

    pub(super) fn access_token(&mut self, user: &User, ends: Timestamp) -> String {
        let value = self.secret("access");
        self.access.insert(value.clone(), (user.clone(), ends));
        value
    }

    /// Begins a new family.
    pub(super) fn refresh_token(&mut self, user: &User, scope: &str) -> String {
        self.families += 1;
        self.insert(self.families, user.clone(), scope.to_owned())
    }

    /// Who an access token belongs to, while it lives.
    pub(super) fn bearer(&self, token: &str) -> Option<User> {
        let (user, ends) = self.access.get(token)?;
        (*ends > Clock::system().now()).then(|| user.clone())
    }

    pub(super) fn refresh(&mut self, token: &str, rotation: bool, grace: u64) -> Refreshed {
        let Some(found) = self.refresh.get(token).cloned() else {
            return Refreshed::Unknown;
        };
        if self.revoked.contains(&found.family) {
            return Refreshed::Unknown;
        }
        let now = Clock::system().now();
        if let Some((at, successor)) = &found.spent {
            if now.since(*at).as_secs() < grace {
                let refresh_token = Some(successor.clone());
                return Refreshed::Granted {
                    user: found.user,
                    scope: found.scope,
                    refresh_token,
                };
            }
            // A spent token that comes back is taken for stolen: the whole family ends.
            self.reuse += 1;
            self.revoked.insert(found.family);
            return Refreshed::Spent;
        }
        let mut refresh_token = None;
        if rotation {
            let successor = self.insert(found.family, found.user.clone(), found.scope.clone());
            if let Some(old) = self.refresh.get_mut(token) {
                old.spent = Some((now, successor.clone()));
            }
            refresh_token = Some(successor);
            self.rotations += 1;
        }
        Refreshed::Granted {
            user: found.user,
            scope: found.scope,
            refresh_token,
        }
    }

    /// Nothing happens to the token, and whoever sent it does not know.
    pub(super) fn hang_up(&mut self, token: &str) {
        if let Some(found) = self.refresh.get(token) {
            let subject = found.user.subject.clone();
            let entry = self.unanswered.entry(token.to_owned());
            entry.or_insert((subject, 0)).1 += 1;
        }
    }

    pub(super) fn unanswered(&self) -> Vec<(String, usize)> {
        self.unanswered.values().cloned().collect()
    }

    /// A refresh token with its family; an access token alone.
    pub(super) fn revoke(&mut self, token: &str) {
        self.access.remove(token);
        let family = self.refresh.get(token).map(|found| found.family);
        self.revoked.extend(family);
    }

    pub(super) fn revoke_everything(&mut self) {
        self.revoked.extend(1..=self.families);
    }

    pub(super) fn lose_refresh_tokens(&mut self) {
        self.refresh.clear();
    }

    fn insert(&mut self, family: u64, user: User, scope: String) -> String {
        let value = self.secret("refresh");
        let token = RefreshToken {
            family,
            user,
            scope,
            spent: None,
        };
        self.refresh.insert(value.clone(), token);
        value
    }

    fn secret(&mut self, kind: &str) -> String {
        let value = format!("{kind}-{}", b64(random::bytes::<24>()));
        self.issued.push(value.clone());
        value
    }
}
