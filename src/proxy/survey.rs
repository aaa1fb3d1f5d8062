//! One look over the names of a head, after which every step knows whether it
//! has anything to do. Most have not, and a question that a map answers costs
//! a hash each time.

use http::HeaderMap;

use crate::identity_headers::ScrubList;

/// A field that some step deals with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field(u32);

impl Field {
    pub(super) const CONNECTION: Self = Self(1);
    pub(super) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(super) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(super) const UPGRADE: Self = Self(1 << 3);
    pub(super) const TE: Self = Self(1 << 4);
    pub(super) const EXPECT: Self = Self(1 << 5);
    pub(super) const PROXY_AUTHORIZATION: Self = Self(1 << 6);
    pub(super) const PROXY_AUTHENTICATE: Self = Self(1 << 7);
    pub(super) const KEEP_ALIVE: Self = Self(1 << 8);
    pub(super) const PROXY_CONNECTION: Self = Self(1 << 9);
    pub(super) const HTTP2_SETTINGS: Self = Self(1 << 10);
    pub(super) const TRAILER: Self = Self(1 << 11);
    pub(super) const COOKIE: Self = Self(1 << 12);
    pub(super) const SET_COOKIE: Self = Self(1 << 13);
    pub(super) const FORWARDED: Self = Self(1 << 14);
    pub(super) const CLEAR_SITE_DATA: Self = Self(1 << 15);
    /// Any that the scrub list removes.
    pub(super) const FOREIGN: Self = Self(1 << 16);

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "connection" => Self::CONNECTION,
            "content-length" => Self::CONTENT_LENGTH,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "upgrade" => Self::UPGRADE,
            "te" => Self::TE,
            "expect" => Self::EXPECT,
            "proxy-authorization" => Self::PROXY_AUTHORIZATION,
            "proxy-authenticate" => Self::PROXY_AUTHENTICATE,
            "keep-alive" => Self::KEEP_ALIVE,
            "proxy-connection" => Self::PROXY_CONNECTION,
            "http2-settings" => Self::HTTP2_SETTINGS,
            "trailer" => Self::TRAILER,
            "cookie" => Self::COOKIE,
            "set-cookie" => Self::SET_COOKIE,
            "forwarded" => Self::FORWARDED,
            "clear-site-data" => Self::CLEAR_SITE_DATA,
            _ => return None,
        })
    }
}

/// Which of these fields a head has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Survey(u32);

impl Survey {
    pub(super) fn of(headers: &HeaderMap, scrub: &ScrubList) -> Self {
        let mut found = 0;
        for name in headers.keys() {
            if let Some(field) = Field::of(name.as_str()) {
                found |= field.0;
            }
            if scrub.removes(name) {
                found |= Field::FOREIGN.0;
            }
        }
        Self(found)
    }

    pub(super) const fn has(self, field: Field) -> bool {
        self.0 & field.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let scrub = ScrubList::compile(&[]);
        let mut headers = HeaderMap::new();
        headers.append("accept", "*/*".parse().unwrap());
        assert_eq!(Survey::of(&headers, &scrub).0, 0);
        headers.append("te", "trailers".parse().unwrap());
        headers.append("Set-Cookie", "a=b".parse().unwrap());
        headers.append("x_forwarded_user", "mal".parse().unwrap());
        let found = Survey::of(&headers, &scrub);
        for (field, there) in [
            (Field::TE, true),
            (Field::SET_COOKIE, true),
            (Field::FOREIGN, true),
            (Field::COOKIE, false),
            (Field::TRAILER, false),
        ] {
            assert_eq!(found.has(field), there, "{field:?}");
        }
    }
}
