//! The people of the demonstration.

use serde_json::{Value, json};

pub(super) struct Person {
    /// What the form sends.
    pub(super) key: &'static str,
    pub(super) subject: &'static str,
    pub(super) name: &'static str,
    pub(super) first_name: &'static str,
    pub(super) username: &'static str,
    pub(super) email: &'static str,
    pub(super) groups: &'static [&'static str],
    pub(super) about: &'static str,
}

pub(super) const PEOPLE: &[Person] = &[
    Person {
        key: "ann",
        subject: "7d1c3e5a-ann",
        name: "Ann Archer",
        first_name: "Ann",
        username: "ann",
        email: "ann@example.org",
        groups: &["admins", "staff"],
        about: "is in admins and staff",
    },
    Person {
        key: "ben",
        subject: "b2f84c90-ben",
        name: "Ben Baker",
        first_name: "Ben",
        username: "ben",
        email: "ben@example.org",
        groups: &["staff"],
        about: "is in staff only",
    },
];

impl Person {
    pub(super) fn by_key(key: &str) -> Option<&'static Self> {
        PEOPLE.iter().find(|person| person.key == key)
    }

    /// The claims about this person (OpenID Connect Core section 5.1).
    pub(super) fn claims(&self) -> serde_json::Map<String, Value> {
        let claims = json!({
            "sub": self.subject,
            "name": self.name,
            "preferred_username": self.username,
            "email": self.email,
            "email_verified": true,
            "groups": self.groups,
        });
        match claims {
            Value::Object(claims) => claims,
            _ => serde_json::Map::new(),
        }
    }
}
