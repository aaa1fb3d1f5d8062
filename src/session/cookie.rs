//! The session cookie: its name and attributes, how it is found among
//! foreign cookies, and how ours are kept from upstreams (RFC 6265bis).

use std::ops::Deref;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cookie::time::OffsetDateTime;
use cookie::{Cookie, CookieBuilder, Expiration};
use memchr::memmem;

use super::ticket::{Scope, TEXT_LENGTH, Ticket};
use crate::base::clock::Clock;
use crate::config::checked::{SameSite, Server, Session};
use crate::model::origin::Scheme;

/// The name that all our cookies share, after a prefix that browsers enforce.
const STEM: &[u8] = b"vestibule";
/// What may follow the stem: a sign-in under way, a hand-off under way, the
/// mark of a person, what is left of a recent sign-in.
const TAGGED: [&[u8]; 4] = [b"-t-", b"-h-", b"-p-", b"-r-"];
/// A sibling host may toss cookies of our name (RFC 6265bis section 8.6):
/// this many are looked at, so that the valid one is still found.
const CANDIDATES: usize = 4;

/// The session cookies of one installation: that of the home scope, and that
/// of every single host outside it.
#[derive(Debug, Clone)]
pub struct SessionCookies {
    home_scope: Scope,
    home: SessionCookie,
    host: SessionCookie,
}

impl SessionCookies {
    pub fn new(server: &Server, session: &Session, clock: Clock) -> Self {
        let domain = session.cookie_domain.clone();
        // Cookies ignore ports, so scopes do.
        let home_scope = domain.clone();
        let home_scope = home_scope.unwrap_or_else(|| server.public_url.host.clone());
        Self {
            home_scope: Scope(home_scope),
            home: SessionCookie::new(server, session, domain, clock.clone()),
            host: SessionCookie::new(server, session, None, clock),
        }
    }

    /// The scope of `public_url`'s host.
    pub fn home_scope(&self) -> &Scope {
        &self.home_scope
    }

    /// The same text wherever cookies are made and found alike.
    pub fn settings(&self) -> String {
        let SessionCookie {
            name,
            domain,
            same_site,
            ..
        } = &self.home;
        format!("{name}, {domain:?}, {same_site:?}, {}", self.home_scope.0)
    }

    pub fn of(&self, scope: &Scope) -> &SessionCookie {
        if *scope == self.home_scope {
            &self.home
        } else {
            &self.host
        }
    }
}

/// Name and attributes of one session cookie.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    pub name: &'static str,
    /// `None`: the cookie stays on one host.
    pub domain: Option<String>,
    pub secure: bool,
    pub same_site: SameSite,
    /// The session's lifetime; the store enforces it, the cookie only tidies.
    pub max_age: Duration,
    clock: Clock,
    finder: memmem::Finder<'static>,
}

impl SessionCookie {
    fn new(server: &Server, session: &Session, domain: Option<String>, clock: Clock) -> Self {
        let secure = server.public_url.scheme == Scheme::Https;
        let name = match (&domain, secure) {
            (Some(_), true) => "__Secure-vestibule",
            (None, true) => "__Host-vestibule",
            (_, false) => "vestibule",
        };
        Self {
            name,
            domain,
            secure,
            same_site: session.same_site,
            max_age: session.lifetime,
            clock,
            finder: memmem::Finder::new(name),
        }
    }

    /// The value of a Set-Cookie field that hands out `ticket`.
    pub fn set(&self, ticket: &Ticket) -> String {
        let ends = self.clock.now().plus(self.max_age);
        let ends = i64::try_from(ends.as_secs()).unwrap_or(i64::MAX);
        let length = cookie::time::Duration::try_from(self.max_age)
            .unwrap_or(cookie::time::Duration::days(400));
        self.with_attributes(ticket.text())
            .max_age(length)
            .expires(
                OffsetDateTime::from_unix_timestamp(ends)
                    .map_or(Expiration::Session, Expiration::DateTime),
            )
            .build()
            .to_string()
    }

    /// The value of a Set-Cookie field that ends the cookie. Browsers match
    /// it by name, domain and path, so it is built as the other one is.
    pub fn clear(&self) -> String {
        self.with_attributes(String::new())
            .max_age(cookie::time::Duration::ZERO)
            .expires(OffsetDateTime::UNIX_EPOCH)
            .build()
            .to_string()
    }

