//! The head of an answer, read.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use httparse::{ParserConfig, Status};

/// As many as hyper takes.
const MOST_FIELDS: usize = 100;

/// The head of an answer, final or interim.
#[derive(Debug)]
pub(in crate::proxy) struct ResponseHead {
    pub(in crate::proxy) status: StatusCode,
    pub(in crate::proxy) version: Version,
    pub(in crate::proxy) headers: HeaderMap,
    /// Only where it is not the usual one.
    pub(in crate::proxy) reason: Option<Bytes>,
}

/// Not HTTP, or not HTTP/1.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("upstream sent a malformed head: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("upstream sent a head of more than {0} bytes")]
    TooLong(usize),
}

/// Where a field lies in the head.
#[derive(Clone, Copy, Default)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

impl ResponseHead {
    /// Takes a head off the front of `bytes`; `None` if it is not whole.
    /// Values share the bytes. `headers`: a map whose room is used again.
    pub(super) fn take(
        bytes: &mut BytesMut,
        longest: usize,
        headers: &mut HeaderMap,
    ) -> Result<Option<Self>, Unreadable> {
        let mut places = [Place::default(); MOST_FIELDS];
        let Some((length, count, head)) = parse(bytes, longest, &mut places)? else {
            return Ok(None);
        };
        let text = bytes.split_to(length).freeze();
        let mut headers = std::mem::take(headers);
        headers.clear();
        headers.reserve(count);
        for place in &places[..count] {
            let name = HeaderName::from_bytes(&text[range(place.name)])
                .map_err(|_| httparse::Error::HeaderName)?;
            let value = HeaderValue::from_maybe_shared(text.slice(range(place.value)))
                .map_err(|_| httparse::Error::HeaderValue)?;
            headers.append(name, value);
        }
        Ok(Some(Self { headers, ..head }))
    }
}

/// The length of the head, how many fields it has and where, and the rest.
fn parse(
    bytes: &[u8],
    longest: usize,
    places: &mut [Place; MOST_FIELDS],
) -> Result<Option<(usize, usize, ResponseHead)>, Unreadable> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let length =
        match config.parse_response_with_uninit_headers(&mut response, bytes, &mut fields)? {
            Status::Complete(length) if length <= longest => length,
            Status::Partial if bytes.len() < longest => return Ok(None),
            _ => return Err(Unreadable::TooLong(longest)),
        };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(httparse::Error::Status)?;
    let reason = response
        .reason
        .filter(|reason| Some(*reason) != status.canonical_reason())
        .map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
    for (place, field) in places.iter_mut().zip(&*response.headers) {
        place.name = within(bytes, field.name.as_bytes());
        place.value = within(bytes, field.value);
    }
    let head = ResponseHead {
        status,
        version: match response.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        },
        headers: HeaderMap::new(),
        reason,
    };
    Ok(Some((length, response.headers.len(), head)))
}

/// A head is shorter than 4 GiB by far.
fn within(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    (start as u32, (start + part.len()) as u32)
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &[u8]) -> Result<Option<(ResponseHead, Vec<u8>)>, Unreadable> {
        let mut bytes = BytesMut::from(text);
        let mut headers = HeaderMap::new();
        headers.append("x-of-before", HeaderValue::from_static("1"));
        let head = ResponseHead::take(&mut bytes, 1000, &mut headers)?;
        Ok(head.map(|head| (head, bytes.to_vec())))
    }

    #[test]
    fn a_head_is_read_and_the_rest_stays() {
        let text =
            b"HTTP/1.0 404 Gone Fishing\r\nA: 1\r\nSet-Cookie:  x=y \r\nset-cookie:\r\n\r\nbody";
        let (head, rest) = take(text).unwrap().unwrap();
        assert_eq!(head.status, 404);
        assert_eq!(head.version, Version::HTTP_10);
        assert_eq!(head.reason.as_deref(), Some(&b"Gone Fishing"[..]));
        assert_eq!(rest, b"body");
        let fields: Vec<(&str, &[u8])> = head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let expected = [
            ("a", &b"1"[..]),
            ("set-cookie", b"x=y"),
            ("set-cookie", b""),
        ];
        assert_eq!(fields, expected);
        let (head, _) = take(b"HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap();
        assert_eq!((head.version, head.reason), (Version::HTTP_11, None));
        for length in 0..text.len() - 4 {
            assert!(take(&text[..length]).unwrap().is_none(), "{length}");
        }
    }

    #[test]
    fn sec_smg_09_what_is_no_head_is_refused() {
        let many = "a: b\r\n".repeat(MOST_FIELDS + 1);
        let long = "a".repeat(1000);
        for text in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: x\ry\r\n\r\n",
            "garbage\r\n\r\n",
            &format!("HTTP/1.1 200 OK\r\n{many}\r\n"),
            &format!("HTTP/1.1 200 OK\r\nA: {long}"),
            &format!("HTTP/1.1 200 OK\r\nA: {long}\r\n\r\n"),
        ] {
            assert!(take(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
