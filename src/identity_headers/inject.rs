//! From an identity to headers that are ready to be appended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::presets::{self, Slot, Source};
use super::user::{Known, Pin};
use crate::base::fault::{Blame, Fault};
use crate::config::checked::{HeaderSource, Route};
use crate::model::identity::{Groups, Identity};

/// What a route tells its upstream about a person. Compiled once.
#[derive(Debug, Clone)]
pub struct Injection {
    slots: Vec<Slot>,
    known_by: Known,
    separator: String,
    number: u32,
}

/// The identity cannot be told in headers. The request is refused with 403;
/// a value is never rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    #[error("the value for {header} has a control character")]
    Unspeakable { header: HeaderName },
    #[error("the values for {header} together are longer than {LONGEST} bytes")]
    TooLong { header: HeaderName },
    /// An empty value could let the person in as somebody else, or as nobody.
    #[error("the provider told no {what}, by which this route knows people")]
    UserUnknown { what: &'static str },
}

/// Upstreams refuse heads beyond 8 KiB; half of that is one header's share.
const LONGEST: usize = 4096;
/// Access tokens that are JWTs with many claims are longer.
const LONGEST_TOKEN: usize = 16 * 1024;

impl Fault for InjectError {
    fn blame(&self) -> Blame {
        Blame::Provider
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unspeakable { .. } => "identity_unspeakable",
            Self::TooLong { .. } => "identity_too_long",
            Self::UserUnknown { .. } => "user_unknown",
        }
    }
}

/// Headers of one person for one route. Cheap to clone and to apply: values
/// are shared bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyHeaders {
    headers: Arc<[(HeaderName, HeaderValue)]>,
    dropped: usize,
}

impl ReadyHeaders {
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.headers.iter()
    }

    /// How many groups and listed values could be misread and were left out.
    /// Whoever renders says so in the log, once per session.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

impl Injection {
    pub fn compile(route: &Route, several_providers: bool) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        Self {
            number: LAST.fetch_add(1, Ordering::Relaxed),
            slots: presets::slots(route),
            known_by: Known::compile(&route.identity, several_providers),
            separator: route.identity.group_separator.clone(),
        }
    }

    /// Tells this one from all others of the process: what it rendered may be
    /// kept under it.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Whether the upstream is told nothing.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether [`Injection::render`] needs the access token.
    pub fn wants_access_token(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.source == Source::AccessToken)
    }

    /// What the store must hold for this person before anything is told;
    /// `None` where the user is a subject, unknown, or not told at all.
    pub fn pin(&self, identity: &Identity) -> Option<Pin> {
        self.slots
            .iter()
            .any(Slot::says_user)
            .then(|| self.known_by.pin(identity))
            .flatten()
    }

    /// Every header of the route is present; what is not known is empty,
    /// except for the user.
    pub fn render(
        &self,
        identity: &Identity,
        access_token: Option<&SecretString>,
    ) -> Result<ReadyHeaders, InjectError> {
        let mut list = List {
            separator: &self.separator,
            dropped: 0,
        };
        let headers = self
            .slots
            .iter()
            .map(|slot| {
                let source = match &slot.source {
                    Source::Identity(source) => source,
                    Source::AccessToken => {
                        let token = access_token.map_or("", ExposeSecret::expose_secret);
                        let mut value = bounded(slot, token, LONGEST_TOKEN)?;
                        value.set_sensitive(true);
                        return Ok((slot.name.clone(), value));
                    }
                };
                let value = match source {
                    HeaderSource::User => value(slot, &self.known_by.user(identity)?)?,
                    HeaderSource::Subject => value(slot, &self.known_by.subject(identity))?,
                    HeaderSource::Username => {
                        value(slot, identity.username.as_deref().unwrap_or(""))?
                    }
                    HeaderSource::Email => value(slot, identity.verified_email().unwrap_or(""))?,
                    HeaderSource::Name => value(slot, identity.name.as_deref().unwrap_or(""))?,
                    HeaderSource::Groups => value(slot, &list.groups(&identity.groups))?,
                    HeaderSource::Claim(claim) => {
                        value(slot, &list.claim(identity.claims.get(claim)))?
                    }
                };
                Ok((slot.name.clone(), value))
            })
            .collect::<Result<Arc<[_]>, InjectError>>()?;
        Ok(ReadyHeaders {
            headers,
            dropped: list.dropped,
        })
    }
}

