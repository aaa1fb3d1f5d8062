//! `[provider.ID]`: where people sign in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::address::checked_origin;
use super::checked::{ClaimNames, EmailVerified, OfflineAccess, Provider};
use super::issuer::{self, host_of, lets_anybody_register};
use super::problems::Findings;
use super::quantity::{RawDuration, duration, duration_or_zero};
use super::raw::{indexed, is_good_id};
use super::secret_file::{Twin, either};
use super::trust_anchor;
use crate::model::identity::ProviderId;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProvider {
    /// What it speaks. Required.
    kind: Option<RawKind>,
    /// What the sign-in page calls it.
    name: Option<String>,
    /// Its issuer identifier, exactly as its discovery document spells it. Required.
    issuer: Option<String>,
    /// The origin under which the gateway itself reaches the provider.
    internal_url: Option<String>,
    /// Our name at the provider. Required.
    client_id: Option<String>,
    /// Better kept in a file: client_secret_file.
    #[schemars(with = "Option<String>")]
    client_secret: Option<SecretString>,
    /// File that holds the client secret; without either we are a public client.
    client_secret_file: Option<String>,
    /// Scopes to ask for.
    scopes: Option<Vec<String>>,
    /// Whether to ask for a refresh token by scope; auto: where discovery lists it.
    offline_access: Option<RawOfflineAccess>,
    /// What a mail address counts without the provider's word that it is verified.
    email_verified: Option<RawEmailVerified>,
    /// Names of claims; one that begins with "/" is a JSON pointer.
    claims: RawClaims,
    /// Tokens are renewed at most this long before their end.
    refresh_skew_max: Option<RawDuration>,
    /// How long the provider takes a spent refresh token again.
    rotation_grace: Option<RawDuration>,
    /// PEM file of certificates to trust besides the public ones.
    ca_file: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawKind {
    Oidc,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawOfflineAccess {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawEmailVerified {
    Require,
    Trust,
    Ignore,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawClaims {
    /// Groups: a list of strings, or one string.
    groups: Option<String>,
    /// Mail address.
    email: Option<String>,
    /// Name to log in with.
    username: Option<String>,
    /// Full name.
    name: Option<String>,
}

/// What the checks of access need to know of the providers: also of those
/// that have faults.
#[derive(Default)]
pub(super) struct ProviderNames {
    pub(super) all: BTreeSet<String>,
    /// Those that let anybody register.
    pub(super) open: BTreeSet<String>,
    /// Whose mail addresses never count.
    pub(super) without_mail: BTreeSet<String>,
}

pub(super) fn names(raw: &BTreeMap<String, RawProvider>) -> ProviderNames {
    let is_open = |provider: &RawProvider| {
        provider
            .issuer
            .as_deref()
            .is_some_and(lets_anybody_register)
    };
    ProviderNames {
        all: raw.keys().cloned().collect(),
        without_mail: raw
            .iter()
            .filter(|(_, provider)| {
                matches!(provider.email_verified, Some(RawEmailVerified::Ignore))
            })
            .map(|(id, _)| id.clone())
            .collect(),
        open: raw
            .iter()
            .filter(|(_, provider)| is_open(provider))
            .map(|(id, _)| id.clone())
            .collect(),
    }
}

pub(super) fn check(
    raw: &BTreeMap<String, RawProvider>,
    base_dir: &Path,
    findings: &mut Findings,
) -> BTreeMap<ProviderId, Provider> {
    if raw.is_empty() {
        findings.missing(
            "provider",
            "no provider is configured: nobody could sign in",
            "add [provider.main] with kind = \"oidc\", issuer, client_id and client_secret_file",
        );
    }
    let mut out = BTreeMap::new();
    for (id, raw) in raw {
        let key = format!("provider.{id}");
        if !is_good_id(id) {
            findings.error(
                &key,
                format!("\"{id}\" cannot be an id"),
                "use lower-case letters, digits, \"-\" and single \"_\", at most 40",
            );
        }
        if let Some(provider) = one(raw, id, &key, base_dir, findings) {
            out.insert(provider.id.clone(), provider);
        }
    }
    out
}

fn one(
    raw: &RawProvider,
    id: &str,
    key: &str,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<Provider> {
    let at = |name: &str| format!("{key}.{name}");
    if raw.kind.is_none() {
        findings.missing(&at("kind"), "is missing", "write kind = \"oidc\"");
    }
    let internal_url = raw
        .internal_url
        .as_deref()
        .and_then(|text| checked_origin(text, &at("internal_url"), findings));
    let issuer = issuer::check(raw.issuer.as_deref(), &at("issuer"), findings);
    let client_id = client_id(raw.client_id.as_deref(), &at("client_id"), findings);
    let secret_key = at("client_secret");
    let twin = Twin {
        value: raw.client_secret.as_ref(),
        file: raw.client_secret_file.as_deref(),
        key: &secret_key,
    };
    let client_secret = either(&twin, base_dir, findings);
    let scopes = scopes(raw.scopes.as_deref(), &at("scopes"), findings);
    let claims = claims(&raw.claims, &at("claims"), findings);
    let five_minutes = Duration::from_secs(300);
    let refresh_skew_max = duration(
        raw.refresh_skew_max.as_ref(),
        &at("refresh_skew_max"),
        five_minutes,
        findings,
    );
    let rotation_grace =
        duration_or_zero(raw.rotation_grace.as_ref(), &at("rotation_grace"), findings);
    let ca_file = trust_anchor::check(raw.ca_file.as_deref(), &at("ca_file"), base_dir, findings);
    if raw
        .name
        .as_deref()
        .is_some_and(|name| name.trim().is_empty())
    {
        findings.error(
            &at("name"),
            "is empty",
            "write what people call it, or remove it",
        );
    }
    let open = issuer.as_deref().is_some_and(lets_anybody_register);
    if open && matches!(raw.email_verified, Some(RawEmailVerified::Trust)) {
        findings.warning(
            &at("email_verified"),
            "takes any mail address as true, and anybody can register there with an address of their choice",
            "write \"require\", unless access never depends on mail addresses",
        );
    }
    let issuer = issuer?;
    let name = raw
        .name
        .clone()
        .unwrap_or_else(|| host_of(&issuer).to_owned());
    Some(Provider {
        id: ProviderId(id.to_owned()),
        name,
        issuer,
        internal_url,
        client_id: client_id?,
        client_secret,
        scopes,
        offline_access: match raw.offline_access {
            Some(RawOfflineAccess::Always) => OfflineAccess::Always,
            Some(RawOfflineAccess::Never) => OfflineAccess::Never,
            Some(RawOfflineAccess::Auto) | None => OfflineAccess::Auto,
        },
        email_verified: match raw.email_verified {
            Some(RawEmailVerified::Trust) => EmailVerified::Trust,
            Some(RawEmailVerified::Ignore) => EmailVerified::Ignore,
            Some(RawEmailVerified::Require) | None => EmailVerified::Require,
        },
        claims,
        refresh_skew_max,
        rotation_grace,
        ca_file,
    })
}

fn client_id(raw: Option<&str>, key: &str, findings: &mut Findings) -> Option<String> {
    let cure = "write the client id under which the provider knows this gateway";
    match raw {
        None => findings.missing(key, "is missing", cure),
        Some("") => findings.error(key, "is empty", cure),
        Some(text) if text.trim() != text || text.contains(char::is_control) => {
            findings.error(key, "has spaces or control characters around it", cure);
        }
        Some(text) => return Some(text.to_owned()),
    }
    None
}

fn scopes(raw: Option<&[String]>, key: &str, findings: &mut Findings) -> Vec<String> {
    let Some(raw) = raw else {
        return ["openid", "email", "profile"].map(str::to_owned).to_vec();
    };
    if !raw.iter().any(|scope| scope == "openid") {
        findings.error(
            key,
            "does not ask for \"openid\": the provider would not say who signed in",
            "add \"openid\"",
        );
    }
    // scope-token of RFC 6749 section 3.3
    let good = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    for (key, scope) in indexed(raw, key) {
        if scope.is_empty() || !scope.bytes().all(good) {
            findings.error(
                &key,
                format!("\"{scope}\" is not one scope"),
                "write each scope as a string of its own",
            );
        } else if scope == "offline_access" {
            findings.error(
                &key,
                "is asked for by the key offline_access, not here",
                "remove it here; offline_access = \"always\" asks in any case",
            );
        }
    }
    raw.to_vec()
}

fn claims(raw: &RawClaims, key: &str, findings: &mut Findings) -> ClaimNames {
    let mut one = |written: Option<&String>, name: &str, standard: &str| {
        let Some(written) = written else {
            return standard.to_owned();
        };
        if written.is_empty() || written == "/" {
            findings.error(
                &format!("{key}.{name}"),
                "is empty",
                format!("write the name of a claim, or remove it; the default is \"{standard}\""),
            );
        }
        written.clone()
    };
    ClaimNames {
        groups: one(raw.groups.as_ref(), "groups", "groups"),
        email: one(raw.email.as_ref(), "email", "email"),
        username: one(raw.username.as_ref(), "username", "preferred_username"),
        name: one(raw.name.as_ref(), "name", "name"),
        extra: Vec::new(),
    }
}
