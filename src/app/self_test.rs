//! Asks each provider now and then what a sign-in would need of it, so that
//! operators hear of a rotated secret before people do. Off by default.
//!
//! Limits: of replicas that share a store one asks at a time, and each tells
//! changes of what it saw itself: after a fault was found by one, another may
//! be the one that finds it mended, and says nothing.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::cure::cure_for;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::config::checked::{Config, Limits, Provider};
use crate::config::sentence;
use crate::provider::{Finding, SelfCheck, Step, Verdict};
use crate::session::sessions::Sessions;
use crate::session::store::Once;
use crate::telemetry::Telemetry;

/// How much shorter than the interval it is looked whether it is time.
const LOOKS: u32 = 24;

struct Tester {
    providers: Vec<(Provider, String)>,
    limits: Limits,
    clock: Clock,
    sessions: Arc<Sessions>,
    telemetry: Telemetry,
    /// What was found wrong last.
    wrong: HashSet<(String, &'static str)>,
}

/// Runs until it is dropped; at once if the configuration wants no test.
pub(super) async fn watch(
    config: Config,
    clock: Clock,
    sessions: Arc<Sessions>,
    telemetry: Telemetry,
) {
    let Some(every) = config.self_test else {
        return;
    };
    let uris = sentence::redirect_uris(&config).into_iter();
    let providers = config.providers.values().cloned();
    let mut tester = Tester {
        providers: providers.zip(uris.map(|(_, uri)| uri)).collect(),
        limits: config.limits,
        clock,
        sessions,
        telemetry,
        wrong: HashSet::new(),
    };
    loop {
        tester.look(every).await;
        tokio::time::sleep(every / LOOKS).await;
    }
}

impl Tester {
    /// Tests every provider whose turn it is and that no other replica tests.
    async fn look(&mut self, every: Duration) {
        for (provider, redirect_uri) in self.providers.clone() {
            let key = provider.id.0.as_bytes();
            match self.sessions.once("self-test", key, every).await {
                Ok(Once::First) => self.test(provider, redirect_uri).await,
                Ok(Once::Seen(_)) => {}
                // The store has its own lines in the log.
                Err(error) => {
                    tracing::debug!(reason = error.reason(), "no self-test without the store");
                }
            }
        }
    }

    async fn test(&mut self, provider: Provider, redirect_uri: String) {
        let id = provider.id.0.clone();
        let check = SelfCheck::new(provider, &self.limits, self.clock.clone(), redirect_uri);
        match check {
            Ok(check) => {
                for finding in check.run().await {
                    self.tell(&id, &finding);
                }
            }
            Err(error) => {
                let finding = Finding {
                    step: Step::Discovery,
                    verdict: Verdict::Bad,
                    reason: Some(error.reason()),
                    said: error.to_string(),
                };
                self.tell(&id, &finding);
            }
        }
    }

    /// What cannot be told changes nothing.
    fn tell(&mut self, id: &str, finding: &Finding) {
        let step = finding.step.as_str();
        let good = match finding.verdict {
            Verdict::Good => true,
            Verdict::Bad => false,
            Verdict::Doubtful => return,
        };
        self.telemetry.self_test(id, step, good, self.clock.now());
        let what = (id.to_owned(), step);
        if good {
            if self.wrong.remove(&what) {
                tracing::info!(
                    provider.id = id,
                    self_test.check = step,
                    detail = finding.said,
                    "self-test: this is good again"
                );
            }
        } else if self.wrong.insert(what) {
            let reason = finding.reason.unwrap_or_default();
            tracing::error!(
                provider.id = id,
                self_test.check = step,
                reason,
                detail = finding.said,
                cure = cure_for(reason, Some(id)),
                "self-test: sign-ins with this provider will fail"
            );
        }
    }
}
