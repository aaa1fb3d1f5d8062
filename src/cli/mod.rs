//! The command line: arguments, the commands that only read the
//! configuration, and the one place that prints.
//!
//! Owns: what a person types and reads in a terminal.
//! Must not know: how requests are served; `app` and `demo` run the gateway.

mod arguments;
mod check;
mod demo;
mod explain;
mod healthcheck;
mod live;
mod names;
mod serve;
mod terminal;
mod why;

use std::process::ExitCode;

use self::arguments::{Command, KeysCommand, NamesCommand};
use crate::config::Sources;

/// Does what the arguments of this process say. Exit codes: 0 fine, 1 the
/// thing checked is wrong, 2 wrong usage.
pub fn main() -> ExitCode {
    match arguments::parse(std::env::args_os()) {
        Command::Demo(settings) => demo::demo(&settings),
        Command::Serve { config } => serve::serve(&Sources::of_process(config)),
        Command::Check { config, live } => {
            let sources = Sources::of_process(config);
            if live {
                live::check(&sources)
            } else {
                check::check(&sources)
            }
        }
        Command::Explain(settings) => {
            let sources = Sources::of_process(settings.config.clone());
            explain::explain(&settings, &sources)
        }
        Command::Why(settings) => why::why(&settings),
        Command::Schema => check::print_schema(),
        Command::Keys(KeysCommand::Generate) => check::generate_keys(),
        Command::Names(NamesCommand::Release(settings)) => names::release(&settings),
        Command::Healthcheck { config, address } => {
            healthcheck::healthcheck(address, &Sources::of_process(config))
        }
    }
}