fn value(slot: &Slot, text: &str) -> Result<HeaderValue, InjectError> {
    bounded(slot, text, LONGEST)
}

/// UTF-8 passes as it is (RFC 9110 calls it opaque). Control characters, and
/// white space at the edges that a parser would cut off, do not.
fn bounded(slot: &Slot, text: &str, longest: usize) -> Result<HeaderValue, InjectError> {
    if text.len() > longest {
        return Err(InjectError::TooLong {
            header: slot.name.clone(),
        });
    }
    let unspeakable = || InjectError::Unspeakable {
        header: slot.name.clone(),
    };
    if text.chars().any(char::is_control) || text.trim_matches(' ') != text {
        return Err(unspeakable());
    }
    HeaderValue::from_str(text).map_err(|_| unspeakable())
}

/// Joins values. One that could be read as two, or as another one, is left
/// out and counted.
struct List<'a> {
    separator: &'a str,
    dropped: usize,
}

impl List<'_> {
    fn groups(&mut self, groups: &Groups) -> String {
        match groups {
            Groups::Known(groups) => self.join(groups.iter().map(String::as_str)),
            Groups::Unknown => String::new(),
        }
    }

    fn join<'b>(&mut self, values: impl Iterator<Item = &'b str>) -> String {
        // An upstream may split at the sign alone, without spaces around it.
        let mark = self.separator.trim();
        let mut joined = String::new();
        for value in values {
            let tellable = !value.is_empty()
                && !value.contains(mark)
                && !value.chars().any(char::is_control)
                && value.trim() == value;
            if !tellable {
                self.dropped += 1;
                continue;
            }
            if !joined.is_empty() {
                joined.push_str(self.separator);
            }
            joined.push_str(value);
        }
        joined
    }

    /// Strings, numbers, truth values, and lists of strings. Objects, nulls
    /// and mixed lists are unknown: empty.
    fn claim(&mut self, claim: Option<&Value>) -> String {
        match claim {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Bool(truth)) => truth.to_string(),
            Some(Value::Array(items)) => items
                .iter()
                .map(Value::as_str)
                .collect::<Option<Vec<_>>>()
                .map(|items| self.join(items.into_iter()))
                .unwrap_or_default(),
            Some(Value::Null | Value::Object(_)) | None => String::new(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::config::checked::{CustomHeader, IdentityPreset, IdentityRules, Upstream};
    use crate::model::identity::ProviderId;
    use crate::model::origin::Authority;
    use crate::model::pattern::PathPattern;

    pub(in crate::identity_headers) fn route() -> Route {
        Route {
            id: "app".into(),
            hosts: Vec::new(),
            path: PathPattern::parse("/*").unwrap(),
            upstream: Upstream::Http(Authority::parse("127.0.0.1:1").unwrap()),
            upstream_tls: Default::default(),
            prefix: Default::default(),
            preserve_host: true,
            access: None,
            deny: Vec::new(),
            rules: Vec::new(),
            encoded_slash: false,
            preflight: Default::default(),
            identity: IdentityRules::default(),
            headers: Vec::new(),
            pass_access_token: false,
            response_timeout: Duration::from_secs(60),
            max_body: None,
        }
    }

    pub(in crate::identity_headers) fn ann() -> Identity {
        Identity {
            provider: ProviderId("main".into()),
            issuer: "https://id.example.com".into(),
            subject: "0001".into(),
            username: Some("ann".into()),
            name: Some("Ann Ünal".into()),
            email: Some("ann@example.com".into()),
            email_verified: true,
            groups: Groups::Known(vec!["admins".into(), "staff".into()]),
            claims: Default::default(),
            provider_session: None,
            read_at: Timestamp::default(),
        }
    }

    fn rendered(route: &Route, identity: &Identity) -> Vec<(String, String)> {
        Injection::compile(route, false)
            .render(identity, None)
            .unwrap()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8(value.as_bytes().to_vec()).unwrap();
                (name.to_string(), value)
            })
            .collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_default_preset_is_always_whole() {
        assert_eq!(
            rendered(&route(), &ann()),
            pairs(&[
                ("x-forwarded-user", "0001"),
                ("x-forwarded-email", "ann@example.com"),
                ("x-forwarded-groups", "admins,staff"),
                ("x-forwarded-preferred-username", "ann"),
            ])
        );
        let unknown = Identity {
            username: None,
            email_verified: false,
            groups: Groups::Unknown,
            ..ann()
        };
        assert_eq!(
            rendered(&route(), &unknown),
            pairs(&[
                ("x-forwarded-user", "0001"),
                ("x-forwarded-email", ""),
                ("x-forwarded-groups", ""),
                ("x-forwarded-preferred-username", ""),
            ])
        );
    }

    #[test]
    fn groups_that_could_be_misread_are_left_out() {
        let odd = Identity {
            groups: Groups::Known(
                ["a,admins", " staff", "x\ny", "", "team one"]
                    .map(str::to_owned)
                    .into(),
            ),
            ..ann()
        };
        assert_eq!(rendered(&route(), &odd)[2].1, "team one");
    }

    #[test]
    fn a_value_that_cannot_stand_in_a_header_refuses() {
        for subject in ["a\r\nx-admin: 1", "a\0", "a\u{7f}", " a", "a\u{85}"] {
            let odd = Identity {
                subject: subject.to_owned(),
                ..ann()
            };
            let error = Injection::compile(&route(), false)
                .render(&odd, None)
                .unwrap_err();
            assert_eq!(error.reason(), "identity_unspeakable", "{subject:?}");
        }
        let long = Identity {
            subject: "x".repeat(LONGEST + 1),
            ..ann()
        };
        let error = Injection::compile(&route(), false)
            .render(&long, None)
            .unwrap_err();
        assert_eq!(error.reason(), "identity_too_long");
    }

    #[test]
    fn sec_hdr_14_claims_are_never_stringified_objects_or_nulls() {
        let mut route = route();
        route.identity.preset = IdentityPreset::find("remote-user").unwrap();
        let cases = [
            (json!("x"), "x"),
            (json!(7), "7"),
            (json!(true), "true"),
            (json!(["a", "b"]), "a,b"),
            (json!(["a", {"b": 1}]), ""),
            (json!({"a": 1}), ""),
            (json!(null), ""),
        ];
        for (claim, expected) in cases {
            route.headers = vec![CustomHeader {
                name: HeaderName::from_static("x-team"),
                value: HeaderSource::Claim("team".into()),
            }];
            let mut identity = ann();
            identity.claims.insert("team".into(), claim.clone());
            let all = rendered(&route, &identity);
            assert_eq!(all[2], ("remote-name".into(), "Ann Ünal".into()));
            assert_eq!(all[4], ("x-team".into(), expected.into()), "{claim}");
        }
        assert_eq!(rendered(&route, &ann())[4].1, "");
    }

    #[test]
    fn the_access_token_is_told_only_where_asked_for() {
        let mut route = route();
        assert!(!Injection::compile(&route, false).wants_access_token());
        route.pass_access_token = true;
        let injection = Injection::compile(&route, false);
        assert!(injection.wants_access_token());
        let token = SecretString::from("tok".to_owned());
        let ready = injection.render(&ann(), Some(&token)).unwrap();
        assert!(!format!("{ready:?}").contains("tok\""), "{ready:?}");
        let told = ready
            .iter()
            .find(|(name, _)| name == "x-forwarded-access-token");
        assert_eq!(told.unwrap().1, "tok");
    }

    #[test]
    fn a_separator_of_ones_own_decides_what_could_be_misread() {
        let mut route = route();
        let odd = Identity {
            groups: Groups::Known(["a,b", "c|d", "e"].map(str::to_owned).into()),
            ..ann()
        };
        for (separator, expected) in [(",", "c|d,e"), ("|", "a,b|e"), (", ", "c|d, e")] {
            route.identity.group_separator = separator.to_owned();
            let ready = Injection::compile(&route, false)
                .render(&odd, None)
                .unwrap();
            assert_eq!(ready.headers[2].1, expected, "{separator}");
            assert_eq!(ready.dropped(), 1, "{separator}");
        }
    }
}
