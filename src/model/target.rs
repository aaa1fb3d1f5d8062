//! What a request asks for, parsed once at the edge. Nobody later looks at the
//! raw URI, the Host header or the bytes of the path again.

use std::borrow::Cow;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};

use super::origin::{Authority, MalformedAuthority};
use super::path_text::{self, Judged, PathFault};
use crate::base::fault::{Blame, Fault};

/// Method, authority and path of a request, all of them judged well-formed.
/// Only [`Target::parse`] makes one.
#[derive(Debug, Clone)]
pub struct Target {
    pub method: Method,
    pub authority: Authority,
    /// Path and query byte for byte as received, beginning with "/".
    pub path_and_query: PathAndQuery,
    judged: Judged,
}

/// Why a request line or Host is refused: 400, and 405 for TRACE.
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
    #[error("TRACE would show credentials")]
    Trace,
    #[error("path has a dot segment")]
    DotSegment,
    #[error("path has an encoded slash")]
    EncodedSlash,
    #[error("path has a backslash")]
    Backslash,
    #[error("path has a NUL")]
    Nul,
    #[error("path has a malformed percent escape")]
    BadEscape,
    #[error("path has a byte that must be percent-encoded")]
    RawByte,
}

impl Fault for TargetError {
    fn blame(&self) -> Blame {
        Blame::Client
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoHost => "host_missing",
            Self::SeveralHosts => "host_repeated",
            Self::MalformedHost => "host_malformed",
            Self::NotAPath => "target_not_a_path",
            Self::Trace => "method_trace",
            Self::DotSegment => "path_dot_segment",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Nul => "path_nul",
            Self::BadEscape => "path_bad_escape",
            Self::RawByte => "path_raw_byte",
        }
    }
}

impl From<PathFault> for TargetError {
    fn from(fault: PathFault) -> Self {
        match fault {
            PathFault::DotSegment => Self::DotSegment,
            PathFault::Backslash => Self::Backslash,
            PathFault::Nul => Self::Nul,
            PathFault::BadEscape => Self::BadEscape,
            PathFault::RawByte => Self::RawByte,
        }
    }
}

impl Target {
    /// `uri` and `headers` as hyper hands them over (it checks neither).
    ///
    /// The authority of an absolute-form target wins over Host (RFC 9112
    /// section 3.2.2); only there may Host be absent, which is how HTTP/2
    /// arrives. CONNECT and `OPTIONS *` are refused: there is no path to
    /// judge. An encoded slash is let through here and refused by every route
    /// that does not ask for it.
    ///
    /// A fragment (`#…`) in a request line is cut off by the `http` crate
    /// before this sees it. It is part of nothing that is judged or sent on.
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, TargetError> {
        method_with_path(method)?;
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(TargetError::SeveralHosts);
        }
        Self::read(method, uri, host.map(HeaderValue::as_bytes), |text| {
            let text = std::str::from_utf8(text).map_err(|_| MalformedAuthority)?;
            Authority::parse(text)
        })
    }

    /// [`Target::parse`] for those who found the only Host field themselves.
    /// `authority` does what [`Authority::parse`] does.
    pub fn read(
        method: &Method,
        uri: &Uri,
        host: Option<&[u8]>,
        authority: impl Fn(&[u8]) -> Result<Authority, MalformedAuthority>,
    ) -> Result<Self, TargetError> {
        method_with_path(method)?;
        let authority = authority_of(uri, host, authority)?;
        let path_and_query = path_and_query(uri)?;
        if let Some(query) = path_and_query.query()
            && query.bytes().any(|byte| byte.is_ascii_control())
        {
            return Err(TargetError::RawByte);
        }
        let judged = path_text::judge(path_and_query.path())?;
        Ok(Self {
            method: method.clone(),
            authority,
            path_and_query,
            judged,
        })
    }

    /// The same request with another path, which is judged as at the edge.
    pub(super) fn with_path(&self, path: &str) -> Result<Self, TargetError> {
        let judged = path_text::judge(path)?;
        let text = match self.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let path_and_query =
            PathAndQuery::from_maybe_shared(text).map_err(|_| TargetError::NotAPath)?;
        Ok(Self {
            path_and_query,
            judged,
            ..self.clone()
        })
    }

    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }

    pub fn query(&self) -> Option<&str> {
        self.path_and_query.query()
    }

    /// The path is in the one spelling that granting rules accept: no `;`, no
    /// `//`, nothing encoded that need not be, no encoded separator or
    /// percent, and UTF-8 once decoded. Dot segments never get this far.
    pub fn is_canonical(&self) -> bool {
        self.judged.canonical
    }

    /// The path holds `%2f`. It must not pass anywhere but on a route with
    /// `encoded_slash`; see `RoutePolicy::takes`.
    pub const fn has_encoded_slash(&self) -> bool {
        self.judged.encoded_slash
    }

    /// The path as the most lenient upstream could read it: decoded until
    /// nothing changes, backslashes as slashes, path parameters (`;…`) cut
    /// off, slashes merged, lower case. Deny and session rules match this too.
    pub fn lenient_reading(&self) -> Cow<'_, str> {
        path_text::lenient_reading(self.path())
    }
}

fn method_with_path(method: &Method) -> Result<(), TargetError> {
    if method == Method::TRACE {
        return Err(TargetError::Trace);
    }
    if method == Method::CONNECT {
        return Err(TargetError::NotAPath);
    }
    Ok(())
}

fn authority_of(
    uri: &Uri,
    host: Option<&[u8]>,
    parse: impl Fn(&[u8]) -> Result<Authority, MalformedAuthority>,
) -> Result<Authority, TargetError> {
    let parse = |text: &[u8]| parse(text).map_err(|_| TargetError::MalformedHost);
    let host = host.map(parse).transpose()?;
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => host.ok_or(TargetError::NoHost),
        (Some("http" | "https"), Some(written)) => parse(written.as_str().as_bytes()),
        _ => Err(TargetError::NotAPath),
    }
}

fn path_and_query(uri: &Uri) -> Result<PathAndQuery, TargetError> {
    let written = uri.path_and_query().ok_or(TargetError::NotAPath)?;
    let text = written.as_str();
    if text.starts_with('/') {
        return Ok(written.clone());
    }
    if uri.scheme().is_some() && (text.is_empty() || text.starts_with('?')) {
        // `http://host?query` asks for the root (RFC 9112 section 3.2.1).
        let rooted = format!("/{text}");
        return PathAndQuery::from_maybe_shared(rooted).map_err(|_| TargetError::NotAPath);
    }
    Err(TargetError::NotAPath)
}

#[cfg(test)]
impl Target {
    /// A target as a client would ask for it: `("GET", "http://host/path")`.
    pub fn for_tests(method: &str, url: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Self::parse(&method, &url.parse().unwrap(), &HeaderMap::new()).unwrap()
    }
}

#[cfg(test)]
mod tests;
