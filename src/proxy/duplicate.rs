//! What a request is made of, kept while the upstream may be closing its
//! connection: hyper gives a request back only if nothing of it was written.
//!
//! The fields lie in one piece of memory: copying a map would touch the
//! count of every name and value, on every request, for the rare one that is
//! sent again.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};

use crate::base::body::Body;

/// Larger than most heads, and small enough for the allocator to have it at
/// hand.
const USUAL: usize = 1000;

/// The head of a request that has no body and may be sent a second time.
pub(super) struct Duplicate {
    method: Method,
    uri: Uri,
    /// For each field: whether it is sensitive, the lengths of name and
    /// value, both of them.
    fields: Vec<u8>,
}

impl Duplicate {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let mut fields = Vec::with_capacity(USUAL);
        for (name, value) in request.headers() {
            let (text, bytes) = (name.as_str().as_bytes(), value.as_bytes());
            let lengths = (text.len() as u64) << 32 | bytes.len() as u64;
            let mark = lengths | u64::from(value.is_sensitive()) << 63;
            fields.reserve(8 + text.len() + bytes.len());
            fields.extend_from_slice(&mark.to_le_bytes());
            fields.extend_from_slice(text);
            fields.extend_from_slice(bytes);
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            fields,
        }
    }

    /// The same request once more.
    pub(super) fn again(self) -> Option<Request<Body>> {
        let mut headers = HeaderMap::new();
        let mut rest = self.fields.as_slice();
        while let Some((mark, more)) = rest.split_first_chunk() {
            let mark = u64::from_le_bytes(*mark);
            let (text, more) = more.split_at_checked(usize::from((mark >> 32) as u16))?;
            let (bytes, more) = more.split_at_checked(mark as u32 as usize)?;
            let mut value = HeaderValue::from_bytes(bytes).ok()?;
            value.set_sensitive(mark >> 63 == 1);
            headers.append(HeaderName::from_bytes(text).ok()?, value);
            rest = more;
        }
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_request_is_the_first_one() {
        let long = "x".repeat(3 * USUAL);
        let mut secret = HeaderValue::from_static("a=b");
        secret.set_sensitive(true);
        let request = Request::builder()
            .method("PROPFIND")
            .uri("/a?b=c")
            .header("host", "app.test")
            .header("x-own", "1")
            .header("x-own", "2")
            .header("x-empty", "")
            .header("x-latin", HeaderValue::from_bytes(b"\xfc\tber").unwrap())
            .header("x-long", &long)
            .header("cookie", secret)
            .body(Body::Empty)
            .unwrap();
        let again = Duplicate::of(&request).again().unwrap();
        assert_eq!(again.method(), request.method());
        assert_eq!(again.uri(), request.uri());
        assert_eq!(again.version(), request.version());
        assert_eq!(again.headers(), request.headers());
        assert!(again.headers()["cookie"].is_sensitive());
        assert!(!again.headers()["host"].is_sensitive());
    }
}
