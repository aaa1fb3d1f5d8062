//! Text that cannot leave its record.

/// Appends `text`, UTF-8 as far as it can be read, to `out`, at most about
/// `limit` bytes of it. Quotes, backslashes, controls and the characters that
/// reorder or break lines are written as JSON writes them, which a terminal
/// shows harmlessly too.
pub fn push_escaped(out: &mut Vec<u8>, text: &[u8], limit: usize) {
    if push_plain(out, text, limit) {
        return;
    }
    let end = out.len() + limit;
    for character in String::from_utf8_lossy(text).chars() {
        if out.len() >= end {
            out.extend_from_slice("…".as_bytes());
            break;
        }
        if matches!(character, '"' | '\\') {
            out.push(b'\\');
        }
        push_harmless(out, character);
    }
}

/// Appends `text` if all of it may stand as it is, which is nearly always so:
/// then it also holds neither `?` nor `#`.
pub fn push_plain(out: &mut Vec<u8>, text: &[u8], limit: usize) -> bool {
    let is_plain = text.len() <= limit && are_plain(text);
    if is_plain {
        out.extend_from_slice(text);
    }
    is_plain
}

/// Nearly everything that is ever written: ASCII that shows, but for quotes,
/// backslashes, `#` and `?`. Eight bytes at a time.
fn are_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let last = match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest
            .iter()
            .fold(u64::from_le_bytes(*b"00000000"), |word, byte| {
                word << 8 | u64::from(*byte)
            }),
    };
    let words = words.iter().map(|word| unusual(u64::from_le_bytes(*word)));
    words.fold(unusual(last), |found, word| found | word) == 0
}

/// Zero if all bytes of `word` are plain. A byte that is less than what is
/// taken from it borrows, which sets its highest bit; the bit alone is beyond
/// ASCII.
const fn unusual(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let control_or_space = word.wrapping_sub(each(b'!'));
    // One bit tells each of these from its neighbour: " from #, ? from DEL.
    let quote = ((word | each(1)) ^ each(b'#')).wrapping_sub(each(1));
    let delete = ((word | each(0x40)) ^ each(0x7f)).wrapping_sub(each(1));
    let backslash = (word ^ each(b'\\')).wrapping_sub(each(1));
    (word | control_or_space | quote | delete | backslash) & each(0x80)
}

/// Appends `character`, or its JSON escape if it does something.
pub fn push_harmless(out: &mut Vec<u8>, character: char) {
    if !acts(character) {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return;
    }
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let code = character as usize;
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[(code >> shift) & 15]);
    }
}

/// Controls, and what changes the direction or the line of the text around
/// it. All of them lie below U+10000.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            let is_plain = byte.is_ascii_graphic() && !b"\"\\#?".contains(&byte);
            for length in 1..=25 {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    assert_eq!(are_plain(&text), is_plain, "{byte} at {at} of {length}");
                }
            }
        }
        assert!(are_plain(b""));
    }

    #[test]
    fn what_is_plain_for_the_eye_alone_passes_as_it_is() {
        for text in ["a?b", "a#b", "a b", "\u{e4}\u{4e2d}", ""] {
            let mut out = Vec::new();
            push_escaped(&mut out, text.as_bytes(), 64);
            assert_eq!(out, text.as_bytes());
        }
    }
}
