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
        let mut digits = [0; 16];
        let (high, low) = digits.split_at_mut(8);
        high.copy_from_slice(&hexadecimal((self.0 >> 32) as u32));
        low.copy_from_slice(&hexadecimal(self.0 as u32));
        let zeros = self.0.leading_zeros() as usize / 4;
        let from = zeros.min(3);
        RefText { digits, from }
    }
}

/// Eight digits at once.
const fn hexadecimal(number: u32) -> [u8; 8] {
    const fn each(byte: u8) -> u64 {
        u64::from_be_bytes([byte; 8])
    }
    // One digit in each byte.
    let mut spread = number as u64;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    spread = (spread | spread << 4) & each(0x0f);
    let letters = (spread.wrapping_add(each(6)) >> 4) & each(1);
    let letters = letters.wrapping_mul((b'a' - b'0' - 10) as u64);
    spread
        .wrapping_add(each(b'0'))
        .wrapping_add(letters)
        .to_be_bytes()
}

impl RefText {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[self.from..]
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
            (0x0123_4567_89ab_cdef, "123456789abcdef"),
            (0xfedc_ba98_7654_3210, "fedcba9876543210"),
            (0xabc, "0000000000abc"),
            (0x000f_ffff_ffff_ffff, "fffffffffffff"),
            (0x0010_0000_0000_0000, "10000000000000"),
            (u64::MAX, "ffffffffffffffff"),
        ] {
            assert_eq!(RequestRef(number).to_string(), text);
        }
    }
}
