//! The chunked coding of an answer (RFC 9112 section 7.1), taken off.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// A size line with its extensions, which nobody needs.
const LONGEST_LINE: usize = 4 * 1024;
const LONGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;
/// A size has fewer digits than would fill 64 bits.
const MOST_DIGITS: usize = 15;

/// Where in the coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Chunks {
    /// Before the line that says how long the next chunk is.
    Size,
    /// So many bytes of the chunk are still to come.
    Data(u64),
    /// Before the line end behind the data.
    End,
    Trailers,
    Over,
}

/// What the bytes at hand held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More bytes are needed.
    More,
    Over,
}

/// The coding is broken: the answer ends here, and was not whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream sent a malformed chunk: {0}")]
pub(super) struct Malformed(&'static str);

impl Chunks {
    /// Takes the next piece off the front of `bytes`.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match *self {
                Self::Size => {
                    let Some(line) = size_line(bytes)? else {
                        return Ok(Piece::More);
                    };
                    let size = size(&bytes[..line - 2])?;
                    bytes.advance(line);
                    *self = match size {
                        0 => Self::Trailers,
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    if bytes.is_empty() {
                        return Ok(Piece::More);
                    }
                    let here =
                        usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    let data = bytes.split_to(here).freeze();
                    *self = match left - here as u64 {
                        0 => Self::End,
                        left => Self::Data(left),
                    };
                    return Ok(Piece::Data(data));
                }
                Self::End => {
                    let expected = &b"\r\n"[..bytes.len().min(2)];
                    if !bytes.starts_with(expected) {
                        return Err(Malformed("data longer than its size"));
                    }
                    if bytes.len() < 2 {
                        return Ok(Piece::More);
                    }
                    bytes.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers => {
                    let Some((length, trailers)) = trailers(bytes)? else {
                        return Ok(Piece::More);
                    };
                    bytes.advance(length);
                    *self = Self::Over;
                    if !trailers.is_empty() {
                        return Ok(Piece::Trailers(trailers));
                    }
                }
                Self::Over => return Ok(Piece::Over),
            }
        }
    }
}

/// The length of the line, its end included.
fn size_line(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let looked = &bytes[..bytes.len().min(LONGEST_LINE)];
    match memchr::memchr(b'\n', looked) {
        Some(end) => {
            // A lone CR or LF could be a line end to somebody else.
            let alone = memchr::memchr(b'\r', &bytes[..end]) != end.checked_sub(1);
            match alone || end == 0 {
                true => Err(Malformed("line end")),
                false => Ok(Some(end + 1)),
            }
        }
        None if bytes.len() >= LONGEST_LINE => Err(Malformed("size line too long")),
        None => Ok(None),
    }
}

fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
    let (digits, rest) = line.split_at(digits.count());
    let mut rest = rest.iter().skip_while(|byte| b" \t".contains(byte));
    let is_extension = rest.next().is_none_or(|byte| *byte == b';');
    if digits.is_empty() || digits.len() > MOST_DIGITS || !is_extension {
        return Err(Malformed("size"));
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Malformed("size"))?;
    u64::from_str_radix(digits, 16).map_err(|_| Malformed("size"))
}

fn trailers(bytes: &[u8]) -> Result<Option<(usize, HeaderMap)>, Malformed> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some((2, HeaderMap::new())));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let malformed = Malformed("trailers");
    match httparse::parse_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) => {
            if has_lone_line_feed(&bytes[..length]) {
                return Err(malformed);
            }
            let mut trailers = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes());
                let value = HeaderValue::from_bytes(field.value);
                let (Ok(name), Ok(value)) = (name, value) else {
                    return Err(malformed);
                };
                trailers.append(name, value);
            }
            Ok(Some((length, trailers)))
        }
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_TRAILERS => Ok(None),
        _ => Err(malformed),
    }
}

/// httparse takes it for a line end; whoever forwarded the trailers may not.
fn has_lone_line_feed(lines: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', lines).any(|end| !lines[..end].ends_with(b"\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that comes out when the bytes arrive in pieces of `step`.
    fn decoded(coded: &[u8], step: usize) -> Result<(Vec<u8>, Vec<String>, usize), Malformed> {
        let (mut chunks, mut bytes) = (Chunks::Size, BytesMut::new());
        let (mut data, mut trailers) = (Vec::new(), Vec::new());
        let mut rest = coded;
        loop {
            match chunks.next(&mut bytes)? {
                Piece::Data(piece) => data.extend_from_slice(&piece),
                Piece::Trailers(map) => trailers.extend(map.keys().map(|name| name.to_string())),
                Piece::Over => return Ok((data, trailers, bytes.len() + rest.len())),
                Piece::More => {
                    assert!(!rest.is_empty(), "wants more than there is");
                    let (piece, more) = rest.split_at(step.min(rest.len()));
                    bytes.extend_from_slice(piece);
                    rest = more;
                }
            }
        }
    }

    #[test]
    fn the_coding_comes_off_however_it_is_cut() {
        let coded = b"5\r\nhello\r\nA ;x=\"y\"\r\n0123456789\r\n000\r\nServer-Timing: a\r\nx-b: 1\r\n\r\nHTTP";
        for step in 1..coded.len() {
            let (data, trailers, left) = decoded(coded, step).unwrap();
            assert_eq!(data, b"hello0123456789", "{step}");
            assert_eq!(trailers, ["server-timing", "x-b"]);
            assert_eq!(left, 4);
        }
        assert_eq!(decoded(b"0\r\n\r\n", 1).unwrap(), (vec![], vec![], 0));
    }

    #[test]
    fn sec_smg_04_what_two_readers_could_read_differently_is_refused() {
        for coded in [
            &b"\r\n\r\n"[..],
            b"\n\r\n",
            b"5\nhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            b"5\r\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b"5 5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloX0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"1000000000000000\r\nx",
            b"0\r\nX : 1\r\n\r\n",
            b"0\r\n folded\r\n\r\n",
            b"5\x0c\r\nhello\r\n0\r\n\r\n",
            b"5\x0c;a\r\nhello\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nX: 1\n\r\n",
            b"0\r\nX: 1\r\n\n",
        ] {
            for step in [1, 1000] {
                let found = decoded(coded, step);
                let text = String::from_utf8_lossy(coded);
                assert!(found.is_err(), "{text:?} in steps of {step}: {found:?}");
            }
        }
        let long = [b"5;", "a".repeat(LONGEST_LINE).as_bytes()].concat();
        assert!(decoded(&long, 100).is_err());
        let long = [b"0\r\nx: ", "a".repeat(LONGEST_TRAILERS).as_bytes()].concat();
        assert!(decoded(&long, 1000).is_err());
    }
}
