//! Short-lived cookies that each hold one random secret of the browser: one
//! per sign-in or hand-off under way, told apart by a tag in their name.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};

use crate::base::clock::Timestamp;
use crate::base::random;

/// That many of a kind may be open in one browser; the oldest give way.
const KEPT: usize = 16;

pub(super) const TAG_LENGTH: usize = 8;

pub(super) fn tag() -> String {
    random::reference()[..TAG_LENGTH].to_owned()
}

/// One kind of these cookies, host-only. The value is base64url(secret |
/// seconds since 1970 of its making, 4 bytes).
#[derive(Debug, Clone)]
pub(super) struct TaggedCookies {
    pub(super) prefix: &'static str,
    pub(super) secure: bool,
    pub(super) lifetime: Duration,
}

impl TaggedCookies {
    /// `Set-Cookie` for a new secret, and for the oldest ones if there are
    /// too many. `others`: cookies of another kind that share the places.
    pub(super) fn begin(
        &self,
        tag: &str,
        secret: &[u8],
        now: Timestamp,
        request_cookies: &[&[u8]],
        others: usize,
    ) -> Vec<String> {
        let kept = KEPT.saturating_sub(1 + others);
        let mut open: Vec<(&str, u32)> = self
            .entries(request_cookies)
            .map(|(tag, value)| (tag, made_at(value).unwrap_or(0)))
            .collect();
        open.sort_by_key(|(_, made)| std::cmp::Reverse(*made));
        let mut set: Vec<String> = open
            .iter()
            .skip(kept)
            .take(KEPT)
            .map(|(tag, _)| self.clear(tag))
            .collect();
        set.push(self.cookie(tag, value(secret, now), self.lifetime));
        set
    }

    /// Keeps the secret of what succeeded, so that a reload finds it.
    pub(super) fn keep(&self, tag: &str, secret: &[u8], made: Timestamp) -> String {
        self.cookie(tag, value(secret, made), self.lifetime)
    }

    pub(super) fn count(&self, cookies: &[&[u8]]) -> usize {
        self.named(cookies).count()
    }

    /// Drops the cookie of what ended.
    pub(super) fn clear(&self, tag: &str) -> String {
        self.cookie(tag, String::new(), Duration::ZERO)
    }

    pub(super) fn cookie(&self, tag: &str, value: String, max_age: Duration) -> String {
        let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        Cookie::build((format!("{}{tag}", self.prefix), value))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::seconds(max_age))
            .build()
            .to_string()
    }

    /// Tag and secret of every cookie of this kind.
    pub(super) fn secrets<'a, const N: usize>(
        &'a self,
        cookies: &'a [&'a [u8]],
    ) -> impl Iterator<Item = (&'a str, [u8; N])> + 'a {
        self.entries(cookies).filter_map(|(tag, value)| {
            let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
            let (secret, made) = bytes.split_first_chunk::<N>()?;
            (made.len() == 4).then_some((tag, *secret))
        })
    }

    /// (tag, value) of every cookie of this kind.
    fn entries<'a>(
        &'a self,
        cookies: &'a [&'a [u8]],
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.named(cookies).filter(|(tag, _)| {
            tag.len() == TAG_LENGTH && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }

    /// What follows the prefix in a cookie's name, and its value. Raw bytes:
    /// whatever is not ours is not looked at.
    pub(super) fn named<'a>(
        &'a self,
        cookies: &'a [&'a [u8]],
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        cookies
            .iter()
            .flat_map(|field| field.split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok())
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, value)| Some((name.strip_prefix(self.prefix)?, value)))
    }
}

fn value(secret: &[u8], made: Timestamp) -> String {
    let mut value = secret.to_vec();
    let made = u32::try_from(made.as_secs()).unwrap_or(u32::MAX);
    value.extend_from_slice(&made.to_be_bytes());
    URL_SAFE_NO_PAD.encode(value)
}

fn made_at(value: &str) -> Option<u32> {
    let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
    let (_, made) = bytes.split_last_chunk::<4>()?;
    Some(u32::from_be_bytes(*made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies() -> TaggedCookies {
        TaggedCookies {
            prefix: "__Host-vestibule-h-",
            secure: true,
            lifetime: Duration::from_secs(600),
        }
    }

    #[test]
    fn sixteen_are_kept_and_the_oldest_give_way() {
        let cookies = cookies();
        let mut jar: Vec<String> = Vec::new();
        for second in 0..16 {
            let now = Timestamp::from_secs(1_000 + second);
            let fields: Vec<&[u8]> = jar.iter().map(String::as_bytes).collect();
            let set = cookies.begin(&format!("aaaaaa{second:02}"), &[7; 32], now, &fields, 0);
            assert_eq!(set.len(), 1, "{second}");
            jar.push(set[0].split(';').next().unwrap().to_owned());
        }
        let fields: Vec<&[u8]> = jar.iter().map(String::as_bytes).collect();
        let set = cookies.begin(
            "bbbbbbbb",
            &[8; 32],
            Timestamp::from_secs(2_000),
            &fields,
            0,
        );
        assert_eq!(set.len(), 2);
        let crowded = cookies.begin(
            "bbbbbbbb",
            &[8; 32],
            Timestamp::from_secs(2_000),
            &fields,
            2,
        );
        assert_eq!(crowded.len(), 4);
        assert!(
            set[0].starts_with("__Host-vestibule-h-aaaaaa00=;"),
            "{set:?}"
        );
        assert!(set[1].contains("Max-Age=600") && set[1].contains("Secure"));
        assert_eq!(cookies.secrets::<32>(&fields).count(), 16);
        assert_eq!(cookies.secrets::<16>(&fields).count(), 0);
    }

    #[test]
    fn foreign_cookies_are_not_looked_at() {
        let cookies = cookies();
        let fields: [&[u8]; 3] = [
            b"a=1; __Host-vestibule-h-short=x; \xff=1",
            b"__Host-vestibule-h-aaaaaaaa; __Host-vestibule-h-aaaaaaa!=AAAA",
            b"__Host-vestibule-t-aaaaaaaa=AAAA; __Host-vestibule-h-aaaaaaaa=***",
        ];
        assert_eq!(cookies.secrets::<32>(&fields).count(), 0);
    }
}
