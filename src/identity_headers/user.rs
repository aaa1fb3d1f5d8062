//! What an upstream knows a person by, and what must be pinned for that.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::inject::InjectError;
use crate::config::checked::{IdentityRules, UserFrom};
use crate::model::identity::{Identity, ProviderId};

/// `user_from` and `namespace` of a route.
#[derive(Debug, Clone)]
pub(super) struct Known {
    by: UserFrom,
    /// Subjects get their provider before them, except those of `only`.
    qualified: bool,
    only: Option<ProviderId>,
}

/// A name that belongs to the first person who brought it. Two spellings
/// that an upstream could take for the same name are the same pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Names of one kind never meet those of another.
    pub kind: &'static str,
    pub folded: String,
}

impl Pin {
    /// The pin that everybody shares who would be known by `name`.
    pub fn of(kind: &'static str, name: &str) -> Self {
        Self {
            kind,
            folded: folded(name),
        }
    }
}

impl Known {
    pub(super) fn compile(rules: &IdentityRules, several_providers: bool) -> Self {
        Self {
            by: rules.user_from,
            qualified: several_providers && !rules.shared_namespace,
            only: rules.only_provider.clone(),
        }
    }

    /// The subject, as `provider:subject` where several providers could use
    /// the same one.
    pub(super) fn subject<'a>(&self, identity: &'a Identity) -> Cow<'a, str> {
        if self.qualified && self.only.as_ref() != Some(&identity.provider) {
            Cow::Owned(format!("{}:{}", identity.provider, identity.subject))
        } else {
            Cow::Borrowed(&identity.subject)
        }
    }

    /// Never empty.
    pub(super) fn user<'a>(&self, identity: &'a Identity) -> Result<Cow<'a, str>, InjectError> {
        let (user, what) = match self.by {
            UserFrom::Subject => (Some(self.subject(identity)), "subject"),
            UserFrom::Username => (identity.username.as_deref().map(Cow::Borrowed), "username"),
            UserFrom::Email => (
                identity.verified_email().map(Cow::Borrowed),
                "verified mail address",
            ),
        };
        user.filter(|user| !user.is_empty())
            .ok_or(InjectError::UserUnknown { what })
    }

    pub(super) fn pin(&self, identity: &Identity) -> Option<Pin> {
        let kind = match self.by {
            UserFrom::Subject => return None,
            UserFrom::Username => "username",
            UserFrom::Email => "email",
        };
        let user = self.user(identity).ok()?;
        Some(Pin {
            kind,
            folded: folded(&user),
        })
    }
}

/// NFKC and lower case; once more NFKC, because lower case may leave it.
fn folded(name: &str) -> String {
    let compatible: String = name.nfkc().collect();
    compatible.to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Fault;
    use crate::identity_headers::inject::tests::ann;

    fn known(by: UserFrom) -> Known {
        let rules = IdentityRules {
            user_from: by,
            ..IdentityRules::default()
        };
        Known::compile(&rules, true)
    }

    #[test]
    fn several_providers_tell_equal_subjects_apart() {
        let only = |id: &str| Some(ProviderId(id.to_owned()));
        for (several, shared, only_provider, expected) in [
            (false, false, None, "0001"),
            (true, false, None, "main:0001"),
            (true, true, None, "0001"),
            (true, false, only("main"), "0001"),
            (true, false, only("other"), "main:0001"),
        ] {
            let rules = IdentityRules {
                shared_namespace: shared,
                only_provider,
                ..IdentityRules::default()
            };
            let known = Known::compile(&rules, several);
            assert_eq!(known.user(&ann()).unwrap(), expected, "{rules:?}");
            assert_eq!(known.pin(&ann()), None, "subjects need no pin");
        }
    }

    #[test]
    fn names_that_look_alike_to_an_upstream_are_one_pin() {
        for (one, other) in [
            ("Ann", "ann"),
            ("\u{ff41}nn", "ann"),
            ("\u{fb01}n", "FIN"),
            ("A\u{30a}sa", "\u{e5}sa"),
            ("\u{212a}im", "kim"),
        ] {
            let pin = |name: &str| {
                let identity = Identity {
                    username: Some(name.to_owned()),
                    ..ann()
                };
                known(UserFrom::Username).pin(&identity).unwrap()
            };
            assert_eq!(pin(one), pin(other));
            assert_ne!(pin(one), pin("ben"));
        }
    }

    #[test]
    fn kinds_of_names_do_not_meet() {
        let same = Identity {
            username: Some("ann@example.com".to_owned()),
            ..ann()
        };
        let (by_name, by_mail) = (known(UserFrom::Username), known(UserFrom::Email));
        assert_ne!(by_name.pin(&same), by_mail.pin(&same));
    }

    #[test]
    fn what_is_not_vouched_for_is_no_user() {
        let unverified = Identity {
            email_verified: false,
            ..ann()
        };
        let nameless = [None, Some(String::new())].map(|username| Identity { username, ..ann() });
        let mail = known(UserFrom::Email);
        assert_eq!(mail.user(&ann()).unwrap(), "ann@example.com");
        assert_eq!(mail.pin(&unverified), None);
        assert_eq!(mail.user(&unverified).unwrap_err().reason(), "user_unknown");
        for identity in nameless {
            let name = known(UserFrom::Username);
            assert_eq!(name.pin(&identity), None);
            assert_eq!(name.user(&identity).unwrap_err().reason(), "user_unknown");
        }
    }
}
