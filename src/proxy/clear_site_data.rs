//! `Clear-Site-Data` of an upstream may not sign people out of the gateway:
//! `"cookies"` is dropped, and `"*"` becomes what it means without cookies.

use http::header::{HeaderMap, HeaderValue};

use super::hop_by_hop::tokens;
use crate::base::header_names::CLEAR_SITE_DATA;

const ALL_BUT_COOKIES: &str = "\"cache\", \"storage\", \"executionContexts\"";

/// Of a head that has the field.
pub(super) fn spare_cookies(headers: &mut HeaderMap) {
    let all = tokens(headers, &CLEAR_SITE_DATA).any(|token| token == b"\"*\"");
    let kept = if all {
        ALL_BUT_COOKIES.to_owned()
    } else {
        tokens(headers, &CLEAR_SITE_DATA)
            .filter(|token| {
                [&b"\"cache\""[..], b"\"storage\"", b"\"executionContexts\""].contains(token)
            })
            .filter_map(|token| std::str::from_utf8(token).ok())
            .collect::<Vec<_>>()
            .join(", ")
    };
    headers.remove(CLEAR_SITE_DATA);
    if !kept.is_empty() {
        let kept = HeaderValue::from_str(&kept).expect("made of the words above");
        headers.insert(CLEAR_SITE_DATA, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_hdr_11_cookies_are_spared() {
        for (sent, kept) in [
            ("\"*\"", Some(ALL_BUT_COOKIES)),
            ("\"cache\", \"*\"", Some(ALL_BUT_COOKIES)),
            ("\"cookies\"", None),
            ("\"cookies\",\"cache\"", Some("\"cache\"")),
            ("\"storage\"", Some("\"storage\"")),
            ("cookies", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CLEAR_SITE_DATA, sent.parse().unwrap());
            spare_cookies(&mut headers);
            let value = headers
                .get(CLEAR_SITE_DATA)
                .map(|value| value.to_str().unwrap());
            assert_eq!(value, kept, "{sent}");
        }
    }
}
