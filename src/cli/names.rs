//! `vestibule names release`: a name that belonged to somebody is free again.

use std::process::ExitCode;

use super::arguments::ReleaseSettings;
use super::serve::control_runtime;
use super::terminal::{Stream, line};
use crate::app;
use crate::config::{Sources, inspect};

/// 0 released, 1 nobody had it or the store cannot be asked, 2 faulty
/// configuration.
pub(super) fn release(settings: &ReleaseSettings) -> ExitCode {
    let loaded = match inspect(&Sources::of_process(settings.config.clone())) {
        Ok(loaded) => loaded,
        Err(problems) => {
            line(Stream::Error, &problems.to_string());
            return ExitCode::from(2);
        }
    };
    let (kind, name) = match (&settings.username, &settings.email) {
        (Some(name), _) => ("username", name),
        (None, Some(name)) => ("email", name),
        (None, None) => unreachable!("the arguments ask for one of them"),
    };
    let released = control_runtime()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            let work = app::release_name(&loaded.config, kind, name);
            let released = runtime.block_on(work).map_err(|error| error.to_string());
            runtime.shutdown_background();
            released
        });
    match released {
        Ok(true) => {
            line(
                Stream::Output,
                "Released: it belongs to the next person who brings it, within a minute.",
            );
            ExitCode::SUCCESS
        }
        Ok(false) => {
            line(Stream::Error, "Nobody has this name.");
            ExitCode::FAILURE
        }
        Err(reason) => {
            line(Stream::Error, &format!("cannot be released: {reason}"));
            ExitCode::FAILURE
        }
    }
}
