//! `vestibule serve`: run until told to stop, then drain.

use std::io::IsTerminal;
use std::process::ExitCode;

use super::terminal::{Stream, line, with_causes};
use crate::app::{Gateway, banner};
use crate::base::clock::Clock;
use crate::config::{self, Sources};
use crate::telemetry;

/// Runs the gateway on a control runtime of its own; the workers have theirs.
pub(super) fn serve(sources: &Sources) -> ExitCode {
    let loaded = match config::load(sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            line(Stream::Error, &problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    for warning in &loaded.warnings {
        line(Stream::Error, &format!("warning: {warning}\n"));
    }
    let config = &loaded.config;
    let color = std::io::stderr().is_terminal();
    let runtime = telemetry::init(config.log.json, &config.log.level, color)
        .map_err(|error| error.to_string())
        .and_then(|()| control_runtime().map_err(|error| error.to_string()));
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(reason) => {
            line(Stream::Error, &format!("cannot start: {reason}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(async {
        match Gateway::start(config, Clock::system()).await {
            Ok(gateway) => {
                line(Stream::Error, banner(config).trim_end());
                tracing::info!(version = env!("CARGO_PKG_VERSION"), "serving");
                wait_for_stop().await;
                tracing::info!("stopping: requests in flight may finish");
                tokio::select! {
                    () = gateway.drain() => {}
                    () = wait_for_stop() => tracing::warn!("stopped at once"),
                }
                ExitCode::SUCCESS
            }
            Err(error) => {
                line(
                    Stream::Error,
                    &format!("cannot start: {}", with_causes(&error)),
                );
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_background();
    code
}

pub(super) fn control_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
}

/// SIGTERM, SIGINT (Ctrl-C).
pub(super) async fn wait_for_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the system's own ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
