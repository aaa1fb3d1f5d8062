//! The head of a request as its upstream sees it.

use http::header::{self, HeaderMap, HeaderValue};

use super::forward::{CookieField, CookieFilter};
use super::hop_by_hop::has_token;
use super::survey::{Field, Survey};
use super::{forwarded, hop_by_hop};
use crate::base::header_names as names;
use crate::identity_headers::{ReadyHeaders, ScrubList};
use crate::listener::Connection;
use crate::model::context::RequestContext;
use crate::model::origin::Authority;

pub(super) struct Rewrite<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) connection: &'a Connection,
    pub(super) scrub: &'a ScrubList,
    pub(super) cookies: CookieFilter,
    /// `Host` for upstreams that want their own name.
    pub(super) own_host: Option<&'a HeaderValue>,
    /// The prefix that was taken off the path. Only our own word for it
    /// reaches an upstream: the client's was scrubbed.
    pub(super) stripped: Option<&'a HeaderValue>,
    pub(super) identity: Option<&'a ReadyHeaders>,
}

impl Rewrite<'_> {
    /// The order matters: what belongs to the connection goes first, then
    /// what a client may not say, and only then comes what we say.
    pub(super) fn apply(&self, headers: &mut HeaderMap, there: Survey) {
        let trailers = there.has(Field::TE) && has_token(headers, &header::TE, b"trailers");
        let (host, is_sent) = host(headers, &self.context.target.authority);
        hop_by_hop::clean_request(headers, there);
        if there.has(Field::FOREIGN) {
            self.scrub.scrub(headers);
        }
        if there.has(Field::TRAILER) {
            hop_by_hop::announce_trailers(headers, |name| self.scrub.removes(name));
        }
        if there.has(Field::COOKIE) {
            strip_cookies(headers, self.cookies);
        }
        let (context, connection) = (self.context, self.connection);
        forwarded::write(headers, context, connection, &host, there);
        if let Some(prefix) = self.stripped {
            headers.insert(names::X_FORWARDED_PREFIX, prefix.clone());
        }
        match self.own_host {
            Some(own) => {
                headers.insert(header::HOST, own.clone());
            }
            None if is_sent => {}
            None => {
                headers.insert(header::HOST, host);
            }
        }
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(identity) = self.identity {
            identity.apply(headers);
        }
    }
}

/// The authority that was judged, and nothing else; whether the head has it
/// like that. The client's own bytes serve where they say the same.
fn host(headers: &HeaderMap, authority: &Authority) -> (HeaderValue, bool) {
    let mut sent = headers.get_all(header::HOST).into_iter();
    if let (Some(host), None) = (sent.next(), sent.next())
        && is_spelt(host.as_bytes(), authority)
    {
        return (host.clone(), true);
    }
    let host = HeaderValue::from_str(&authority.to_string())
        .expect("an authority is ASCII without control characters");
    (host, false)
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

/// Cookies of the application pass byte for byte and in order.
fn strip_cookies(headers: &mut HeaderMap, cookies: CookieFilter) {
    let mut fields = headers.get_all(header::COOKIE).into_iter();
    if let (Some(only), None) = (fields.next(), fields.next())
        && matches!((cookies.strip)(only.as_bytes()), CookieField::Unchanged)
    {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|field| match (cookies.strip)(field.as_bytes()) {
            CookieField::Unchanged => Some(field.clone()),
            CookieField::Kept(rest) => HeaderValue::from_maybe_shared(rest).ok(),
            CookieField::Nothing => None,
        })
        .collect();
    headers.remove(header::COOKIE);
    for field in kept {
        headers.append(header::COOKIE, field);
    }
}
