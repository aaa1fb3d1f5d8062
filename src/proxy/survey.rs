//! One look over the names of a head, after which every step knows whether it
//! has anything to do. Most have not, and a question that a map answers costs
//! a hash each time.

use http::HeaderMap;

use crate::base::header_names::text as names;
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
    pub(super) const HOST: Self = Self(1 << 17);
    pub(super) const AUTHORIZATION: Self = Self(1 << 18);
    /// What the proxy itself says of the way of a request.
    pub(super) const OF_THE_WAY: Self = Self(1 << 19);

    pub(super) fn of(name: &str) -> Option<Self> {
        let first = name.as_bytes().first()?;
        // Most names are out at once.
        if LENGTHS[*first as usize] >> name.len().min(LONGEST) & 1 == 0 {
            return None;
        }
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        known.map(|(_, field)| *field)
    }
}

/// As `http` spells names: in lower case.
const KNOWN: [(&str, Field); 23] = [
    ("host", Field::HOST),
    ("cookie", Field::COOKIE),
    ("connection", Field::CONNECTION),
    ("content-length", Field::CONTENT_LENGTH),
    ("set-cookie", Field::SET_COOKIE),
    ("transfer-encoding", Field::TRANSFER_ENCODING),
    ("authorization", Field::AUTHORIZATION),
    ("upgrade", Field::UPGRADE),
    ("te", Field::TE),
    ("trailer", Field::TRAILER),
    ("expect", Field::EXPECT),
    ("forwarded", Field::FORWARDED),
    (names::X_FORWARDED_FOR, Field::OF_THE_WAY),
    (names::X_FORWARDED_PROTO, Field::OF_THE_WAY),
    (names::X_FORWARDED_HOST, Field::OF_THE_WAY),
    (names::X_FORWARDED_PORT, Field::OF_THE_WAY),
    (names::X_REAL_IP, Field::OF_THE_WAY),
    (names::KEEP_ALIVE, Field::KEEP_ALIVE),
    (names::PROXY_CONNECTION, Field::PROXY_CONNECTION),
    (names::HTTP2_SETTINGS, Field::HTTP2_SETTINGS),
    (names::CLEAR_SITE_DATA, Field::CLEAR_SITE_DATA),
    ("proxy-authenticate", Field::PROXY_AUTHENTICATE),
    ("proxy-authorization", Field::PROXY_AUTHORIZATION),
];

/// No known name is as long.
const LONGEST: usize = 31;

/// By the first byte of a name: how long a known one is, a bit for each
/// length.
static LENGTHS: [u32; 256] = {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < KNOWN.len() {
        let name = KNOWN[at].0.as_bytes();
        assert!(name.len() < LONGEST);
        lengths[name[0] as usize] |= 1 << name.len();
        at += 1;
    }
    lengths
};

impl Field {
    /// Whether it goes to an upstream as the client sent it, where nobody
    /// replaces it.
    pub(super) fn may_pass(self) -> bool {
        // The first three are an answer's.
        const MAY: u32 = Field::SET_COOKIE.0
            | Field::CLEAR_SITE_DATA.0
            | Field::PROXY_AUTHENTICATE.0
            | Field::AUTHORIZATION.0;
        self.0 & MAY != 0
    }
}

/// Which of these fields a head has, and where.
#[derive(Debug, Clone, Copy)]
pub struct Survey {
    found: u32,
    /// Which of the map's fields are any of them, in its order.
    places: u128,
}

impl Survey {
    pub fn of(headers: &HeaderMap, scrub: &ScrubList) -> Self {
        let (mut found, mut places) = (0, 0);
        for (place, (name, _)) in headers.iter().enumerate() {
            let mut field = Field::of(name.as_str()).map_or(0, |field| field.0);
            if scrub.removes(name) {
                field |= Field::FOREIGN.0;
            }
            if field != 0 {
                found |= field;
                places |= 1_u128.checked_shl(place as u32).unwrap_or(0);
            }
        }
        Self { found, places }
    }

    pub(super) const fn has(self, field: Field) -> bool {
        self.found & field.0 != 0
    }

    /// Whether no step deals with the field at this place of the map's
    /// order. Beyond what is kept, any may be one.
    pub(super) fn is_plain(self, place: usize) -> bool {
        place < 128 && self.places >> place & 1 == 0
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
        assert_eq!(Survey::of(&headers, &scrub).found, 0);
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
