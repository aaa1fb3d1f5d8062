//! One request, as everything behind the edge sees it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::origin::Scheme;
use super::path_prefix::PathPrefix;
use super::target::{Target, TargetError};
use crate::base::clock::Timestamp;

/// How an answer has to be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A browser that shows what comes back and follows redirects: GET or
    /// HEAD, accepts html, and nothing says that a script asks.
    Navigation,
    /// A browser that posted a form: a page, but never a redirect to the
    /// sign-in, so that nothing is lost silently.
    Form,
    /// A script, an asset, a websocket, a command line: problem+json.
    Api,
}

#[derive(Debug, Clone)]
pub struct RequestContext {
    pub target: Target,
    /// The rightmost untrusted hop.
    pub client_addr: IpAddr,
    /// The other end of our socket.
    pub peer_addr: IpAddr,
    /// Whether the peer is one of `server.trusted_proxies`.
    pub peer_trusted: bool,
    /// How the client reached the outermost trusted hop.
    pub scheme: Scheme,
    pub audience: Audience,
    /// Shown on error pages and in the log as `ref`.
    pub reference: RequestRef,
    pub received_at: Timestamp,
}

/// A cheap id: process start and a counter; printed only when needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestRef(pub u64);

/// What a [`RequestRef`] prints as: 13 hexadecimal digits, more if need be.
#[derive(Clone, Copy)]
pub struct RefText {
    digits: [u8; 16],
    from: usize,
}

impl RequestRef {
    pub fn text(self) -> RefText {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 16];
        let mut rest = self.0;
        for digit in digits.iter_mut().rev() {
            *digit = HEX[(rest & 15) as usize];
            rest >>= 4;
        }
        let zeros = self.0.leading_zeros() as usize / 4;
        let from = zeros.min(3);
        RefText { digits, from }
    }
}

impl RefText {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.from..]).unwrap_or_default()
    }
}

impl std::fmt::Display for RequestRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text().as_str())
    }
}

impl RequestContext {
    /// The request as policy and application see it. What a browser asked for
    /// stays in the context that it came with: that is where people return to.
    pub fn judged_for(&self, prefix: &PathPrefix) -> Result<Cow<'_, Self>, TargetError> {
        Ok(match prefix.apply(&self.target)? {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(target) => Cow::Owned(Self {
                target,
                ..self.clone()
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_thirteen_digits_or_more() {
        for (number, text) in [
            (0, "0000000000000"),
            (0xabc, "0000000000abc"),
            (0x000f_ffff_ffff_ffff, "fffffffffffff"),
            (0x0010_0000_0000_0000, "10000000000000"),
            (u64::MAX, "ffffffffffffffff"),
        ] {
            assert_eq!(RequestRef(number).to_string(), text);
        }
    }
}
