//! A request as it goes over the wire.

use http::Method;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;

/// The head of a request that has no body, ready to be written, and to be
/// written once more if a connection turns out to be closed.
#[derive(Default)]
pub struct RequestBytes(Vec<u8>);

/// Larger than most heads.
const USUAL: usize = 2048;

impl RequestBytes {
    /// `target`: as it was judged.
    pub(in crate::proxy) fn begin(method: &Method, target: &PathAndQuery) -> Self {
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(target.as_str().as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        Self(bytes)
    }

    /// The types promise that neither name nor value can end the line.
    pub(in crate::proxy) fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        self.0.reserve(name.len() + value.len() + 4);
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(b": ");
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
    }

    pub(in crate::proxy) fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}
