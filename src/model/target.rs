//! What a request asks for, parsed once at the edge. Nobody later looks at the
//! raw URI, the Host header or the bytes of the path again.

use http::Method;

use super::origin::Authority;

/// Method, authority and path of a request, all of them judged well-formed.
#[derive(Debug, Clone)]
pub struct Target {
    pub method: Method,
    pub authority: Authority,
    /// Path and query byte for byte as received, beginning with "/".
    pub path_and_query: http::uri::PathAndQuery,
}

/// Why a request line or Host is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no Host")]
    NoHost,
    #[error("more than one Host")]
    SeveralHosts,
    #[error("malformed Host")]
    MalformedHost,
    #[error("request target is not a path")]
    NotAPath,
}

impl Target {
    /// `uri` and `headers` as hyper hands them over (it checks neither).
    pub fn parse(
        _method: &Method,
        _uri: &http::Uri,
        _headers: &http::HeaderMap,
    ) -> Result<Self, TargetError> {
        Err(TargetError::NoHost) // the policy slice replaces this body
    }

    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }

    pub fn query(&self) -> Option<&str> {
        self.path_and_query.query()
    }

    /// The path is in the one spelling that granting rules accept: no
    /// encoded separators, NUL or percent, no `;`, no `//`, no dot segments.
    pub fn is_canonical(&self) -> bool {
        false
    }

    /// The path as the most lenient upstream could read it: decoded, slashes
    /// merged, lower case. Deny and session rules match this too.
    pub fn lenient_reading(&self) -> String {
        String::new()
    }
}