    fn with_attributes(&self, value: String) -> CookieBuilder<'_> {
        let same_site = match self.same_site {
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::Strict => cookie::SameSite::Strict,
        };
        let mut builder = Cookie::build((self.name, value))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(same_site);
        if let Some(domain) = &self.domain {
            builder = builder.domain(domain.as_str());
        }
        builder
    }

    /// What might be our ticket in the Cookie fields of a request, in order.
    /// Nothing else in them is parsed or copied.
    pub fn find<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Candidates<'a> {
        let mut found = Candidates::default();
        for field in fields {
            for at in self.finder.find_iter(field) {
                if !begins_pair(&field[..at]) {
                    continue;
                }
                let Some(rest) = field[at + self.name.len()..].strip_prefix(b"=") else {
                    continue;
                };
                let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
                if let Ok(value) = std::str::from_utf8(rest[..end].trim_ascii()) {
                    found.push(value);
                }
            }
        }
        found
    }
}

fn begins_pair(before: &[u8]) -> bool {
    matches!(before.trim_ascii_end().last(), None | Some(b';'))
}

/// A few texts that may be tickets; derefs to a slice.
#[derive(Debug, Default)]
pub struct Candidates<'a> {
    texts: [&'a str; CANDIDATES],
    count: usize,
}

impl<'a> Candidates<'a> {
    /// Texts of another length are no tickets and take nobody's place.
    fn push(&mut self, text: &'a str) {
        let fits = text.len() == TEXT_LENGTH && self.count < CANDIDATES;
        if fits && !self.texts[..self.count].contains(&text) {
            self.texts[self.count] = text;
            self.count += 1;
        }
    }
}

impl<'a> Deref for Candidates<'a> {
    type Target = [&'a str];

    fn deref(&self) -> &Self::Target {
        &self.texts[..self.count]
    }
}

/// What is left of a Cookie field for the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stripped {
    /// Holds nothing of ours: send the field as it is.
    Unchanged,
    /// The others, byte for byte and in order.
    Kept(Bytes),
    /// Held only ours: drop the field.
    Nothing,
}

/// Takes every cookie of ours, of any scope, out of one Cookie field. Only
/// pairs that hold our stem are looked at.
pub fn strip_own(field: &[u8]) -> Stripped {
    static STEMS: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(STEM));
    let mut kept = BytesMut::new();
    let mut removed = false;
    // Everything before this is copied or dropped.
    let mut from = 0;
    let mut search = 0;
    while let Some(found) = STEMS.find(&field[search..]) {
        let at = search + found;
        let before = memchr::memrchr(b';', &field[from..at]);
        let start = before.map_or(from, |semicolon| from + semicolon + 1);
        let end = memchr::memchr(b';', &field[at..]).map_or(field.len(), |more| at + more);
        search = end;
        if !is_own(&field[start..end]) {
            continue;
        }
        if !removed {
            kept.reserve(field.len());
        }
        let pairs = &field[from..start];
        keep(
            &mut kept,
            pairs.strip_suffix(b";").unwrap_or(pairs),
            removed,
        );
        removed = true;
        from = field.len().min(end + 1);
    }
    if !removed {
        return Stripped::Unchanged;
    }
    keep(&mut kept, &field[from..], true);
    if kept.trim_ascii().is_empty() {
        Stripped::Nothing
    } else {
        Stripped::Kept(kept.freeze())
    }
}

fn keep(kept: &mut BytesMut, pairs: &[u8], something_removed: bool) {
    if pairs.is_empty() {
        return;
    }
    if !kept.is_empty() {
        kept.extend_from_slice(b";");
        kept.extend_from_slice(pairs);
    } else if something_removed {
        kept.extend_from_slice(pairs.trim_ascii_start());
    } else {
        kept.extend_from_slice(pairs);
    }
}

/// Whether a Set-Cookie value of an upstream would plant a cookie of ours.
pub fn own_set_cookie(value: &[u8]) -> bool {
    value.split(|byte| *byte == b';').next().is_some_and(is_own)
}

/// A nameless cookie (`=name=value`) is sent back as `name=value`, so leading
/// equals signs do not hide a name. Browsers compare prefixes without regard
/// to case, so do we.
fn is_own(pair: &[u8]) -> bool {
    let mut pair = pair.trim_ascii();
    while let Some(rest) = pair.strip_prefix(b"=") {
        pair = rest.trim_ascii_start();
    }
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    let name = name.trim_ascii_end();
    let bare = [&b"__host-"[..], b"__secure-"]
        .iter()
        .find_map(|prefix| {
            let (head, rest) = name.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then_some(rest)
        })
        .unwrap_or(name);
    bare.strip_prefix(STEM)
        .is_some_and(|rest| rest.is_empty() || TAGGED.iter().any(|tagged| rest.starts_with(tagged)))
}

#[cfg(test)]
mod tests;
