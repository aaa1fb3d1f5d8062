//! Who may open a websocket with a person's session: pages of ours only.
//!
//! The browser's same-origin policy does not cover websockets, and SameSite
//! lets every sibling host of the same site bring the cookie along.

use http::{HeaderMap, header};

use crate::model::context::RequestContext;
use crate::model::origin::{Authority, Origin, Scheme};
use crate::route::ReturnToPolicy;

/// Whether a request for an upgrade comes from a page of another origin. One
/// without `Origin` comes from no browser (RFC 6455 section 4.1).
pub(super) fn is_foreign(
    headers: &HeaderMap,
    context: &RequestContext,
    ours: &ReturnToPolicy,
) -> bool {
    if !headers.contains_key(header::UPGRADE) {
        return false;
    }
    let mut values = headers.get_all(header::ORIGIN).iter();
    let origin = match (values.next(), values.next()) {
        (None, _) => return false,
        (Some(value), None) => value.to_str().ok().and_then(parse),
        _ => None,
    };
    origin.is_none_or(|origin| {
        let own = Origin::new(context.scheme, context.target.authority.clone());
        origin != own && !ours.has_session_origin(&origin)
    })
}

/// `null` and whatever else is not an origin of the web gives `None`.
fn parse(text: &str) -> Option<Origin> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    Some(Origin::new(scheme, Authority::parse(authority).ok()?))
}
