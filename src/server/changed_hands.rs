//! Hosts below a shared cookie domain get tickets without an answer of ours
//! on that very host, and no other host can clear their cookies. A mark of
//! the person, kept on the host, tells when the browser changed hands.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::render;
use super::service::Inner;
use super::sign_in::cookie_fields;
use crate::base::body::Body;
use crate::base::header_names::{PERSON_COOKIE, PERSON_COOKIE_HOST};
use crate::model::context::{Audience, RequestContext};
use crate::model::origin::Scheme;
use crate::route::Route;
use crate::session::sessions::Session;

/// Longer than an application's own session: browsers keep no cookie longer.
const MAX_AGE_SECONDS: u32 = 400 * 24 * 60 * 60;

impl Inner {
    /// A browser that shows no mark of this person must not reach the
    /// application with the application's own session: a navigation is
    /// answered by clearing it and coming again, anything else goes on
    /// without these cookies.
    pub(super) fn changed_hands(
        &self,
        context: &RequestContext,
        route: &Route,
        session: &Session,
        headers: &mut HeaderMap,
    ) -> Option<Response<Body>> {
        let rules = &route.config.identity;
        let host = &context.target.authority;
        if !rules.clear_on_arrival || self.is_public_host(host) {
            return None;
        }
        let name = if self.public_url.scheme == Scheme::Https {
            PERSON_COOKIE_HOST
        } else {
            PERSON_COOKIE
        };
        let shown = values(&cookie_fields(headers), name);
        let identity = &session.identity;
        if self.gate.shows_person(&shown, &host.host, identity) {
            return None;
        }
        if context.audience != Audience::Navigation {
            remove(headers, &rules.clear_cookies);
            return None;
        }
        let secure = if self.public_url.scheme == Scheme::Https {
            "; Secure"
        } else {
            ""
        };
        let mark = self.gate.person_mark(&host.host, identity);
        let mut cookies = self.routes.clearing(host, None, identity);
        cookies.push(format!(
            "{name}={mark}; Path=/; Max-Age={MAX_AGE_SECONDS}; HttpOnly; SameSite=Lax{secure}"
        ));
        let mut response = render::redirect(StatusCode::FOUND, &self.here(context));
        render::set_cookies(&mut response, &cookies);
        Some(response)
    }
}

fn pairs<'a>(fields: &[&'a [u8]]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    fields
        .iter()
        .flat_map(|field| field.split(|byte| *byte == b';'))
        .map(|pair| {
            let pair = pair.trim_ascii();
            let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            (pair[..end].trim_ascii(), pair)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// The values of every cookie of this name.
fn values<'a>(fields: &[&'a [u8]], name: &str) -> Vec<&'a [u8]> {
    pairs(fields)
        .filter(|(known, _)| *known == name.as_bytes())
        .filter_map(|(known, pair)| {
            let rest = pair[known.len()..].trim_ascii_start();
            rest.strip_prefix(b"=").map(<[u8]>::trim_ascii)
        })
        .collect()
}

/// Takes the named cookies out of a request; the rest keeps its order.
fn remove(headers: &mut HeaderMap, names: &[String]) {
    let fields = cookie_fields(headers);
    let kept: Vec<&[u8]> = pairs(&fields)
        .filter(|(known, pair)| {
            !pair.is_empty() && !names.iter().any(|name| name.as_bytes() == *known)
        })
        .map(|(_, pair)| pair)
        .collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    headers.remove(header::COOKIE);
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        headers.insert(header::COOKIE, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_cookies_are_taken_out() {
        for (sent, kept) in [
            (&["a=1; app=2; b=3"][..], Some("a=1; b=3")),
            (&["app=2"], None),
            (&["app=2;app = 3 ;x"], Some("x")),
            (&["a=1", "app=2; b=\"x\""], Some("a=1; b=\"x\"")),
            (&["apps=2; xapp=3"], Some("apps=2; xapp=3")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in sent {
                headers.append(header::COOKIE, HeaderValue::from_static(field));
            }
            remove(&mut headers, &["app".to_owned()]);
            let left: Vec<_> = headers.get_all(header::COOKIE).iter().collect();
            assert_eq!(left, Vec::from_iter(kept), "{sent:?}");
        }
    }

    #[test]
    fn every_mark_that_is_shown_is_found() {
        let fields: [&[u8]; 2] = [b"p=1; q=2;p = 3", b"pp=4; p; p=5=6"];
        assert_eq!(values(&fields, "p"), [&b"1"[..], b"3", b"5=6"]);
    }
}
