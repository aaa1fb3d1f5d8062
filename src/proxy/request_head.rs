//! The head of a request as its upstream sees it.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use http::request::Parts;

use super::forward::{CookieField, CookieFilter};
use super::forwarded;
use super::hop_by_hop::{self, has_token};
use super::http1::RequestBytes;
use super::survey::{Field, Survey};
use crate::base::header_names as names;
use crate::identity_headers::{ReadyHeaders, ScrubList};
use crate::listener::Connection;
use crate::model::context::RequestContext;
use crate::model::origin::Authority;
use crate::model::target::Target;

/// Of a request that says it has no body.
pub(super) static NO_LENGTH: HeaderValue = HeaderValue::from_static("0");

/// Where the fields of a head go, one after the other: onto the wire, or
/// into a map for those who need one.
pub(super) trait Fields {
    fn put(&mut self, name: &HeaderName, value: &HeaderValue);
}

impl Fields for RequestBytes {
    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.field(name, value);
    }
}

impl Fields for HeaderMap {
    fn put(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name.clone(), value.clone());
    }
}

/// What an upstream hears of a request's head.
pub struct Rewrite<'a> {
    pub context: &'a RequestContext,
    pub connection: &'a Connection,
    pub scrub: &'a ScrubList,
    pub cookies: CookieFilter,
    /// What is left of the only Cookie field, if that is known.
    pub passed_on: Option<&'a CookieField>,
    /// The application is not to see any cookie.
    pub drop_cookies: bool,
    /// `Host` for upstreams that want their own name.
    pub own_host: Option<&'a HeaderValue>,
    /// The prefix that was taken off the path. Only our own word for it
    /// reaches an upstream: the client's was scrubbed.
    pub stripped: Option<&'a HeaderValue>,
    pub identity: Option<&'a ReadyHeaders>,
}

impl Rewrite<'_> {
    /// The whole head of a request that has no body, as it goes over an
    /// HTTP/1.1 connection. `there`: the survey of these very fields.
    pub fn bytes(&self, received: &Parts, there: Survey, judged: &Target) -> RequestBytes {
        let mut bytes = RequestBytes::begin(&received.method, &judged.path_and_query);
        self.write(&received.headers, there, &mut bytes);
        if there.has(Field::CONTENT_LENGTH) {
            bytes.field(&header::CONTENT_LENGTH, &NO_LENGTH);
        }
        bytes.end();
        bytes
    }

    /// Says what the upstream is to hear, in one pass: first what the client
    /// may say, and then what we say. Names of ours never pass from the
    /// client, so none is said twice. `Host` is the authority that was
    /// judged, in the client's own bytes where they say the same.
    pub(super) fn write(&self, received: &HeaderMap, there: Survey, fields: &mut impl Fields) {
        let authority = &self.context.target.authority;
        let nominated = if there.has(Field::CONNECTION) {
            hop_by_hop::nominated(received)
        } else {
            Vec::new()
        };
        let mut host = None;
        for (place, (name, value)) in received.iter().enumerate() {
            if nominated.contains(name) {
                continue;
            }
            let field = if there.is_plain(place) {
                None
            } else if self.scrub.removes(name) {
                continue;
            } else {
                Field::of(name.as_str())
            };
            match field {
                Some(Field::HOST) if host.is_none() => {
                    let said = said(value, authority);
                    fields.put(&header::HOST, self.own_host.unwrap_or(&said));
                    host = Some(said);
                }
                Some(Field::COOKIE) => self.cookie(value, fields),
                Some(Field::AUTHORIZATION) if self.tells(name) => {}
                Some(field) if !field.may_pass() => {}
                _ => fields.put(name, value),
            }
        }
        let host = host.unwrap_or_else(|| {
            let spelt = Cow::Owned(spelt(authority));
            fields.put(&header::HOST, self.own_host.unwrap_or(&spelt));
            spelt
        });
        if there.has(Field::TRAILER) {
            let announced = hop_by_hop::announced(received, |name| self.scrub.removes(name));
            if let Some(announced) = announced {
                fields.put(&header::TRAILER, &announced);
            }
        }
        if there.has(Field::TE) && has_token(received, &header::TE, b"trailers") {
            fields.put(&header::TE, &HeaderValue::from_static("trailers"));
            fields.put(&header::CONNECTION, &HeaderValue::from_static("te"));
        }
        let (context, connection) = (self.context, self.connection);
        forwarded::write(fields, received, context, connection, &host, there);
        if let Some(prefix) = self.stripped {
            fields.put(&names::X_FORWARDED_PREFIX, prefix);
        }
        for (name, value) in self.identity.iter().flat_map(|identity| identity.iter()) {
            fields.put(name, value);
        }
    }

    fn tells(&self, name: &HeaderName) -> bool {
        self.identity
            .is_some_and(|identity| identity.iter().any(|(known, _)| known == name))
    }

    /// Cookies of the application pass byte for byte and in order.
    fn cookie(&self, field: &HeaderValue, fields: &mut impl Fields) {
        if self.drop_cookies {
            return;
        }
        let read;
        let left = if let Some(known) = self.passed_on {
            known
        } else {
            read = (self.cookies.strip)(field.as_bytes());
            &read
        };
        match left {
            CookieField::Unchanged => fields.put(&header::COOKIE, field),
            CookieField::Kept(rest) => fields.put(&header::COOKIE, rest),
            CookieField::Nothing => {}
        }
    }
}

/// The client's own bytes, where they say what was judged.
fn said<'a>(host: &'a HeaderValue, authority: &Authority) -> Cow<'a, HeaderValue> {
    if is_spelt(host.as_bytes(), authority) {
        return Cow::Borrowed(host);
    }
    Cow::Owned(spelt(authority))
}

fn spelt(authority: &Authority) -> HeaderValue {
    HeaderValue::from_str(&authority.to_string())
        .expect("an authority is ASCII without control characters")
}

fn is_spelt(text: &[u8], authority: &Authority) -> bool {
    let Some(rest) = text.strip_prefix(authority.host.as_bytes()) else {
        return false;
    };
    match authority.port {
        None => rest.is_empty(),
        Some(port) => {
            let mut digits = itoa::Buffer::new();
            rest.split_first() == Some((&b':', digits.format(port).as_bytes()))
        }
    }
}
