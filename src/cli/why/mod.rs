//! `vestibule why`: the history of an attempt or a session, and what comes
//! next.

mod words;

use std::process::ExitCode;

use super::arguments::WhySettings;
use super::serve::control_runtime;
use super::terminal::{Stream, line};
use crate::app;
use crate::config::checked::Config;
use crate::config::{Sources, inspect};
use crate::session::history::{Entry, Event};

/// Longer than anything that is shown.
const LONGEST: usize = 64;

/// 0 something is known, 1 nothing is or the store cannot be asked, 2 no
/// reference, or a faulty configuration.
pub(super) fn why(settings: &WhySettings) -> ExitCode {
    let Some(reference) = reference(&settings.reference) else {
        line(
            Stream::Error,
            "That is no reference: write the ten letters and digits that an error page shows at its \
             end, or login.attempt or session.reference of the log.",
        );
        return ExitCode::from(2);
    };
    let loaded = match inspect(&Sources::of_process(settings.config.clone())) {
        Ok(loaded) => loaded,
        Err(problems) => {
            line(Stream::Error, &problems.to_string());
            return ExitCode::from(2);
        }
    };
    let runtime = match control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            line(
                Stream::Error,
                &format!("the store cannot be asked: {error}"),
            );
            return ExitCode::FAILURE;
        }
    };
    let told = runtime.block_on(tell(&loaded.config, &reference));
    runtime.shutdown_background();
    match told {
        Ok(Some(text)) => {
            line(Stream::Output, &text);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            line(Stream::Error, &words::unknown(&reference));
            ExitCode::FAILURE
        }
        Err(error) => {
            let detail = match &error {
                app::AppError::Store(error) => error.to_string(),
                error => error.to_string(),
            };
            line(
                Stream::Error,
                &format!("the store cannot be asked: {detail}"),
            );
            ExitCode::FAILURE
        }
    }
}

/// Both kinds are ten small letters and digits; pages and people put marks
/// around them.
fn reference(written: &str) -> Option<String> {
    let last = written
        .rsplit(['·', '=', ' '])
        .find(|part| !part.trim().is_empty())?;
    let text: String = last
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|one| one.to_ascii_lowercase())
        .collect();
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

/// The history, and that of the session which a sign-in became.
async fn tell(config: &Config, reference: &str) -> Result<Option<String>, app::AppError> {
    let entries = app::history(config, reference).await?;
    let Some(last) = entries.last() else {
        return Ok(None);
    };
    let mut text = words::history(reference, &entries);
    if let (Event::SignedIn, Some(session)) = (last.event, &last.link) {
        let following: Vec<Entry> = app::history(config, session).await?;
        if !following.is_empty() {
            text.push_str("\n\n");
            text.push_str(&words::history(session, &following));
        }
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_taken_as_pages_and_logs_show_it() {
        for written in [
            "4k3j2h1g0f",
            " 4K3J2H1G0F ",
            "\"4k3j2h1g0f\"",
            "network_unreachable · 4k3j2h1g0f",
            "login.attempt=4k3j2h1g0f",
        ] {
            assert_eq!(
                reference(written).as_deref(),
                Some("4k3j2h1g0f"),
                "{written}"
            );
        }
        assert_eq!(reference("…"), None);
        assert_eq!(reference(""), None);
        assert_eq!(reference(&"a".repeat(65)), None);
    }
}
