//! What the last request of a client connection said. A browser repeats its
//! Host and its Cookie on each, and the same bytes mean the same.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use zeroize::Zeroizing;

use crate::model::origin::{Authority, MalformedAuthority};
use crate::proxy::CookieField;
use crate::session::cookie::{Stripped, strip_own};
use crate::session::seen_cookies::SeenCookies;

/// A host name is never longer, with its port.
const LONGEST_HOST: usize = 260;
/// Longer Cookie fields are read each time.
const LONGEST_FIELD: usize = 4096;
/// Where so many requests on end said something new, an ingress sends what
/// many people ask: only one field in as many is kept then.
const STRANGERS: u8 = 16;

/// Of one connection, as `Connection::remember` keeps it.
#[derive(Default)]
pub(super) struct LastHead {
    host: Option<(Box<str>, Authority)>,
    cookie: Option<Arc<KnownCookies>>,
    /// Fields in a row that were not the one before.
    strangers: u8,
}

/// A Cookie field and all that follows from its bytes.
pub(super) struct KnownCookies {
    pub(super) seen: SeenCookies,
    /// What an upstream gets of it.
    pub(super) passed_on: CookieField,
}

impl LastHead {
    /// [`Authority::parse`] of a Host.
    pub(super) fn authority(&mut self, host: &[u8]) -> Result<Authority, MalformedAuthority> {
        if let Some((text, authority)) = &self.host
            && text.as_bytes() == host
        {
            return Ok(authority.clone());
        }
        let text = std::str::from_utf8(host).map_err(|_| MalformedAuthority)?;
        let authority = Authority::parse(text)?;
        if text.len() <= LONGEST_HOST {
            self.host = Some((text.into(), authority.clone()));
        }
        Ok(authority)
    }

    /// The only Cookie field of a request, if it is one that is kept.
    pub(super) fn cookie(&mut self, field: &HeaderValue) -> Option<Arc<KnownCookies>> {
        let bytes = field.as_bytes();
        if let Some(last) = &self.cookie
            && last.seen.is(bytes)
        {
            self.strangers = 0;
            return Some(Arc::clone(last));
        }
        if bytes.len() > LONGEST_FIELD || !self.is_worth_it() {
            return None;
        }
        let cookie = Arc::new(KnownCookies::read(bytes).ok()?);
        self.cookie = Some(Arc::clone(&cookie));
        Some(cookie)
    }

    /// Counts a field that was not the one before.
    fn is_worth_it(&mut self) -> bool {
        self.strangers += 1;
        if self.strangers == 2 * STRANGERS {
            self.strangers = STRANGERS;
            return true;
        }
        self.strangers <= STRANGERS
    }
}

impl KnownCookies {
    fn read(field: &[u8]) -> Result<Self, InvalidHeaderValue> {
        let passed_on = match strip_own(field) {
            Stripped::Unchanged => CookieField::Unchanged,
            Stripped::Kept(kept) => {
                let wiped = Bytes::from_owner(Zeroizing::new(Vec::from(kept)));
                CookieField::Kept(HeaderValue::from_maybe_shared(wiped)?)
            }
            Stripped::Nothing => CookieField::Nothing,
        };
        Ok(Self {
            seen: SeenCookies::of(field),
            passed_on,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn a_host_means_the_same_each_time() {
        let mut last = LastHead::default();
        for host in [
            "App.Test:8443",
            "App.Test:8443",
            "app.test:8443",
            "other.test",
            "App.Test:8443",
        ] {
            let expected = Authority::parse(host);
            assert_eq!(last.authority(host.as_bytes()), expected, "{host}");
        }
        for malformed in [&b"a/b"[..], b"", b"\xffa.test"] {
            for _ in 0..2 {
                assert_eq!(last.authority(malformed), Err(MalformedAuthority));
            }
        }
        let kept = last.host.map(|(text, _)| text);
        assert_eq!(kept.as_deref(), Some("App.Test:8443"), "the last good one");
    }

    #[test]
    fn a_field_is_read_once_while_it_is_repeated() {
        let mut last = LastHead::default();
        let one = last.cookie(&value("a=1; __Host-vestibule=x; b=2")).unwrap();
        assert_eq!(one.passed_on, CookieField::Kept(value("a=1; b=2")));
        let again = last.cookie(&value("a=1; __Host-vestibule=x; b=2")).unwrap();
        assert!(Arc::ptr_eq(&one, &again));
        for (field, passed_on) in [
            (
                "a=1; __Host-vestibule=y; b=2",
                CookieField::Kept(value("a=1; b=2")),
            ),
            ("__Host-vestibule=x", CookieField::Nothing),
            ("a=1", CookieField::Unchanged),
        ] {
            let other = last.cookie(&value(field)).unwrap();
            assert_eq!(other.seen.field(), field.as_bytes());
            assert_eq!(other.passed_on, passed_on);
        }
        let anew = last.cookie(&value("a=1; __Host-vestibule=x; b=2")).unwrap();
        assert!(!Arc::ptr_eq(&one, &anew), "only the last one is kept");
        let long = "x".repeat(LONGEST_FIELD + 1);
        assert!(last.cookie(&value(&long)).is_none());
    }

    #[test]
    fn many_people_on_one_connection_are_read_one_by_one() {
        let mut last = LastHead::default();
        let mut kept = 0;
        for person in 0..1000 {
            kept += u32::from(last.cookie(&value(&format!("a={person}"))).is_some());
        }
        assert!((60..100).contains(&kept), "{kept}");
        // One of them stays.
        let mut ask = || last.cookie(&value("a=me")).is_some();
        assert!((0..=STRANGERS).any(|_| ask()));
        assert!((0..100).all(|_| ask()));
    }
}
