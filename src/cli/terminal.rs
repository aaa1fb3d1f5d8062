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

/// An error and what is behind it, on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
