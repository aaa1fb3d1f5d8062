//! The head of a request as its upstream sees it.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

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

pub(super) struct Rewrite<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) connection: &'a Connection,
    pub(super) scrub: &'a ScrubList,
    pub(super) cookies: CookieFilter,
    /// The application is not to see any cookie.
    pub(super) drop_cookies: bool,
    /// `Host` for upstreams that want their own name.
    pub(super) own_host: Option<&'a HeaderValue>,
    /// The prefix that was taken off the path. Only our own word for it
    /// reaches an upstream: the client's was scrubbed.
    pub(super) stripped: Option<&'a HeaderValue>,
    pub(super) identity: Option<&'a ReadyHeaders>,
}

impl Rewrite<'_> {
    /// Says what the upstream is to hear, in one pass: first what the client
    /// may say, and then what we say. Names of ours never pass from the
    /// client, so none is said twice.
    pub(super) fn write(&self, received: &HeaderMap, there: Survey, fields: &mut impl Fields) {
        let host = &*host(received, &self.context.target.authority);
        fields.put(&header::HOST, self.own_host.unwrap_or(host));
        let nominated = if there.has(Field::CONNECTION) {
            hop_by_hop::nominated(received)
        } else {
            Vec::new()
        };
        for (place, (name, value)) in received.iter().enumerate() {
            if (there.is_plain(place) || self.may_pass(name)) && !nominated.contains(name) {
                fields.put(name, value);
            }
        }
        if there.has(Field::COOKIE) && !self.drop_cookies {
            self.cookies(received, fields);
        }
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
        forwarded::write(fields, received, context, connection, host, there);
        if let Some(prefix) = self.stripped {
            fields.put(&names::X_FORWARDED_PREFIX, prefix);
        }
        for (name, value) in self.identity.iter().flat_map(|identity| identity.iter()) {
            fields.put(name, value);
        }
    }

    /// Whether a field that some step may deal with passes as it is.
    fn may_pass(&self, name: &HeaderName) -> bool {
        if self.scrub.removes(name) {
            return false;
        }
        match Field::of(name.as_str()) {
            None => true,
            Some(Field::AUTHORIZATION) => !self.tells(name),
            // Of an answer only.
            Some(Field::SET_COOKIE | Field::CLEAR_SITE_DATA | Field::PROXY_AUTHENTICATE) => true,
            Some(_) => false,
        }
    }

    fn tells(&self, name: &HeaderName) -> bool {
        self.identity
            .is_some_and(|identity| identity.iter().any(|(known, _)| known == name))
    }

    /// Cookies of the application pass byte for byte and in order.
    fn cookies(&self, received: &HeaderMap, fields: &mut impl Fields) {
        for field in received.get_all(header::COOKIE) {
            match (self.cookies.strip)(field.as_bytes()) {
                CookieField::Unchanged => fields.put(&header::COOKIE, field),
                CookieField::Kept(rest) => {
                    if let Ok(rest) = HeaderValue::from_maybe_shared(rest) {
                        fields.put(&header::COOKIE, &rest);
                    }
                }
                CookieField::Nothing => {}
            }
        }
    }
}

/// The authority that was judged, and nothing else: as the client sent it,
/// where that says the same.
fn host<'a>(received: &'a HeaderMap, authority: &Authority) -> Cow<'a, HeaderValue> {
    let mut sent = received.get_all(header::HOST).into_iter();
    if let (Some(host), None) = (sent.next(), sent.next())
        && is_spelt(host.as_bytes(), authority)
    {
        return Cow::Borrowed(host);
    }
    let host = HeaderValue::from_str(&authority.to_string())
        .expect("an authority is ASCII without control characters");
    Cow::Owned(host)
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
