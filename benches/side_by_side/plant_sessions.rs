//! Sessions by the hundred thousand, without a sign-in each: written by the
//! library itself, as one more replica of a gateway would.
//!
//! `plant-sessions CONFIG ISSUER COUNT` prints one cookie a line. The configuration
//! names the store and the keys of the gateway that is measured, and
//! addresses of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use vestibule::app::Gateway;
use vestibule::base::clock::Clock;
use vestibule::base::random;
use vestibule::config::{self, Sources};
use vestibule::model::identity::{Groups, Identity, ProviderId};
use vestibule::model::tokens::TokenSet;
use vestibule::session::cookie::SessionCookies;
use vestibule::session::sessions::{NewSession, Sessions};
use vestibule::session::ticket::Scope;

/// Writes under way at once.
const AT_ONCE: usize = 32;

const MOST_TRIES: u32 = 50;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if words == ["--bench"] {
        eprintln!("plant-sessions is a tool of benches/side-by-side, no benchmark by itself");
        return ExitCode::SUCCESS;
    }
    let done = match words.as_slice() {
        [config, issuer, count] => run(config, issuer, count),
        _ => Err("usage: plant-sessions CONFIG ISSUER COUNT".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("plant-sessions: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, issuer: &str, count: &str) -> Result<(), Box<dyn Error>> {
    let count: usize = count.parse()?;
    let sources = Sources {
        file: Some(file.into()),
        environment: Vec::new(),
    };
    let config = config::load(&sources).map_err(|faults| faults.to_string())?;
    let config = config.config;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = Clock::system();
        let gateway = Gateway::start(&config, clock.clone()).await?;
        let cookies = SessionCookies::new(&config.server, &config.session, clock);
        let scope = cookies.home_scope();
        let name = cookies.of(scope).name;
        let sessions = gateway.sessions();
        let planting = (0..count).map(|number| person(sessions, issuer, scope, number));
        let mut tickets = stream::iter(planting).buffered(AT_ONCE);
        let mut out = BufWriter::new(io::stdout().lock());
        while let Some(ticket) = tickets.next().await {
            writeln!(out, "{name}={}", ticket?)?;
        }
        out.flush()?;
        drop(tickets);
        gateway.drain().await;
        Ok(())
    })
}

/// Somebody with the claims and tokens of an ordinary provider.
async fn person(
    sessions: &Sessions,
    issuer: &str,
    scope: &Scope,
    number: usize,
) -> Result<String, Box<dyn Error>> {
    let subject = format!("person-{number}");
    let now = Clock::system().now();
    let identity = Identity {
        provider: ProviderId("main".to_owned()),
        issuer: issuer.to_owned(),
        username: Some(subject.clone()),
        name: Some(format!("Person {number}")),
        email: Some(format!("{subject}@corp.test")),
        email_verified: true,
        groups: Groups::Known(vec!["staff".to_owned(), "admins".to_owned()]),
        claims: BTreeMap::new(),
        provider_session: None,
        read_at: now,
        subject,
    };
    let tokens = TokenSet {
        access_token: "a".repeat(800).into(),
        refresh_token: Some("r".repeat(43).into()),
        id_token: Some("i".repeat(800).into()),
        access_expires_at: now.plus(Duration::from_secs(86_400)),
        received_at: now,
        scope: None,
    };
    let seed = random::bytes::<32>();
    let draft = sessions.draft(NewSession {
        identity: &identity,
        tokens: &tokens,
        scope,
        seed: &seed,
        user_agent: None,
        began_at: now,
    })?;
    // A store that is busy with so many is asked again.
    let mut tries = 1;
    while let Err(error) = sessions.keep(&draft).await {
        if tries == MOST_TRIES {
            return Err(error.into());
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(sessions.ticket_text(&draft.ticket))
}
