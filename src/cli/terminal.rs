//! The one place that prints.

use std::io::Write;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// What was asked for.
    Output,
    /// Why it could not be done.
    Error,
}

/// Writes a text and a line break. Whoever closed the other end (`| head`)
/// does not want the rest, so a failure is no error.
pub fn line(stream: Stream, text: &str) {
    let written = match stream {
        Stream::Output => writeln!(std::io::stdout().lock(), "{text}"),
        Stream::Error => writeln!(std::io::stderr().lock(), "{text}"),
    };
    drop(written);
}
