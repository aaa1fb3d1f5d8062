//! Which header of a route carries what.

use http::HeaderName;

use crate::base::header_names as names;
use crate::config::checked::{HeaderSource, Route};

/// One header and where its value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: HeaderName,
    pub(super) source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Identity(HeaderSource),
    AccessToken,
}

impl Slot {
    pub(super) fn says_user(&self) -> bool {
        self.source == Source::Identity(HeaderSource::User)
    }
}

/// The headers of a route: preset, own headers, access token. An own header
/// of the preset's name takes its place.
pub(super) fn slots(route: &Route) -> Vec<Slot> {
    let preset = route.identity.preset.headers.iter().cloned();
    let own = route
        .headers
        .iter()
        .map(|header| (header.name.clone(), header.value.clone()));
    let token = route
        .pass_access_token
        .then_some((names::X_FORWARDED_ACCESS_TOKEN, Source::AccessToken));
    let identity = |(name, source)| (name, Source::Identity(source));
    let mut slots: Vec<Slot> = Vec::new();
    for (name, source) in preset.map(identity).chain(token).chain(own.map(identity)) {
        match slots.iter_mut().find(|slot| slot.name == name) {
            Some(slot) => slot.source = source,
            None => slots.push(Slot { name, source }),
        }
    }
    slots
}
