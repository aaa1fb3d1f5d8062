//! What a rule asked for and did not get, in words for people.

use std::fmt;
use std::net::IpAddr;

use super::admission::{Condition, Fit, Person, each_condition};
use crate::model::access::AccessRule;
use crate::model::identity::ProviderId;

/// Why a rule is not about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Method,
    Path,
    /// The path fits, but not in the one spelling that a granting rule takes.
    Spelling,
    /// The query names another method.
    MethodInQuery,
    /// The request does not carry the header.
    HeaderMissing,
    /// It carries the header more than once.
    HeaderTwice,
    /// It carries the header with another value.
    HeaderValue,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the method is not listed",
            Self::Path => "the path does not fit",
            Self::Spelling => {
                "the path is spelt in a way that a lenient server could read differently"
            }
            Self::MethodInQuery => "the query has the key _method, which some frameworks obey",
            Self::HeaderMissing => "the request does not carry the header",
            Self::HeaderTwice => "the request carries the header more than once",
            Self::HeaderValue => "the header's value does not have that shape",
        })
    }
}

/// A condition of an access rule that somebody does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortfall {
    /// The rule has no condition, and so speaks of nobody.
    SaysNothing,
    Provider {
        wanted: ProviderId,
    },
    ClientNetwork {
        client: IpAddr,
        wanted: Vec<String>,
    },
    Subject {
        wanted: Vec<String>,
    },
    UsernameMissing,
    Username {
        wanted: Vec<String>,
    },
    EmailMissing,
    /// The provider does not vouch for it: unknown, not wrong.
    EmailUnverified,
    Email {
        emails: Vec<String>,
        domains: Vec<String>,
    },
    /// Nobody asked for it when the claims were read: unknown, not wrong.
    ClaimMissing {
        name: String,
    },
    /// It has no readable form: unknown, not wrong.
    ClaimUnreadable {
        name: String,
    },
    Claim {
        name: String,
        wanted: Vec<String>,
    },
    /// The provider did not tell them: unknown, not wrong.
    GroupsUnknown,
    Groups {
        wanted: Vec<String>,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SaysNothing => f.write_str("the rule has no condition"),
            Self::Provider { wanted } => write!(f, "not signed in with provider {wanted}"),
            Self::ClientNetwork { client, wanted } => {
                write!(f, "{client} is not in {}", wanted.join(" or "))
            }
            Self::Subject { wanted } => write!(f, "the subject is not {}", wanted.join(" or ")),
            Self::UsernameMissing => f.write_str("no user name is known"),
            Self::Username { wanted } => write!(f, "the user name is not {}", wanted.join(" or ")),
            Self::EmailMissing => f.write_str("no usable mail address is known"),
            Self::EmailUnverified => {
                f.write_str("the provider has not verified the mail address, so it does not count")
            }
            Self::Email { emails, domains } => {
                f.write_str("the mail address is not")?;
                if !emails.is_empty() {
                    write!(f, " {}", emails.join(" or "))?;
                }
                if !emails.is_empty() && !domains.is_empty() {
                    f.write_str(" and")?;
                }
                if !domains.is_empty() {
                    write!(f, " at {}", domains.join(" or "))?;
                }
                Ok(())
            }
            Self::ClaimMissing { name } => write!(f, "the claim {name} is not known"),
            Self::ClaimUnreadable { name } => {
                write!(f, "the claim {name} has no form that could be compared")
            }
            Self::Claim { name, wanted } => {
                write!(f, "the claim {name} is not {}", wanted.join(" or "))
            }
            Self::GroupsUnknown => f.write_str("the provider did not tell the groups"),
            Self::Groups { wanted } => write!(f, "not in {}", wanted.join(" or ")),
        }
    }
}

/// The conditions of a rule that somebody does not meet, or of which nobody
/// can tell.
pub(super) fn shortfalls(rule: &AccessRule, person: Person<'_>) -> Vec<Shortfall> {
    let mut out = Vec::new();
    let mut says_nothing = true;
    each_condition(rule, person, |condition, fit| {
        says_nothing = false;
        match fit {
            Fit::Yes => {}
            Fit::No => out.push(wrong(rule, person, condition)),
            Fit::Unknown(_) => out.push(unknown(person, condition)),
        }
    });
    if says_nothing {
        out.push(Shortfall::SaysNothing);
    }
    out
}

fn wrong(rule: &AccessRule, person: Person<'_>, condition: Condition<'_>) -> Shortfall {
    match condition {
        Condition::Provider(wanted) => Shortfall::Provider {
            wanted: wanted.clone(),
        },
        Condition::Networks => Shortfall::ClientNetwork {
            client: person.client.to_canonical(),
            wanted: rule
                .client_networks
                .iter()
                .map(ToString::to_string)
                .collect(),
        },
        Condition::Subjects => Shortfall::Subject {
            wanted: rule.subjects.clone(),
        },
        Condition::Usernames => Shortfall::Username {
            wanted: rule.usernames.clone(),
        },
        Condition::Email => Shortfall::Email {
            emails: rule.emails.clone(),
            domains: rule.email_domains.clone(),
        },
        Condition::Claim(name, wanted) => Shortfall::Claim {
            name: name.to_owned(),
            wanted: wanted.to_vec(),
        },
        Condition::Groups => Shortfall::Groups {
            wanted: rule.groups.clone(),
        },
    }
}

fn unknown(person: Person<'_>, condition: Condition<'_>) -> Shortfall {
    let identity = person.identity;
    match condition {
        Condition::Usernames => Shortfall::UsernameMissing,
        Condition::Email if identity.email.is_some() && !identity.email_verified => {
            Shortfall::EmailUnverified
        }
        Condition::Email => Shortfall::EmailMissing,
        Condition::Claim(name, _) if !identity.claims.contains_key(name) => {
            Shortfall::ClaimMissing {
                name: name.to_owned(),
            }
        }
        Condition::Claim(name, _) => Shortfall::ClaimUnreadable {
            name: name.to_owned(),
        },
        Condition::Groups => Shortfall::GroupsUnknown,
        Condition::Provider(_) | Condition::Networks | Condition::Subjects => {
            unreachable!("provider, subject and address are always known")
        }
    }
}
