//! Text that cannot leave its record.

/// Appends `text` to `out`, at most about `limit` bytes of it. Quotes,
/// backslashes, controls and the characters that reorder or break lines are
/// written as JSON writes them, which a terminal shows harmlessly too.
pub fn push_escaped(out: &mut Vec<u8>, text: &str, limit: usize) {
    if text.len() <= limit && are_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let end = out.len() + limit;
    for character in text.chars() {
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

/// Without a branch per byte, so that the compiler takes many at once.
fn are_plain(text: &[u8]) -> bool {
    text.iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
}

/// Nearly everything that is ever written.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
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
