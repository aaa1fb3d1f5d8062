//! The header presets: which headers an application reads, as data. A new
//! application is a new entry here; the schema, the messages and the list of
//! names that are removed from clients follow from the table.
//!
//! Where an application lets its operator choose the names, ours are those
//! that the entry says; its text names the setting.

use std::sync::LazyLock;

use http::HeaderName;

use super::checked::HeaderSource::{self, Email, Groups, Name, User, Username};
use super::checked::UserFrom;
use crate::base::header_names as names;

/// One entry of the table.
#[derive(Debug)]
pub struct Preset {
    /// As written in `identity`.
    pub name: &'static str,
    /// What it sends, for the schema and the reference.
    pub about: &'static str,
    pub headers: Vec<(HeaderName, HeaderSource)>,
    /// What stands between two groups.
    pub group_separator: &'static str,
    /// What the application knows people by, where it can be one thing only.
    pub user_from: Option<UserFrom>,
}

impl Preset {
    fn new(
        name: &'static str,
        about: &'static str,
        headers: Vec<(HeaderName, HeaderSource)>,
    ) -> Self {
        Self {
            name,
            about,
            headers,
            group_separator: ",",
            user_from: None,
        }
    }

    fn between(mut self, group_separator: &'static str) -> Self {
        self.group_separator = group_separator;
        self
    }

    fn by(mut self, user_from: UserFrom) -> Self {
        self.user_from = Some(user_from);
        self
    }
}

/// An entry by reference; compares by name.
#[derive(Debug, Clone, Copy)]
pub struct IdentityPreset(&'static Preset);

impl IdentityPreset {
    pub fn all() -> impl Iterator<Item = Self> {
        PRESETS.iter().map(Self)
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|preset| preset.name == name)
    }
}

impl IdentityPreset {
    /// For whoever needs it longer than the reference.
    pub fn entry(self) -> &'static Preset {
        self.0
    }
}

impl Default for IdentityPreset {
    fn default() -> Self {
        Self(&PRESETS[0])
    }
}

impl std::ops::Deref for IdentityPreset {
    type Target = Preset;

    fn deref(&self) -> &Preset {
        self.0
    }
}

