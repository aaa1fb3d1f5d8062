//! The text of a path: which spellings are refused, which one is canonical,
//! and how the most lenient server would read it.

use std::borrow::Cow;

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    DotSegment,
    Backslash,
    Nul,
    BadEscape,
    RawByte,
}

/// What an acceptable path is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    pub canonical: bool,
    /// It holds `%2f`, which only a route that asks for it takes. Never
    /// canonical.
    pub encoded_slash: bool,
}

/// Whether a path is acceptable, and whether it is canonical.
///
/// Without allocation as long as there is neither `%` nor `;`.
pub fn judge(path: &str) -> Result<Judged, PathFault> {
    if is_plain(path.as_bytes()) {
        return Ok(Judged {
            canonical: true,
            encoded_slash: false,
        });
    }
    judge_closely(path)
}

fn judge_closely(path: &str) -> Result<Judged, PathFault> {
    let bytes = path.as_bytes();
    let mut canonical = true;
    let mut encoded_slash = false;
    let mut escaped = false;
    let mut parameters = false;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match byte {
            b'%' => {
                let decoded = escape(bytes, at).ok_or(PathFault::BadEscape)?;
                match decoded {
                    b'/' => {
                        encoded_slash = true;
                        canonical = false;
                    }
                    b'\\' => return Err(PathFault::Backslash),
                    0 => return Err(PathFault::Nul),
                    _ => canonical &= needs_escape(decoded),
                }
                escaped = true;
                at += 2;
            }
            b'/' => canonical &= bytes.get(at) != Some(&b'/'),
            b'\\' => return Err(PathFault::Backslash),
            b';' => {
                parameters = true;
                canonical = false;
            }
            // "?" and "#" end a path, so they cannot stand in one.
            b'#' | b'?' | 0..=b' ' | 0x7f.. => return Err(PathFault::RawByte),
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' => canonical = false,
            _ => {}
        }
    }
    if escaped {
        let once = decode(bytes);
        canonical &= std::str::from_utf8(&once).is_ok();
        let settled = decode_until_stable(once).ok_or(PathFault::BadEscape)?;
        if has_overlong_form(&settled) {
            return Err(PathFault::BadEscape);
        }
        if has_dot_segment(&settled) {
            return Err(PathFault::DotSegment);
        }
    } else if (parameters || path.contains("/.")) && has_dot_segment(bytes) {
        return Err(PathFault::DotSegment);
    }
    Ok(Judged {
        canonical,
        encoded_slash,
    })
}

/// Nearly every path: nothing but characters that mean themselves, no empty
/// segment and none that begins with a dot. Both passes are without a branch
/// per byte, so that the compiler takes many at once.
fn is_plain(path: &[u8]) -> bool {
    let unusual = |byte: u8| {
        !(b'!'..=b'~').contains(&byte)
            | matches!(
                byte,
                b'"' | b'#' | b'%' | b';' | b'<' | b'>' | b'?' | b'\\' | b'`' | b'{' | b'}'
            )
    };
    let after = path.get(1..).unwrap_or_default();
    let pairs = path.iter().zip(after);
    !path
        .iter()
        .fold(false, |found, byte| found | unusual(*byte))
        && !pairs.fold(false, |found, (first, second)| {
            found | ((*first == b'/') & ((*second == b'/') | (*second == b'.')))
        })
}

/// See `Target::lenient_reading`. For a path that `judge` accepts.
pub fn lenient_reading(path: &str) -> Cow<'_, str> {
    let plain = !path.contains("//")
        && path
            .bytes()
            .all(|byte| !byte.is_ascii_uppercase() && !matches!(byte, b'%' | b';' | b'\\'));
    if plain {
        return Cow::Borrowed(path);
    }
    let settled = decode_until_stable(path.as_bytes().to_vec());
    let settled = settled.unwrap_or_else(|| path.as_bytes().to_vec());
    let text = String::from_utf8_lossy(&settled);
    let mut reading = String::with_capacity(text.len());
    for segment in text.split(['/', '\\']) {
        let name = segment.split(';').next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        reading.push('/');
        reading.extend(name.chars().flat_map(char::to_lowercase));
    }
    let ends_open = text
        .rsplit(['/', '\\'])
        .next()
        .is_some_and(|last| last.is_empty() || last.starts_with(';'));
    if ends_open || reading.is_empty() {
        reading.push('/');
    }
    Cow::Owned(reading)
}

/// The byte that the two digits at `at` stand for.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let high = char::from(*bytes.get(at)?).to_digit(16)?;
    let low = char::from(*bytes.get(at + 1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// Whether the canonical spelling of a byte is its escape. False for the
/// unreserved characters (RFC 3986 section 2.3), and for those whose escape
/// some servers take for a separator, a control or a second escape.
fn needs_escape(decoded: u8) -> bool {
    let unreserved =
        decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~');
    !unreserved && !decoded.is_ascii_control() && !matches!(decoded, b'%' | b';' | b'?' | b'#')
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(bytes).collect()
}

/// How often a path may have been encoded. Nobody honest goes beyond two, and
/// without a bound `%252525…` would cost a round for each of its levels.
const DEEPEST_ESCAPE: usize = 4;

/// `None` if the text is still not stable after [`DEEPEST_ESCAPE`] rounds.
fn decode_until_stable(mut text: Vec<u8>) -> Option<Vec<u8>> {
    for _ in 0..=DEEPEST_ESCAPE {
        let next = decode(&text);
        if next.len() == text.len() {
            return Some(text);
        }
        text = next;
    }
    None
}

fn has_dot_segment(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| {
            let name = segment.split(|byte| *byte == b';').next();
            matches!(name, Some(b"." | b".."))
        })
}

/// An ASCII character in more bytes than it needs: not UTF-8, but decoders
/// exist that take `%c0%af` for a slash.
fn has_overlong_form(text: &[u8]) -> bool {
    text.windows(2).any(|pair| match pair[0] {
        0xc0 | 0xc1 => matches!(pair[1], 0x80..=0xbf),
        0xe0 => matches!(pair[1], 0x80..=0x9f),
        0xf0 => matches!(pair[1], 0x80..=0x8f),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_plain_path_needs_no_closer_look(path in "(/|[a-z]{1,9}|[/.%;\\\\ -~]|\\PC){0,24}") {
            prop_assert_eq!(judge(&path), judge_closely(&path));
            if is_plain(path.as_bytes()) {
                prop_assert!(judge_closely(&path).is_ok_and(|judged| judged.canonical));
            }
        }
    }

    #[test]
    fn what_is_plain() {
        for plain in ["/", "/a/b.c/~x-y_z", "/a!$&'()*+,:=@|^[]/"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        for other in [
            "//", "/a//b", "/.a", "/a/..", "/a%20", "/a;b", "/a b", "/ä", "/a\\b",
        ] {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }
}
