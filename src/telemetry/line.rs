//! How a request is written down: one line in one of two formats.
//!
//! Lines resemble each other. What most of them share stands ready in one
//! piece, because a line is what every request pays for.

use super::escape::{push_escaped, push_plain};
use super::handle::{RequestLine, micros};
use super::rfc3339::Second;

/// The longest line that is written stays below 4 KiB: the sum of the limits
/// of its fields.
const LONGEST_PATH: usize = 2048;
const LONGEST_HOST: usize = 256;
const LONGEST_WORD: usize = 64;

/// The words of a line. A key comes with everything around it, so that a
/// field is one copy and its value.
struct Words {
    begin: &'static str,
    end: &'static str,
    reference: &'static str,
    method: &'static str,
    host: &'static str,
    path: &'static str,
    status: &'static str,
    bytes: &'static str,
    duration: &'static str,
    client: &'static str,
    route: &'static str,
    rule: &'static str,
    lane: &'static str,
    decision: &'static str,
    reason: &'static str,
    session: &'static str,
}

const JSON: Words = Words {
    begin: "{\"time\":\"",
    end: "}\n",
    reference: "\",\"ref\":\"",
    method: "\",\"method\":\"",
    host: "\",\"host\":\"",
    path: "\",\"path\":\"",
    status: "\",\"status\":",
    bytes: ",\"bytes\":",
    duration: ",\"duration_us\":",
    client: ",\"client\":\"",
    route: ",\"route\":\"",
    rule: ",\"rule\":\"",
    lane: ",\"lane\":\"",
    decision: ",\"decision\":\"",
    reason: ",\"reason\":\"",
    session: ",\"session\":\"",
};

const TEXT: Words = Words {
    begin: "time=\"",
    end: "\n",
    reference: "\" ref=\"",
    method: "\" method=\"",
    host: "\" host=\"",
    path: "\" path=\"",
    status: "\" status=",
    bytes: " bytes=",
    duration: " duration_us=",
    client: " client=\"",
    route: " route=\"",
    rule: " rule=\"",
    lane: " lane=\"",
    decision: " decision=\"",
    reason: " reason=\"",
    session: " session=\"",
};

/// Writes the lines of one thread.
#[derive(Debug, Default)]
pub(super) struct Pen {
    second: Second,
    asked: Asked,
    decided: Decided,
}

/// What was asked last: its method and host as they are written.
#[derive(Debug, Default)]
struct Asked {
    method: String,
    host: String,
    port: Option<u16>,
    /// Empty before the first line.
    text: Vec<u8>,
}

/// What was decided last, as it is written; without a rule.
#[derive(Debug, Default)]
struct Decided {
    route: Option<String>,
    lane: Option<&'static str>,
    decision: Option<&'static str>,
    reason: Option<&'static str>,
    text: Vec<u8>,
}

impl Pen {
    /// Appends one line: one object, or `key=value`.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, line: &RequestLine<'_>, json: bool) {
        // Two functions, each of which knows its words.
        if json {
            self.append::<true>(out, line);
        } else {
            self.append::<false>(out, line);
        }
    }

    fn append<const IS_JSON: bool>(&mut self, out: &mut Vec<u8>, line: &RequestLine<'_>) {
        let words = if IS_JSON { &JSON } else { &TEXT };
        put(out, words.begin);
        self.second.append(out, line.time.as_millis());
        put(out, words.reference);
        out.extend_from_slice(line.reference);
        if !self.asked.is_of(line) {
            self.asked = Asked::of(line, words);
        }
        out.extend_from_slice(&self.asked.text);
        push_path(out, line.path);
        put(out, words.status);
        push_number(out, line.status.into());
        if let Some(bytes) = line.bytes {
            put(out, words.bytes);
            push_number(out, bytes);
        }
        put(out, words.duration);
        push_number(out, micros(line.duration));
        put(out, words.client);
        out.extend_from_slice(line.client);
        out.push(b'"');
        if line.rule.is_some() {
            push_decided(out, line, words);
        } else {
            if !self.decided.is_of(line) {
                self.decided = Decided::of(line, words);
            }
            out.extend_from_slice(&self.decided.text);
        }
        push_word(out, words.session, line.session);
        put(out, words.end);
    }
}

impl Asked {
    fn is_of(&self, line: &RequestLine<'_>) -> bool {
        !self.text.is_empty()
            && self.method == line.method
            && self.port == line.port
            && self.host == line.host
    }

    fn of(line: &RequestLine<'_>, words: &Words) -> Self {
        let mut text = Vec::new();
        put(&mut text, words.method);
        push_escaped(&mut text, line.method.as_bytes(), LONGEST_WORD);
        put(&mut text, words.host);
        push_escaped(&mut text, line.host.as_bytes(), LONGEST_HOST);
        if let Some(port) = line.port {
            text.push(b':');
            push_number(&mut text, port.into());
        }
        put(&mut text, words.path);
        Self {
            method: line.method.to_owned(),
            host: line.host.to_owned(),
            port: line.port,
            text,
        }
    }
}

impl Decided {
    fn is_of(&self, line: &RequestLine<'_>) -> bool {
        is_same(self.lane, line.lane)
            && is_same(self.decision, line.decision)
            && is_same(self.reason, line.reason)
            && self.route.as_deref() == line.route
    }

    fn of(line: &RequestLine<'_>, words: &Words) -> Self {
        let mut text = Vec::new();
        push_decided(&mut text, line, words);
        Self {
            route: line.route.map(str::to_owned),
            lane: line.lane,
            decision: line.decision,
            reason: line.reason,
            text,
        }
    }
}

/// Words of ours nearly always stand in the same place.
fn is_same(one: Option<&'static str>, other: Option<&'static str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => std::ptr::eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}

fn push_decided(out: &mut Vec<u8>, line: &RequestLine<'_>, words: &Words) {
    for (key, word) in [
        (words.route, line.route),
        (words.rule, line.rule),
        (words.lane, line.lane),
        (words.decision, line.decision),
        (words.reason, line.reason),
    ] {
        push_word(out, key, word.map(str::as_bytes));
    }
}

fn push_word(out: &mut Vec<u8>, key: &str, word: Option<&[u8]>) {
    if let Some(word) = word {
        put(out, key);
        push_escaped(out, word, LONGEST_WORD);
        out.push(b'"');
    }
}

/// A query may carry a code or a ticket; callers hand over the path, and here
/// it is made sure.
fn push_path(out: &mut Vec<u8>, path: &str) {
    if push_plain(out, path.as_bytes(), LONGEST_PATH) {
        return;
    }
    let path = match memchr::memchr2(b'?', b'#', path.as_bytes()) {
        Some(end) => &path[..end],
        None => path,
    };
    push_escaped(out, path.as_bytes(), LONGEST_PATH);
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = itoa::Buffer::new();
    put(out, digits.format(number));
}
