//! `vestibule demo`: the ordinary gateway in front of the embedded
//! demonstration.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::arguments::DemoSettings;
use super::serve::{control_runtime, wait_for_stop};
use super::terminal::{Stream, line, with_causes};
use crate::app::Gateway;
use crate::base::clock::Clock;
use crate::config;
use crate::demo::{self, Revoker};
use crate::session::sessions::Sessions;
use crate::telemetry;

pub(super) fn demo(settings: &DemoSettings) -> ExitCode {
    let run = telemetry::init(false, "warn", std::io::stderr().is_terminal())
        .map_err(|error| error.to_string())
        .and_then(|()| control_runtime().map_err(|error| error.to_string()))
        .and_then(|runtime| {
            let result = runtime.block_on(run(settings));
            runtime.shutdown_background();
            result
        });
    match run {
        Ok(()) => {
            line(
                Stream::Output,
                "Goodbye. Sessions are kept for the next time.",
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            line(Stream::Error, &format!("the demo cannot run: {reason}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: &DemoSettings) -> Result<(), String> {
    let data_dir = settings.data_dir.clone().unwrap_or_else(default_data_dir);
    let parts = demo::start(
        settings.port,
        &data_dir,
        Duration::from_secs(settings.token_lifetime),
    )
    .await
    .map_err(|error| with_causes(&error))?;
    let loaded = config::parse(&parts.config, "demo", &[], &data_dir)
        .map_err(|problems| problems.to_string())?;
    let gateway = Gateway::start(&loaded.config, Clock::system())
        .await
        .map_err(|error| format!("{} (--port chooses another port)", with_causes(&error)))?;
    parts.connect(Arc::new(Elsewhere(Arc::clone(gateway.sessions()))));
    line(Stream::Output, &parts.greeting);
    wait_for_stop().await;
    tokio::select! {
        () = gateway.drain() => {}
        () = wait_for_stop() => {}
    }
    Ok(())
}

/// The button "end this session elsewhere": what an operator or another
/// server would do.
struct Elsewhere(Arc<Sessions>);

impl Revoker for Elsewhere {
    fn revoke(&self, issuer: &str, subject: &str) -> BoxFuture<'static, Result<usize, String>> {
        let sessions = Arc::clone(&self.0);
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        async move {
            sessions
                .revoke_subject(&issuer, &subject)
                .await
                .map_err(|error| error.to_string())
        }
        .boxed()
    }
}

/// `$XDG_STATE_HOME/vestibule-demo`, else `~/.local/state/vestibule-demo`,
/// else a folder below the system's temporary one.
fn default_data_dir() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir);
    state.join("vestibule-demo")
}
