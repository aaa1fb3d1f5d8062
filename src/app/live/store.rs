//! Whether the session store takes what a gateway writes, and keeps it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Question};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::config::checked::{self, Config};
use crate::session::sessions::{SessionError, Sessions, Settings};
use crate::session::store::redis::{Facts, RedisStore};
use crate::session::store::sqlite::SqliteStore;
use crate::session::store::{Store, StoreError};

/// A first connection may take longer than an operation.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn ask(config: &Config) -> Question {
    let settings = Settings {
        namespace: String::new(),
        lifetime: config.session.lifetime,
        idle_timeout: config.session.idle_timeout,
    };
    let ring = config.keys.ring.clone();
    let sessions = move |store: Arc<dyn Store>, namespace: String| {
        let settings = Settings {
            namespace,
            ..settings
        };
        Sessions::new(store, ring, Clock::system(), settings)
    };
    let (about, answers) = match &config.store {
        checked::Store::Memory => (
            "session store (memory)".to_owned(),
            tokio::spawn(async { vec![Answer::good("it lives inside the gateway")] }),
        ),
        checked::Store::Embedded { path } => (
            format!("session store {}", path.display()),
            tokio::spawn(embedded(path.clone(), sessions)),
        ),
        checked::Store::Redis(redis) => (
            format!("session store {}", redis.url),
            tokio::spawn(shared(redis.clone(), config.limits.store_timeout, sessions)),
        ),
    };
    Question { about, answers }
}

async fn embedded(
    path: PathBuf,
    sessions: impl FnOnce(Arc<dyn Store>, String) -> Sessions,
) -> Vec<Answer> {
    // Who may not look does not know.
    if let Ok(false) = path.try_exists() {
        return vec![Answer::good(
            "there is no database yet; the first start of the gateway makes it",
        )];
    }
    let store = match SqliteStore::join(&path, Clock::system()) {
        Ok(store) => store,
        Err(error) => return vec![Answer::of_fault(&error, None)],
    };
    let namespace = store.namespace().to_owned();
    let sessions = sessions(Arc::new(store), namespace);
    if let Err(error) = sessions.probe().await {
        return vec![Answer::of_fault(&error, None)];
    }
    let mut answers = vec![Answer::good("it takes writes and gives them back")];
    answers.extend(keys(&sessions).await);
    answers
}

async fn shared(
    settings: checked::Redis,
    timeout: Duration,
    sessions: impl FnOnce(Arc<dyn Store>, String) -> Sessions,
) -> Vec<Answer> {
    let store = match RedisStore::new(&settings, timeout) {
        Ok(store) => Arc::new(store),
        Err(error) => return vec![Answer::of_fault(&error, None)],
    };
    let sessions = sessions(Arc::clone(&store) as Arc<dyn Store>, settings.key_prefix);
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match sessions.probe().await {
            Ok(()) => break,
            Err(SessionError::Store(StoreError::Unavailable(_)))
                if tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return vec![Answer::of_fault(&error, None)],
        }
    }
    let mut answers = vec![Answer::good("it takes writes and gives them back")];
    match store.facts().await {
        Ok(facts) => answers.extend(lasting(&facts)),
        Err(error) => answers.push(Answer::doubtful(
            format!("it does not tell about itself: {error}"),
            "see that it persists (appendonly yes) and evicts nothing (maxmemory-policy noeviction)",
        )),
    }
    answers.extend(keys(&sessions).await);
    answers
}

/// What the server's settings mean for sessions.
fn lasting(facts: &Facts) -> Vec<Answer> {
    let mut answers = Vec::new();
    if !facts.server.is_empty() {
        answers.push(Answer::good(format!("it is {}", facts.server)));
    }
    match facts.eviction.as_deref() {
        Some("noeviction") => answers.push(Answer::good("it evicts nothing when memory is full")),
        Some(policy) => answers.push(Answer::doubtful(
            format!("it evicts sessions when memory is full ({policy})"),
            "set maxmemory-policy noeviction",
        )),
        None => answers.push(Answer::doubtful(
            "whether it evicts sessions when memory is full cannot be told",
            "see that maxmemory-policy is noeviction",
        )),
    }
    match facts.persistent {
        Some(true) => answers.push(Answer::good("sessions survive its restart")),
        Some(false) => answers.push(Answer::doubtful(
            "sessions do not survive its restart: it keeps nothing on disk",
            "set appendonly yes",
        )),
        None => answers.push(Answer::doubtful(
            "whether sessions survive its restart cannot be told",
            "see that appendonly is yes",
        )),
    }
    match &facts.tells_changes {
        Some(Ok(())) => answers.push(Answer::good(
            "it tells of changes, so sessions in use are not read again and again",
        )),
        Some(Err(why)) => answers.push(Answer::doubtful(
            format!("it does not tell of changes, so each request reads it: {why}"),
            "allow the user of redis.username the command CLIENT TRACKING (+client|tracking)",
        )),
        None => {}
    }
    answers
}

async fn keys(sessions: &Sessions) -> Option<Answer> {
    Some(match sessions.remembered_keys().await {
        Ok((0, 0)) => Answer::good("it holds no session yet, so every key ring fits"),
        Ok((_, 0)) => Answer::good("the key ring fits the sessions in it"),
        Ok((known, unknown)) => Answer::doubtful(
            format!(
                "{unknown} of the {} keys that wrote its sessions are not in the key ring: those sessions look signed out",
                known + unknown
            ),
            "keep a key in keys.file for session.lifetime after another one began to write",
        ),
        // Told as the fault of the probe already.
        Err(error) if error.reason() == "store_unavailable" => return None,
        Err(error) => Answer::of_fault(&error, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::live::Verdict;

    #[test]
    fn row_1_8_settings_that_lose_sessions_are_worth_a_look() {
        let verdicts = |eviction: Option<&str>, persistent| {
            let facts = Facts {
                server: "redis 7.0.15".into(),
                eviction: eviction.map(str::to_owned),
                persistent,
                tells_changes: Some(Err("NOPERM".into())),
            };
            let answers = lasting(&facts);
            answers.iter().map(|one| one.verdict).collect::<Vec<_>>()
        };
        use Verdict::{Doubtful, Good};
        let lasts = verdicts(Some("noeviction"), Some(true));
        assert_eq!(lasts, [Good, Good, Good, Doubtful]);
        let evicting = verdicts(Some("allkeys-lru"), Some(false));
        assert_eq!(evicting, [Good, Doubtful, Doubtful, Doubtful]);
        assert_eq!(verdicts(None, None), [Good, Doubtful, Doubtful, Doubtful]);
    }
}
