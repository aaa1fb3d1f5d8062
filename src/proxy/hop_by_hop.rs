//! Fields that belong to one connection (RFC 9110 section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::survey::{Field, Survey};
use crate::base::header_names as names;

/// Removed from every message. Framing is rebuilt from the body itself.
static OF_REQUESTS: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    names::KEEP_ALIVE,
    names::PROXY_CONNECTION,
    names::HTTP2_SETTINGS,
];

static OF_RESPONSES: [(Field, HeaderName); 7] = [
    (Field::CONNECTION, header::CONNECTION),
    (Field::TRANSFER_ENCODING, header::TRANSFER_ENCODING),
    (Field::UPGRADE, header::UPGRADE),
    (Field::TE, header::TE),
    (Field::PROXY_AUTHENTICATE, header::PROXY_AUTHENTICATE),
    (Field::KEEP_ALIVE, names::KEEP_ALIVE),
    (Field::PROXY_CONNECTION, names::PROXY_CONNECTION),
];

/// Nominating one of these in `Connection` has no effect: they were judged,
/// and the upstream has to see what was judged.
static NEVER_NOMINATED: [HeaderName; 17] = [
    header::HOST,
    header::COOKIE,
    header::SET_COOKIE,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::ORIGIN,
    header::FORWARDED,
    names::X_FORWARDED_FOR,
    names::X_FORWARDED_PROTO,
    names::X_FORWARDED_HOST,
    names::X_FORWARDED_PORT,
    names::X_REAL_IP,
    names::SEC_FETCH_SITE,
];

/// `Content-Length` stays: it frames the answer to HEAD, too.
pub(super) fn clean_response(headers: &mut HeaderMap, there: Survey) {
    if there.has(Field::CONNECTION) {
        for name in nominated(headers) {
            headers.remove(&name);
        }
    }
    for (field, name) in &OF_RESPONSES {
        if there.has(*field) {
            headers.remove(name);
        }
    }
}

/// Names that mean something to a connection, in either direction.
fn of_connections() -> impl Iterator<Item = &'static HeaderName> {
    let of_responses = OF_RESPONSES.iter().map(|(_, name)| name);
    OF_REQUESTS.iter().chain(of_responses)
}

/// What the `Connection` fields name besides themselves.
pub(super) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &header::CONNECTION)
        .filter(|token| {
            !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive")
        })
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !NEVER_NOMINATED.contains(name))
        .collect()
}

/// The comma-separated members of every field of this name.
pub(super) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &[u8]) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

/// A trailer may not carry what a head decides (RFC 9110 section 6.5.1).
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    for name in of_connections().chain(&NEVER_NOMINATED) {
        trailers.remove(name);
    }
}

/// Of a head that has it, the `Trailer` field announces only what
/// [`clean_trailers`] and the scrub list would let through; hyper sends no
/// trailer that is not announced.
pub(super) fn announced(
    headers: &HeaderMap,
    removes: impl Fn(&HeaderName) -> bool,
) -> Option<HeaderValue> {
    let kept: Vec<&str> = tokens(headers, &header::TRAILER)
        .filter_map(|token| {
            let name = HeaderName::from_bytes(token).ok()?;
            let refused = of_connections()
                .chain(&NEVER_NOMINATED)
                .any(|known| *known == name)
                || removes(&name);
            if refused {
                None
            } else {
                std::str::from_utf8(token).ok()
            }
        })
        .collect();
    let value = HeaderValue::from_str(&kept.join(", ")).ok();
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity_headers::ScrubList;

    fn survey(headers: &HeaderMap) -> Survey {
        Survey::of(headers, &ScrubList::compile(&[]))
    }

    #[test]
    fn every_name_of_an_answer_is_found_and_removed() {
        for (field, name) in &OF_RESPONSES {
            let mut headers = HeaderMap::new();
            headers.append(name.clone(), "1".parse().unwrap());
            let there = survey(&headers);
            assert!(there.has(*field), "{name}");
            clean_response(&mut headers, there);
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn sec_hdr_08_security_inputs_cannot_be_nominated() {
        let mut headers = HeaderMap::new();
        headers.append(
            "connection",
            "cookie, Authorization, x-own".parse().unwrap(),
        );
        headers.append(
            "connection",
            "HOST,x-forwarded-for , close".parse().unwrap(),
        );
        assert_eq!(nominated(&headers), ["x-own"]);
    }

    #[test]
    fn only_harmless_trailers_stay_announced() {
        let mut headers = HeaderMap::new();
        headers.append("trailer", "server-timing, Content-Length".parse().unwrap());
        headers.append("trailer", "remote-user,x-checksum,host".parse().unwrap());
        let announced = announced(&headers, |name| name.as_str() == "remote-user");
        assert_eq!(announced.unwrap(), "server-timing, x-checksum");
    }
}
