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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::key_ring::KeyRing;
    use crate::session::ticket::TicketKeys;

    fn cookie(name: &'static str, domain: Option<&str>) -> SessionCookie {
        SessionCookie {
            name,
            domain: domain.map(Into::into),
            secure: name != "vestibule",
            same_site: SameSite::Lax,
            max_age: Duration::from_secs(3600),
            clock: Clock::movable(),
            finder: memmem::Finder::new(name),
        }
    }

    fn ticket(cookie: &SessionCookie) -> Ticket {
        let keys = TicketKeys::new(&KeyRing::parse(&KeyRing::generate()).unwrap(), "n");
        Ticket::derive(&keys, b"seed", &scope_of(cookie))
    }

    fn scope_of(cookie: &SessionCookie) -> Scope {
        Scope(cookie.domain.clone().unwrap_or("app.example.com".into()))
    }

    #[test]
    fn set_and_clear_have_the_same_attributes() {
        for cookie in [
            cookie("__Host-vestibule", None),
            cookie("__Secure-vestibule", Some("example.com")),
            cookie("vestibule", None),
        ] {
            let ticket = ticket(&cookie);
            let set = cookie.set(&ticket);
            let clear = cookie.clear();
            let set = Cookie::parse(set).unwrap();
            let clear = Cookie::parse(clear).unwrap();
            assert_eq!(set.name(), cookie.name);
            assert_eq!(set.value(), ticket.text());
            assert_eq!(clear.value(), "");
            for one in [&set, &clear] {
                assert_eq!(one.name(), cookie.name);
                assert_eq!(one.path(), Some("/"));
                assert_eq!(one.domain(), cookie.domain.as_deref());
                assert_eq!(one.http_only(), Some(true));
                assert_eq!(one.secure().unwrap_or(false), cookie.secure);
                assert_eq!(one.same_site(), Some(cookie::SameSite::Lax));
            }
            let ends = set.expires_datetime().unwrap().unix_timestamp();
            let expected = cookie.clock.now().plus(cookie.max_age).as_secs();
            assert!((expected - 2..=expected).contains(&u64::try_from(ends).unwrap()));
            assert_eq!(set.max_age().unwrap().whole_seconds(), 3600);
            assert!(clear.max_age().unwrap().is_zero());
            assert!(
                clear.expires_datetime().unwrap() < OffsetDateTime::from_unix_timestamp(1).unwrap()
            );
            assert!(cookie.clock.now() > Timestamp(0));
        }
    }

    #[test]
    fn finds_only_whole_names_in_any_field() {
        let cookie = cookie("__Host-vestibule", None);
        let a = "a".repeat(TEXT_LENGTH);
        let b = "b".repeat(TEXT_LENGTH);
        for (fields, expected) in [
            (vec![format!("__Host-vestibule={a}")], vec![&a]),
            (vec![format!("x=1; __Host-vestibule={a}; y=2")], vec![&a]),
            (vec![format!("x=1;__Host-vestibule={a} ;y=2")], vec![&a]),
            (
                vec!["x=1".into(), format!("y=2; __Host-vestibule={b}")],
                vec![&b],
            ),
            (
                vec![format!("__Host-vestibule={a}; __Host-vestibule={b}")],
                vec![&a, &b],
            ),
            (
                vec![format!("__Host-vestibule={a}; __Host-vestibule={a}")],
                vec![&a],
            ),
            (vec![format!("x__Host-vestibule={a}")], vec![]),
            (vec![format!("__Host-vestibule-t-x={a}")], vec![]),
            (vec![format!("__Host-vestibulex={a}")], vec![]),
            (vec![format!("x=__Host-vestibule={a}")], vec![]),
            (vec![format!("__host-vestibule={a}")], vec![]),
            (vec![format!("__Host-vestibule={a}x")], vec![]),
            (vec!["__Host-vestibule=; __Host-vestibule".into()], vec![]),
        ] {
            let found = cookie.find(fields.iter().map(String::as_bytes));
            assert_eq!(found.to_vec(), expected, "{fields:?}");
        }
    }

    #[test]
    fn sec_ses_09_tossed_cookies_do_not_hide_the_valid_one() {
        let cookie = cookie("__Secure-vestibule", Some("example.com"));
        let keys = TicketKeys::new(&KeyRing::parse(&KeyRing::generate()).unwrap(), "n");
        let ticket = Ticket::derive(&keys, b"seed", &scope_of(&cookie));
        let junk = "__Secure-vestibule=junk; ".repeat(200);
        let forged = "f".repeat(TEXT_LENGTH);
        let field = format!(
            "{junk}__Secure-vestibule={forged}; __Secure-vestibule={}",
            ticket.text()
        );
        let found = cookie.find([field.as_bytes()]);
        let valid: Vec<_> = found
            .iter()
            .filter_map(|text| Ticket::parse(text, &keys, &scope_of(&cookie)).ok())
            .collect();
        assert!(valid == [ticket]);
        let many: String = (0..9)
            .map(|n| format!("__Secure-vestibule={};", n.to_string().repeat(TEXT_LENGTH)))
            .collect();
        assert_eq!(cookie.find([many.as_bytes()]).len(), CANDIDATES);
    }

    #[test]
    fn strips_ours_and_keeps_the_others_byte_for_byte() {
        for (field, kept) in [
            ("a=1; __Host-vestibule=x; b=2", Some("a=1; b=2")),
            ("__Host-vestibule=x; b=\"2\";c", Some("b=\"2\";c")),
            ("a=1;  b=2 ;__Secure-vestibule=x", Some("a=1;  b=2 ")),
            ("vestibule=x", None),
            ("vestibule=x; ", None),
            ("__Host-vestibule-t-abc=x; a=\u{e9}", Some("a=\u{e9}")),
            (
                "a=1; vestibule-t-abc=x; __Host-vestibule-h-q=1",
                Some("a=1"),
            ),
            ("a=1; =vestibule=x", Some("a=1")),
            ("a=1; __HOST-vestibule=x", Some("a=1")),
        ] {
            let expected = kept.map_or(Stripped::Nothing, |kept| {
                Stripped::Kept(Bytes::copy_from_slice(kept.as_bytes()))
            });
            assert_eq!(strip_own(field.as_bytes()), expected, "{field}");
        }
        for field in [
            "",
            "a=1; b=2",
            "a=vestibule",
            "xvestibule=1; vestibules=2",
            "vestibule-theme=dark",
            "my__Host-vestibule=1",
        ] {
            assert_eq!(strip_own(field.as_bytes()), Stripped::Unchanged, "{field}");
        }
    }

    #[test]
    fn an_upstream_cannot_plant_our_cookies() {
        for value in [
            "__Host-vestibule=x; Path=/",
            "vestibule=x",
            " vestibule =x",
            "=vestibule=x",
            "= =__Secure-vestibule=x",
            "__host-vestibule-t-1=x",
        ] {
            assert!(own_set_cookie(value.as_bytes()), "{value}");
        }
        for value in [
            "a=vestibule",
            "sid=1; Path=/; vestibule=x",
            "vestibules=x",
            "",
        ] {
            assert!(!own_set_cookie(value.as_bytes()), "{value}");
        }
    }

    /// The pairs of a field that are somebody's, without the space around
    /// them.
    fn others(field: &[u8]) -> Vec<&[u8]> {
        let pairs = field.split(|byte| *byte == b';');
        let others = pairs.filter(|pair| !is_own(pair)).map(<[u8]>::trim_ascii);
        others.filter(|pair| !pair.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn what_is_left_is_every_pair_of_others(
            field in "((__Host-|__Secure-|x)?vestibule(-t-|s)?|[a-c =;]{0,3}|=|;){0,12}",
        ) {
            let field = field.as_bytes();
            let stripped = strip_own(field);
            let has_own = field.split(|byte| *byte == b';').any(is_own);
            prop_assert_eq!(stripped == Stripped::Unchanged, !has_own);
            let left = match &stripped {
                Stripped::Unchanged => field,
                Stripped::Kept(kept) => kept,
                Stripped::Nothing => b"",
            };
            prop_assert!(!left.split(|byte| *byte == b';').any(is_own));
            prop_assert_eq!(others(left), others(field));
        }
    }
}
