//! Removing what a client may not say about itself.
//!
//! Upstreams fold header names: CGI and WSGI turn every `-` into `_`, Apache
//! does so with every byte that is no letter or digit, and all ignore case.
//! Names are compared the way the most eager of them would.

use http::HeaderMap;
use http::header::HeaderName;

use crate::base::header_names as names;
use crate::config::checked::{IdentityPreset, Route};

use super::presets;

/// Everything that begins so, folded.
const FAMILIES: [&str; 7] = [
    "x-forwarded-",
    "x-auth-request-",
    "remote-",
    "x-remote-",
    "x-webauth-",
    "x-vestibule-",
    "impersonate-",
];

/// Names that make some upstreams see another path or method.
const OVERRIDES: [&str; 7] = [
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Written by `proxy` itself; only other spellings of them are removed.
const OWN_SPELLING: [HeaderName; 5] = [
    names::X_FORWARDED_FOR,
    names::X_FORWARDED_PROTO,
    names::X_FORWARDED_HOST,
    names::X_FORWARDED_PORT,
    names::X_REAL_IP,
];

/// The names to remove: the fixed families, and every name that some route
/// or preset injects. One list for all routes, because routes may share an upstream.
#[derive(Debug, Clone)]
pub struct ScrubList {
    /// By the first byte of a name: how long one to remove can be, a bit for
    /// each length. Most names are out at once.
    lengths: Box<[u64; 256]>,
    /// By the first byte, folded or not.
    beginning: Box<[Beginning]>,
}

/// Lengths from here on share a bit.
const LONG: usize = 63;

/// Names to remove that begin with the same letter.
#[derive(Debug, Clone, Default)]
struct Beginning {
    families: Vec<&'static str>,
    /// Folded.
    exact: Vec<String>,
}

impl Beginning {
    fn lengths(&self) -> u64 {
        let exact = self.exact.iter().map(|name| 1 << name.len().min(LONG));
        let families = self.families.iter();
        let families = families.map(|family| u64::MAX << family.len().min(LONG));
        exact.chain(families).fold(0, |all, one: u64| all | one)
    }
}

/// Of every preset, used or not: what one route begins to send tomorrow must
/// not be what a client could say today.
fn names_of_presets() -> impl Iterator<Item = HeaderName> {
    IdentityPreset::all().flat_map(|preset| {
        let headers: &'static [_] = preset.entry().headers.as_slice();
        headers.iter().map(|(name, _)| name.clone())
    })
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

fn folded(name: &str) -> String {
    name.bytes().map(|byte| char::from(fold(byte))).collect()
}

fn folds_to(name: &str, wanted: &str) -> bool {
    name.len() == wanted.len() && begins(name, wanted)
}

fn begins(name: &str, wanted: &str) -> bool {
    name.len() >= wanted.len()
        && name
            .bytes()
            .zip(wanted.bytes())
            .all(|(byte, wanted)| fold(byte) == wanted)
}

impl ScrubList {
    pub fn compile(routes: &[Route]) -> Self {
        let mut exact: Vec<String> = routes
            .iter()
            .flat_map(presets::slots)
            .map(|slot| slot.name)
            .chain(names_of_presets())
            // A route that injects Authorization replaces it; elsewhere it is
            // the client's own.
            .filter(|name| *name != http::header::AUTHORIZATION)
            .map(|name| folded(name.as_str()))
            .chain(OVERRIDES.map(str::to_owned))
            .chain(OWN_SPELLING.iter().map(|name| name.as_str().to_owned()))
            .collect();
        exact.sort_unstable();
        exact.dedup();
        let beginning: Box<[Beginning]> = (0..=u8::MAX)
            .map(|byte| {
                let is_so = |name: &str| name.bytes().next() == Some(fold(byte));
                Beginning {
                    families: FAMILIES.into_iter().filter(|name| is_so(name)).collect(),
                    exact: exact.iter().filter(|name| is_so(name)).cloned().collect(),
                }
            })
            .collect();
        let mut lengths = Box::new([0; 256]);
        for (lengths, beginning) in lengths.iter_mut().zip(&beginning) {
            *lengths = beginning.lengths();
        }
        Self { lengths, beginning }
    }

    /// Whether a header of this name may not come from a client.
    #[inline]
    pub fn removes(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let Some(first) = text.as_bytes().first() else {
            return false;
        };
        self.lengths[usize::from(*first)] >> text.len().min(LONG) & 1 == 1
            && self.removes_slowly(name)
    }

    fn removes_slowly(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let first = text.bytes().next().unwrap_or_default();
        let Beginning { families, exact } = &self.beginning[usize::from(first)];
        let named = families.iter().any(|family| begins(text, family))
            || exact.iter().any(|exact| folds_to(text, exact));
        named && !OWN_SPELLING.contains(name)
    }

    /// One pass over the names of a request or response head.
    pub fn scrub(&self, headers: &mut HeaderMap) {
        let Some(found) = headers.keys().find(|name| self.removes(name)).cloned() else {
            return;
        };
        headers.remove(&found);
        // Something was sent that does not belong here: take the long way.
        let others: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.removes(name))
            .cloned()
            .collect();
        for name in others {
            headers.remove(&name);
        }
    }

    /// Trailers: also without the spellings that a head may have.
    pub fn scrub_trailers(&self, trailers: &mut HeaderMap) {
        self.scrub(trailers);
        for name in &OWN_SPELLING {
            trailers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests;
