//! What the gateway costs, in instructions: see `benches/instructions`.

mod callgrind;
mod crowd;
mod growth;
#[cfg(test)]
#[expect(dead_code, reason = "the integration tests use the rest of it")]
#[path = "../../tests/it/harness/mod.rs"]
mod harness;
mod load;
mod memory;
mod origin;
mod page;
mod pieces;
mod profile;
mod report;
mod requests;
mod running;
mod work;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "benches/instructions",
    about = "Counts instructions with callgrind"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Cargo adds it; it means nothing.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Whole requests through the real gateway.
    Requests(requests::Options),
    /// Single pieces of the hot path.
    Pieces(pieces::Options),
    /// How cost grows with sessions, routes, groups and rules.
    Growth(growth::Options),
    /// Memory per session, in Redis and in a gateway.
    Memory(memory::Options),
    /// One piece, many times: what `pieces` runs under callgrind.
    #[command(hide = true)]
    Repeat(pieces::Repeat),
}

/// What went wrong, for the person at the terminal.
type Failure = String;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Requests(options) => requests::run(&options),
        Command::Pieces(options) => pieces::run(&options),
        Command::Growth(options) => growth::run(&options),
        Command::Memory(options) => memory::run(&options),
        Command::Repeat(options) => pieces::repeat(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::progress(&format!("failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}
