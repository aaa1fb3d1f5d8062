//! What each provider says.

use super::{Answer, Question};
use crate::app::cure::cure_for;
use crate::base::clock::Clock;
use crate::config::checked::Config;
use crate::config::sentence;
use crate::provider::{Finding, SelfCheck};

pub(super) fn ask(config: &Config) -> Vec<Question> {
    let uris = sentence::redirect_uris(config);
    config
        .providers
        .values()
        .zip(uris)
        .map(|(provider, (_, redirect_uri))| {
            let about = format!("provider {} ({})", provider.id, provider.issuer);
            let provider = provider.clone();
            let limits = config.limits.clone();
            let answers = tokio::spawn(async move {
                let id = provider.id.0.clone();
                let check = SelfCheck::new(provider, &limits, Clock::system(), redirect_uri);
                match check {
                    Ok(check) => {
                        let findings = check.run().await;
                        findings.into_iter().map(|one| answer(one, &id)).collect()
                    }
                    Err(error) => vec![Answer::of_fault(&error, Some(&id))],
                }
            });
            Question { about, answers }
        })
        .collect()
}

fn answer(finding: Finding, id: &str) -> Answer {
    Answer {
        verdict: finding.verdict,
        said: finding.said,
        cure: finding.reason.and_then(|reason| cure_for(reason, Some(id))),
    }
}
