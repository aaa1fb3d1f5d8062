//! Histories in plain words.

use std::fmt::Write;

use crate::app::cure::cure_for;
use crate::session::history::{Entry, Event};
use crate::telemetry::Rfc3339;

/// One line for each entry, oldest first, then what comes next.
pub(super) fn history(reference: &str, entries: &[Entry]) -> String {
    let attempt = entries.iter().any(|entry| is_of_attempt(entry.event));
    let kind = if attempt { "Sign-in" } else { "Session" };
    let provider = entries.iter().find_map(|entry| entry.provider.as_deref());
    let mut text = match provider {
        Some(provider) => format!("{kind} {reference}, provider {provider}\n"),
        None => format!("{kind} {reference}\n"),
    };
    // writing into a String cannot fail
    for entry in entries {
        let _ = write!(
            text,
            "\n{}  {}",
            Rfc3339(entry.at.as_millis()),
            happened(entry)
        );
        for step in &entry.steps {
            let _ = write!(text, "\n    {} took {} ms", step.phase, step.took_millis);
        }
    }
    if let Some(last) = entries.last() {
        let _ = write!(text, "\n\nNext: {}", next(last));
        if let Some(cure) = last
            .reason
            .as_deref()
            .and_then(|reason| cure_for(reason, provider))
        {
            let _ = write!(text, "\nFor you: {cure}");
        }
    }
    text
}

const fn is_of_attempt(event: Event) -> bool {
    matches!(
        event,
        Event::SignedIn | Event::SignInFailed | Event::SignInRestarted
    )
}

fn happened(entry: &Entry) -> String {
    let reason = entry.reason.as_deref().unwrap_or("no reason was noted");
    let link = entry.link.as_deref().unwrap_or("(not noted)");
    let mut text = match entry.event {
        Event::SignedIn => format!("signed in; it became session {link}"),
        Event::SignInFailed => match &entry.phase {
            Some(phase) => format!("failed in phase {phase}: {reason}"),
            None => format!("failed: {reason}"),
        },
        Event::SignInRestarted => format!("the gateway began it anew by itself: {reason}"),
        Event::Began => {
            let mut text = format!("began with sign-in {link}");
            if let Some(until) = entry.until {
                let until = Rfc3339(until.as_millis());
                let _ = write!(text, "; the access token lives until {until}");
            }
            if entry.reason.is_some() {
                text.push_str(", and there is no refresh token");
            }
            text
        }
        Event::Refreshed => match entry.until {
            Some(until) => format!(
                "tokens renewed; the access token lives until {}",
                Rfc3339(until.as_millis())
            ),
            None => "tokens renewed".to_owned(),
        },
        Event::RefreshFailed => match entry.until {
            Some(until) => format!(
                "tokens could not be renewed: {reason}; not tried again before {}",
                Rfc3339(until.as_millis())
            ),
            None => format!("tokens could not be renewed: {reason}"),
        },
        Event::Ended => format!("ended: {reason}"),
    };
    if let Some(took) = entry.took_millis {
        let _ = write!(text, " (after {took} ms)");
    }
    text
}

fn next(last: &Entry) -> &'static str {
    match last.event {
        Event::SignedIn => "nothing, the sign-in is done",
        Event::SignInFailed => "the person can start a new sign-in; each one has an id of its own",
        Event::SignInRestarted => "the browser was sent to the provider once more",
        Event::Began if last.reason.is_some() => {
            "the session ends with its access token, at the time above; then the person signs in again"
        }
        Event::Began | Event::Refreshed => {
            "nothing; tokens are renewed when the session is used, shortly before they end"
        }
        Event::RefreshFailed => {
            "the session goes on as long as its access token lives; the first request after the time \
             above tries again, and nobody is signed out for this"
        }
        Event::Ended => "the person signs in again; this session does not come back",
    }
}

/// Said of a reference that no history has.
pub(super) fn unknown(reference: &str) -> String {
    format!(
        "Nothing is known of {reference}.\n\
         - Is it spelled as the page or the log shows it, and is this the configuration of the gateway that showed it?\n\
         - Sign-ins are remembered for 7 days, sessions until 7 days after their end.\n\
         - A sign-in that never came back from the provider leaves nothing here, nor does one whose answer\n  \
           reached another browser (login_state_unknown).\n\
         - The reference of an ordinary request (\"ref\" in the access log) has no history. Its line in the\n  \
           access log names the session, if there was one: ask for that."
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::session::history::Step;

    #[test]
    fn row_2_10_a_failed_sign_in_reads_like_a_story() {
        let at = Timestamp(1_795_214_586_250);
        let mut entry = Entry::new(at, Event::SignInFailed)
            .in_phase("exchange")
            .because("client_credentials_rejected")
            .at_provider("main")
            .taking(Duration::from_millis(312));
        entry.steps.push(Step {
            phase: "state".into(),
            took_millis: 2,
        });
        let text = history("4k3j2h1g0f", &[entry]);
        let expected = "\
Sign-in 4k3j2h1g0f, provider main

2026-11-20T22:43:06.250Z  failed in phase exchange: client_credentials_rejected (after 312 ms)
    state took 2 ms

Next: the person can start a new sign-in; each one has an id of its own
For you: copy client id and secret from the provider's page of this client once more, into provider.main.client_id and provider.main.client_secret_file; a changed secret file is read without a restart";
        assert_eq!(text, expected);
    }

    #[test]
    fn row_2_10_the_refreshes_of_a_session_and_what_comes_next() {
        let at = Timestamp(1_795_214_586_000);
        let later = at.plus(Duration::from_secs(30));
        let entries = [
            Entry::new(at, Event::Began)
                .leading_to("4k3j2h1g0f")
                .until(later),
            Entry::new(at, Event::Refreshed).until(later),
            Entry::new(at, Event::RefreshFailed)
                .because("network_unreachable")
                .at_provider("main")
                .until(later),
        ];
        let text = history("00ff00ff00", &entries);
        for said in [
            "Session 00ff00ff00, provider main\n",
            "began with sign-in 4k3j2h1g0f; the access token lives until 2026-11-20T22:43:36.000Z\n",
            "tokens renewed; the access token lives until 2026-11-20T22:43:36.000Z\n",
            "could not be renewed: network_unreachable; not tried again before 2026-11-20T22:43:36.000Z\n",
            "nobody is signed out for this",
            "provider.main.internal_url",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        let ended = [Entry::new(at, Event::Ended).because("session_signed_out")];
        assert!(history("00ff00ff00", &ended).contains("signs in again"));
    }
}