impl PartialEq for IdentityPreset {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for IdentityPreset {}

/// The first is the default. Guacamole and JupyterHub read a header with
/// underscores in its name; that is not the CGI variable which other servers
/// make of Remote-User.
static PRESETS: LazyLock<Vec<Preset>> = LazyLock::new(|| {
    vec![
        Preset::new(
            "default",
            "X-Forwarded-User, -Email, -Groups, -Preferred-Username",
            vec![(names::X_FORWARDED_USER, User), (names::X_FORWARDED_EMAIL, Email), (names::X_FORWARDED_GROUPS, Groups), (names::X_FORWARDED_PREFERRED_USERNAME, Username)],
        ),
        Preset::new(
            "remote-user",
            "Remote-User, -Email, -Name, -Groups",
            vec![(names::REMOTE_USER, User), (names::REMOTE_EMAIL, Email), (names::REMOTE_NAME, Name), (names::REMOTE_GROUPS, Groups)],
        ),
        Preset::new(
            "none",
            "no header",
            vec![],
        ),
        Preset::new(
            "dozzle",
            "Remote-User, -Email, -Name (DOZZLE_AUTH_PROVIDER=forward-proxy)",
            vec![(names::REMOTE_USER, User), (names::REMOTE_EMAIL, Email), (names::REMOTE_NAME, Name)],
        ),
        Preset::new(
            "freshrss",
            "Remote-User (auth type http_auth, TRUSTED_PROXY)",
            vec![(names::REMOTE_USER, User)],
        ),
        Preset::new(
            "gitea",
            "X-WEBAUTH-USER, -EMAIL, -FULLNAME, also for Forgejo; user names there have no \"@\"",
            vec![(names::X_WEBAUTH_USER, User), (names::X_WEBAUTH_EMAIL, Email), (names::X_WEBAUTH_FULLNAME, Name)],
        ),
        Preset::new(
            "grafana",
            "X-WEBAUTH-USER, -NAME, -EMAIL, -GROUPS ([auth.proxy] headers = Name:X-WEBAUTH-NAME Email:X-WEBAUTH-EMAIL Groups:X-WEBAUTH-GROUPS)",
            vec![(names::X_WEBAUTH_USER, User), (names::X_WEBAUTH_NAME, Name), (names::X_WEBAUTH_EMAIL, Email), (names::X_WEBAUTH_GROUPS, Groups)],
        ),
        Preset::new(
            "guacamole",
            "REMOTE_USER, the header with that very name (http-auth-header)",
            vec![(names::REMOTE_USER_UNDERSCORED, User)],
        ),
        Preset::new(
            "home-assistant",
            "X-Forwarded-Preferred-Username; people are found by user name",
            vec![(names::X_FORWARDED_PREFERRED_USERNAME, User)],
        )
        .by(UserFrom::Username),
        Preset::new(
            "jenkins",
            "X-Forwarded-User, -Mail, -DisplayName, -Groups, with \"|\" between groups (plugin reverse-proxy-auth)",
            vec![(names::X_FORWARDED_USER, User), (names::X_FORWARDED_MAIL, Email), (names::X_FORWARDED_DISPLAYNAME, Name), (names::X_FORWARDED_GROUPS, Groups)],
        )
        .between("|"),
        Preset::new(
            "jupyterhub",
            "REMOTE_USER, the header with that very name (remote-user authenticator)",
            vec![(names::REMOTE_USER_UNDERSCORED, User)],
        ),
        Preset::new(
            "linkding",
            "Remote-User (LD_AUTH_PROXY_USERNAME_HEADER=HTTP_REMOTE_USER)",
            vec![(names::REMOTE_USER, User)],
        ),
        Preset::new(
            "miniflux",
            "Remote-User (AUTH_PROXY_HEADER=Remote-User)",
            vec![(names::REMOTE_USER, User)],
        ),
        Preset::new(
            "navidrome",
            "Remote-User (ExtAuth.UserHeader)",
            vec![(names::REMOTE_USER, User)],
        ),
        Preset::new(
            "opensearch",
            "X-Proxy-User, X-Proxy-Roles",
            vec![(names::X_PROXY_USER, User), (names::X_PROXY_ROLES, Groups)],
        ),
        Preset::new(
            "open-webui",
            "X-Forwarded-Email, -Name, -Groups (WEBUI_AUTH_TRUSTED_EMAIL_HEADER, _NAME_HEADER, _GROUPS_HEADER); people are found by mail address",
            vec![(names::X_FORWARDED_EMAIL, User), (names::X_FORWARDED_NAME, Name), (names::X_FORWARDED_GROUPS, Groups)],
        )
        .by(UserFrom::Email),
        Preset::new(
            "paperless",
            "Remote-User (PAPERLESS_ENABLE_HTTP_REMOTE_USER)",
            vec![(names::REMOTE_USER, User)],
        ),
        Preset::new(
            "radicale",
            "X-Remote-User (auth type http_x_remote_user)",
            vec![(names::X_REMOTE_USER, User)],
        ),
        Preset::new(
            "seafile",
            "Remote-User, -Email",
            vec![(names::REMOTE_USER, User), (names::REMOTE_EMAIL, Email)],
        ),
        Preset::new(
            "seerr",
            "Remote-User, -Email",
            vec![(names::REMOTE_USER, User), (names::REMOTE_EMAIL, Email)],
        ),
        Preset::new(
            "uptime-kuma",
            "no header: it has no sign-in by header, switch its own off",
            vec![],
        ),
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_first_is_the_default() {
        let all: Vec<_> = IdentityPreset::all().collect();
        assert_eq!(IdentityPreset::default().name, "default");
        for (at, preset) in all.iter().enumerate() {
            assert_eq!(IdentityPreset::find(preset.name), Some(*preset));
            assert!(!all[..at].contains(preset), "{}", preset.name);
            assert!(preset.about.len() > 5, "{}", preset.name);
        }
    }

    /// An application that knows nobody by a header gets none at all.
    #[test]
    fn every_preset_says_the_user_once_or_nothing() {
        for preset in IdentityPreset::all() {
            let users = preset
                .headers
                .iter()
                .filter(|(_, source)| *source == User)
                .count();
            assert_eq!(
                users,
                usize::from(!preset.headers.is_empty()),
                "{}",
                preset.name
            );
            let mut header_names: Vec<_> = preset.headers.iter().map(|(name, _)| name).collect();
            header_names.dedup();
            assert_eq!(header_names.len(), preset.headers.len(), "{}", preset.name);
        }
    }
}
