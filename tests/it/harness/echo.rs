//! What the upstream says that it received.

use serde::{Deserialize, Serialize};

use super::wire::Answer;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    pub method: String,
    pub target: String,
    /// In the order and spelling of the wire.
    pub headers: Vec<(String, String)>,
    pub trailers: Vec<(String, String)>,
    pub body_length: usize,
    /// Hexadecimal SHA-256 of the body.
    pub body_sha256: String,
}

impl Echo {
    /// Reads the echo out of a 200 answer.
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}: {}", answer.url, answer.text());
        serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("no echo ({error}): {}", answer.text()))
    }

    /// Every value of the fields that fold to `name`: any case, `-`, `_` and `.` alike.
    pub fn folded(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter().chain(&self.trailers);
        all.filter(|(key, _)| fold(key) == fold(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The one value of `name`; panics where it came twice.
    pub fn one(&self, name: &str) -> Option<&str> {
        let values = self.folded(name);
        assert!(
            values.len() <= 1,
            "{name} came {} times: {values:?}",
            values.len()
        );
        values.first().copied()
    }
}

fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}
