//! Keys and values that the design names and that do not exist yet. Naming
//! them tells apart "not yet" from "never heard of it".

/// Keys, as patterns in the form of [`super::schema::keys`].
const KEYS: [&str; 5] = [
    "admin.socket",
    "admin.token_file",
    "provider.ID.namespace",
    "access[].acr",
    "forward_auth",
];

/// Values, by the last name of their key.
const VALUES: [(&str, &[&str]); 3] = [
    (
        "kind",
        &[
            "oauth2",
            "github",
            "gitlab",
            "gitea",
            "google",
            "entra",
            "keycloak",
            "authentik",
            "authelia",
            "okta",
            "auth0",
            "zitadel",
            "dex",
            "kanidm",
            "apple",
            "discord",
            "slack",
            "linkedin",
            "bitbucket",
            "facebook",
        ],
    ),
    ("lane", &["machine-token"]),
    ("listen", &["systemd"]),
];

/// Every key of the list, for the test that drops what has been built.
#[cfg(test)]
pub(super) fn all_keys() -> &'static [&'static str] {
    &KEYS
}

pub(super) fn key(pattern: &str) -> bool {
    KEYS.iter().any(|known| {
        pattern == *known
            || (known.starts_with("access[]") && pattern.ends_with(&format!(".{known}")))
    })
}

/// Whether a kind of provider that is not built works as plain `oidc`.
pub(super) fn is_oidc(kind: &str) -> bool {
    !matches!(
        kind,
        "oauth2" | "github" | "discord" | "bitbucket" | "facebook"
    )
}

pub(super) fn value(pattern: &str, written: &str) -> bool {
    let name = pattern.rsplit('.').next().unwrap_or(pattern);
    VALUES
        .iter()
        .any(|(key, values)| *key == name && values.contains(&written))
}
