//! The configuration as it was written: every key optional, nothing judged.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::RawAdmin;
use super::keys::RawKeys;
use super::limits::RawLimits;
use super::log::RawLog;
use super::pages::RawPages;
use super::provider::RawProvider;
use super::redis::RawRedis;
use super::route::RawRoute;
use super::self_test::RawSelfTest;
use super::server::RawServer;
use super::session::RawSession;
use super::shadow::RawShadow;
use super::trace::RawTrace;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) server: RawServer,
    pub(super) admin: RawAdmin,
    pub(super) session: RawSession,
    pub(super) redis: Option<RawRedis>,
    pub(super) keys: RawKeys,
    /// Where people sign in, by an id of your choice.
    pub(super) provider: BTreeMap<String, RawProvider>,
    /// Any key of a route; a route's own value wins.
    pub(super) route_defaults: RawRoute,
    /// The applications, by an id of your choice.
    pub(super) route: BTreeMap<String, RawRoute>,
    pub(super) pages: RawPages,
    pub(super) log: RawLog,
    pub(super) limits: RawLimits,
    pub(super) self_test: RawSelfTest,
    pub(super) trace: RawTrace,
    pub(super) shadow: RawShadow,
}

/// One string, or a list of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Each entry with its key path.
    pub(super) fn entries(&self, key: &str) -> Vec<(String, &str)> {
        match self {
            Self::One(text) => vec![(key.to_owned(), text.as_str())],
            Self::Many(texts) => indexed(texts, key),
        }
    }
}

/// Each entry of a list with its key path.
pub(super) fn indexed<'a>(texts: &'a [String], key: &str) -> Vec<(String, &'a str)> {
    let entry = |(index, text): (usize, &'a String)| (format!("{key}[{index}]"), text.as_str());
    texts.iter().enumerate().map(entry).collect()
}

/// Ids of providers and routes: they become parts of key paths, of variable
/// names and of URLs.
pub(super) fn is_good_id(id: &str) -> bool {
    let inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    !id.is_empty()
        && id.len() <= 40
        && id.bytes().all(inner)
        && !id.starts_with(['-', '_'])
        && !id.contains("__")
}
