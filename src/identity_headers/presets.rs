//! Which header carries what, per preset.

use http::HeaderName;

use crate::base::header_names as names;
use crate::config::checked::{HeaderSource, IdentityPreset, Route};

/// One header and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: HeaderName,
    pub(super) source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The user id, told apart by provider where there are several.
    User,
    Username,
    Email,
    Name,
    Groups,
    /// A claim by its name or JSON pointer.
    Claim(String),
    AccessToken,
}

impl From<&HeaderSource> for Source {
    fn from(source: &HeaderSource) -> Self {
        match source {
            HeaderSource::Subject => Self::User,
            HeaderSource::Username => Self::Username,
            HeaderSource::Email => Self::Email,
            HeaderSource::Name => Self::Name,
            HeaderSource::Groups => Self::Groups,
            HeaderSource::Claim(claim) => Self::Claim(claim.clone()),
        }
    }
}

/// The headers of a route: preset, own headers, access token. An own header
/// of the preset's name takes its place.
pub(super) fn slots(route: &Route) -> Vec<Slot> {
    let preset: &[(HeaderName, Source)] = match route.identity {
        IdentityPreset::Default => &[
            (names::X_FORWARDED_USER, Source::User),
            (names::X_FORWARDED_EMAIL, Source::Email),
            (names::X_FORWARDED_GROUPS, Source::Groups),
            (names::X_FORWARDED_PREFERRED_USERNAME, Source::Username),
        ],
        IdentityPreset::RemoteUser => &[
            (names::REMOTE_USER, Source::User),
            (names::REMOTE_EMAIL, Source::Email),
            (names::REMOTE_NAME, Source::Name),
            (names::REMOTE_GROUPS, Source::Groups),
        ],
        IdentityPreset::None => &[],
    };
    let token = route
        .pass_access_token
        .then_some((names::X_FORWARDED_ACCESS_TOKEN, Source::AccessToken));
    let own = route
        .headers
        .iter()
        .map(|header| (header.name.clone(), Source::from(&header.value)));
    let mut slots: Vec<Slot> = Vec::new();
    for (name, source) in preset.iter().cloned().chain(token).chain(own) {
        match slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => slot.source = source,
            None => slots.push(Slot { name, source }),
        }
    }
    slots
}
