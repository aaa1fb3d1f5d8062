//! One look at the fields of a request: all that the steps up to the proxy
//! want to know of them.

use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderValue, Method};
use memchr::memmem::Finder;

use super::cross_origin::Asker;
use super::last_head::{KnownCookies, LastHead};
use super::render::Manner;
use crate::base::header_names::text as names;
use crate::listener::Connection;
use crate::model::context::Audience;
use crate::page::Language;
use crate::proxy::CookieField;

/// A field that is to be sent once.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Field<'a> {
    #[default]
    Absent,
    Once(&'a HeaderValue),
    Repeated,
}

impl<'a> Field<'a> {
    fn also(&mut self, value: &'a HeaderValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

#[derive(Default)]
pub(super) struct Look<'a> {
    pub(super) host: Field<'a>,
    origin: Field<'a>,
    cookie: Field<'a>,
    language: Option<&'a HeaderValue>,
    accepts_html: bool,
    upgrade: bool,
    /// Something says that no person navigates.
    says_otherwise: bool,
}

/// What is kept of a look when the request goes on its way.
pub(super) struct Looked {
    pub(super) asker: Asker,
    language: Language,
    pub(super) upgrade: bool,
    pub(super) cookies: LookedAt,
}

/// The Cookie fields of a request.
pub(super) enum LookedAt {
    Absent,
    /// The only one.
    Known(Arc<KnownCookies>),
    /// To be read.
    Unknown,
}

impl<'a> Look<'a> {
    /// One pass costs less than asking for ten names.
    pub(super) fn at(headers: &'a HeaderMap) -> Self {
        let mut look = Self::default();
        for (name, value) in headers {
            let name = name.as_str();
            // Most fields are out by their length.
            match name.len() {
                4 if name == "host" => look.host.also(value),
                6 if name == "accept" => look.accepts_html |= offers_html(value.as_bytes()),
                6 if name == "cookie" => look.cookie.also(value),
                6 if name == "origin" => look.origin.also(value),
                7 if name == "upgrade" => look.upgrade = true,
                11 if name == names::SEC_PURPOSE => look.says_otherwise = true,
                14 if name == names::SEC_FETCH_MODE => {
                    look.says_otherwise |= value.as_bytes() != b"navigate";
                }
                14 if name == names::SEC_FETCH_DEST => {
                    look.says_otherwise |= value.as_bytes() != b"document";
                }
                15 if name == "accept-language" => look.language = look.language.or(Some(value)),
                16 if name == names::X_REQUESTED_WITH => look.says_otherwise = true,
                _ => {}
            }
        }
        look
    }

    /// Redirect or 401: the one rule. A redirect only for what is plainly a
    /// person's navigation.
    pub(super) fn audience(&self, method: &Method) -> Audience {
        if self.says_otherwise || self.upgrade || !self.accepts_html {
            Audience::Api
        } else if *method == Method::GET || *method == Method::HEAD {
            Audience::Navigation
        } else {
            Audience::Form
        }
    }

    pub(super) fn keep(&self, connection: &Connection) -> Looked {
        let cookies = match self.cookie {
            Field::Absent => LookedAt::Absent,
            Field::Repeated => LookedAt::Unknown,
            Field::Once(field) => connection
                .remember(|last: &mut LastHead| last.cookie(field))
                .map_or(LookedAt::Unknown, LookedAt::Known),
        };
        let origin = match self.origin {
            Field::Once(origin) => Some(origin.clone()),
            Field::Absent | Field::Repeated => None,
        };
        Looked {
            asker: Asker(origin),
            language: Language::from_accept(self.language.map(HeaderValue::as_bytes)),
            upgrade: self.upgrade,
            cookies,
        }
    }
}

impl Looked {
    pub(super) const fn manner(&self, audience: Audience) -> Manner {
        Manner {
            audience,
            language: self.language,
        }
    }

    /// What an upstream gets of the only Cookie field, if that is known.
    pub(super) fn passed_on(&self) -> Option<&CookieField> {
        match &self.cookies {
            LookedAt::Known(known) => Some(&known.passed_on),
            LookedAt::Absent | LookedAt::Unknown => None,
        }
    }
}

/// Redirect or 401, for those who have no use for anything else.
pub fn audience(method: &Method, headers: &HeaderMap) -> Audience {
    Look::at(headers).audience(method)
}

fn offers_html(accept: &[u8]) -> bool {
    static HTML: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("text/html"));
    // Browsers begin with it.
    accept.starts_with(b"text/html") || HTML.find(accept).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut builder = http::Request::builder();
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0.headers
    }

    #[test]
    fn sec_red_19_only_navigations_are_redirected() {
        let html = ("accept", "text/html,*/*");
        let cases: &[(&[(&str, &str)], Audience)] = &[
            (&[html], Audience::Navigation),
            (
                &[html, ("sec-fetch-mode", "navigate")],
                Audience::Navigation,
            ),
            (&[html, ("sec-fetch-mode", "cors")], Audience::Api),
            (&[html, ("sec-fetch-dest", "image")], Audience::Api),
            (&[html, ("sec-fetch-dest", "iframe")], Audience::Api),
            (
                &[html, ("x-requested-with", "XMLHttpRequest")],
                Audience::Api,
            ),
            (&[html, ("upgrade", "websocket")], Audience::Api),
            (&[html, ("sec-purpose", "prefetch")], Audience::Api),
            (&[("accept", "application/json")], Audience::Api),
            (&[("accept", "*/*")], Audience::Api),
            (&[], Audience::Api),
        ];
        for (sent, expected) in cases {
            let fields = headers(sent);
            assert_eq!(audience(&Method::GET, &fields), *expected, "{sent:?}");
        }
        let fields = headers(&[html]);
        assert_eq!(audience(&Method::POST, &fields), Audience::Form);
    }
}
