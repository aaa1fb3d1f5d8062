//! What one kind of provider does differently, as data.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    pub scopes_supported: Vec<String>,
    pub auth_methods: Vec<String>,
    /// ES256 or RS256.
    pub algorithm: String,
    /// Sends the `iss` parameter of RFC 9207 and announces it.
    pub iss_parameter: bool,
    pub refresh_tokens: RefreshTokens,
    /// A refresh spends the old token and gives a new one.
    pub rotation: bool,
    /// A refresh answers with an ID token too.
    pub id_token_on_refresh: bool,
    /// Claims that only userinfo tells.
    pub only_in_userinfo: Vec<String>,
    pub userinfo: bool,
    pub end_session: bool,
    /// number, string or absent.
    pub expires_in: String,
    pub token_type: String,
    /// Leaves the key id out of the ID token's head.
    #[serde(default)]
    pub no_kid: bool,
    pub errors: BTreeMap<String, TokenError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshTokens {
    Always,
    OfflineAccess,
    Never,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenError {
    pub status: u16,
    pub error: String,
    #[serde(default)]
    pub description: Option<String>,
}

impl Dialect {
    /// Reads `tests/it/dialects/NAME.toml`.
    pub fn named(name: &str) -> Self {
        let path = folder().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The name of every dialect there is.
    pub fn names() -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder())
            .expect("dialects")
            .filter_map(|entry| {
                let name = entry
                    .expect("entry")
                    .file_name()
                    .into_string()
                    .expect("name");
                name.strip_suffix(".toml").map(str::to_owned)
            })
            .collect();
        names.sort();
        names
    }

    pub fn error(&self, which: &str) -> TokenError {
        self.errors
            .get(which)
            .cloned()
            .unwrap_or_else(|| panic!("dialect lacks errors.{which}"))
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dialects")
}
