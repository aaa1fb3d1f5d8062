//! The log of the process, on standard error.

use std::io::{self, Write};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::escape::push_harmless;
use crate::base::fault::{Blame, Fault};

/// Bytes of one record. Everything of ours is far below.
const LONGEST: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log level must be error, warn, info, debug or trace")]
    Level,
    #[error("the process already has a log")]
    AlreadySet,
}

impl Fault for LogError {
    fn blame(&self) -> Blame {
        match self {
            Self::Level => Blame::Operator,
            Self::AlreadySet => Blame::Gateway,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Level => "log_level_unknown",
            Self::AlreadySet => "log_already_set",
        }
    }
}

/// Starts the log. `level` holds for the gateway's own records; libraries are
/// capped at warn, because at debug and trace they print what they carry:
/// header values, commands to the store, key material.
///
/// # Errors
/// An unknown level, or a log that was started before.
pub fn init(json: bool, level: &str, color: bool) -> Result<(), LogError> {
    subscriber(json, level, color, io::stderr)?
        .try_init()
        .map_err(|_| LogError::AlreadySet)
}

fn subscriber<W>(
    json: bool,
    level: &str,
    color: bool,
    out: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match level {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "info" => Level::INFO,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
        _ => return Err(LogError::Level),
    };
    let libraries = LevelFilter::from_level(level).min(LevelFilter::WARN);
    let filter = Targets::new()
        .with_default(libraries)
        .with_target("vestibule", level);
    let color = color && !json;
    let out = OneRecord { out, json, color };
    let layer = tracing_subscriber::fmt::layer().with_writer(out);
    let registry = tracing_subscriber::registry().with(filter);
    Ok(if json {
        Box::new(registry.with(layer.json().flatten_event(true).with_current_span(false)))
    } else {
        Box::new(registry.with(layer.with_ansi(color)))
    })
}

/// Makes sure that one event is one record: the formatter hands each over in
/// one piece.
struct OneRecord<W> {
    out: W,
    json: bool,
    color: bool,
}

struct Record<W> {
    out: W,
    json: bool,
    color: bool,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for OneRecord<W> {
    type Writer = Record<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Record {
            out: self.out.make_writer(),
            json: self.json,
            color: self.color,
        }
    }
}

impl<W: Write> Write for Record<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut record = Vec::with_capacity(bytes.len() + 1);
        if self.json && text.len() > LONGEST {
            let length = text.len();
            write!(
                record,
                "{{\"level\":\"WARN\",\"message\":\"record dropped, it was too long\",\"length\":{length}}}"
            )?;
        } else {
            for (at, character) in text.char_indices() {
                if record.len() > LONGEST && !self.json {
                    record.extend_from_slice("…".as_bytes());
                    break;
                }
                if self.color && is_color(&text[at..]) {
                    record.push(b'\x1b');
                } else {
                    push_harmless(&mut record, character);
                }
            }
        }
        record.push(b'\n');
        self.out.write_all(&record)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// `ESC [ 1 ; 32 m`. The formatter escapes the sequences of a message but not
/// those of a field that is printed with `%`; a colour does no harm, anything
/// else is none of the formatter's.
fn is_color(text: &str) -> bool {
    text.strip_prefix("\x1b[").is_some_and(|rest| {
        let rest = rest.trim_start_matches(|one: char| one.is_ascii_digit() || one == ';');
        rest.starts_with('m')
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool, level: &str, color: bool, events: impl FnOnce()) -> String {
        let memory = Memory::default();
        let out = memory.clone();
        let subscriber = subscriber(json, level, color, move || out.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, events);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn sec_log_01_libraries_are_silent_at_trace() {
        for json in [true, false] {
            let text = logged(json, "trace", false, || {
                for_libraries();
                tracing::trace!("ours");
            });
            assert!(!text.contains("SECRET"), "{text}");
            assert!(text.contains("ours") && text.contains("broken"), "{text}");
        }
    }

    fn for_libraries() {
        tracing::trace!(target: "hyper::proto", "SECRET");
        tracing::debug!(target: "h2::codec", "SECRET");
        tracing::debug!(target: "rustls::client", "SECRET");
        tracing::info!(target: "redis", "SECRET");
        tracing::trace!(target: "anything_else", "SECRET");
        tracing::warn!(target: "hyper", "broken");
    }

    #[test]
    fn libraries_are_not_louder_than_asked() {
        let text = logged(true, "error", false, for_libraries);
        assert_eq!(text, "");
    }

    #[test]
    fn sec_log_03_one_event_is_one_record() {
        let hostile = "a\r\nforged\x1b[2J\u{202e}\u{85}\u{2028}\"}";
        let event = || tracing::info!(user = %hostile, shown = ?hostile, "{hostile}");
        for (json, color) in [(true, false), (false, false), (false, true)] {
            let text = logged(json, "info", color, event);
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.contains("\x1b[2J"), "{text:?}");
            let bad = |one: char| one.is_control() && !(color && one == '\x1b');
            assert!(!text.trim_end_matches('\n').contains(bad), "{text:?}");
            assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
            if json {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["user"], hostile);
            }
        }
        let long = "x".repeat(100_000);
        for json in [true, false] {
            let text = logged(json, "info", false, || tracing::info!(agent = %long, "m"));
            assert!(text.len() < LONGEST + 16, "{}", text.len());
            assert_eq!(text.matches('\n').count(), 1);
        }
    }

    #[test]
    fn an_unknown_level_is_an_error() {
        let result = subscriber(true, "verbose", false, io::sink);
        assert!(matches!(result, Err(LogError::Level)));
    }
}
