//! A header that a request must carry, with the shape of its value.

use std::fmt;

use http::{HeaderMap, HeaderName};
use regex::bytes::{Regex, RegexBuilder};

/// Bytes of compiled program; far beyond any sensible token shape.
const LARGEST: usize = 256 * 1024;

/// Name and expression. The engine is linear in the value whatever the
/// expression is. Two of them are equal if they were written alike.
#[derive(Clone)]
pub struct HeaderPattern {
    pub name: HeaderName,
    written: String,
    whole: Regex,
}

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderPatternError {
    #[error("is no regular expression: {0}")]
    Malformed(String),
    #[error("compiles to more than {LARGEST} bytes")]
    TooLarge,
    #[error("also matches an empty value")]
    MatchesEmpty,
}

impl HeaderPattern {
    /// The expression is about the whole value, with or without anchors.
    pub fn parse(name: HeaderName, written: &str) -> Result<Self, HeaderPatternError> {
        let build = |expression: &str| {
            RegexBuilder::new(expression)
                .size_limit(LARGEST)
                .build()
                .map_err(|error| match error {
                    regex::Error::CompiledTooBig(_) => HeaderPatternError::TooLarge,
                    other => {
                        let text = other.to_string();
                        let last = text.lines().last().unwrap_or_default();
                        let last = last.strip_prefix("error: ").unwrap_or(last);
                        HeaderPatternError::Malformed(last.to_owned())
                    }
                })
        };
        // Alone first: "a)(b" is a fault although it would fit into a group.
        build(written)?;
        let whole = build(&format!(r"\A(?:{written})\z"))?;
        if whole.is_match(b"") {
            return Err(HeaderPatternError::MatchesEmpty);
        }
        Ok(Self {
            name,
            written: written.to_owned(),
            whole,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    pub fn matches_value(&self, value: &[u8]) -> bool {
        !value.is_empty() && self.whole.is_match(value)
    }

    /// Exactly one field of that name, not empty, and of that shape. Which of
    /// two fields an upstream reads cannot be known.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => self.matches_value(value.as_bytes()),
            _ => false,
        }
    }
}

impl PartialEq for HeaderPattern {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.written == other.written
    }
}

impl Eq for HeaderPattern {}

impl fmt::Debug for HeaderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;

    fn pattern(written: &str) -> Result<HeaderPattern, HeaderPatternError> {
        HeaderPattern::parse(AUTHORIZATION, written)
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn exactly_one_whole_value_counts() {
        for written in ["[a-z0-9]{8,}", "^[a-z0-9]{8,}$"] {
            let pattern = pattern(written).unwrap();
            for (values, fits) in [
                (&["abcdefgh12"][..], true),
                (&[], false),
                (&[""], false),
                (&["short"], false),
                (&["abcdefgh12 and more"], false),
                (&["Bearer abcdefgh12"], false),
                (&["abcdefgh12", "abcdefgh12"], false),
                (&["abcdefgh12", ""], false),
            ] {
                assert_eq!(
                    pattern.matches(&headers(values)),
                    fits,
                    "{written} {values:?}"
                );
            }
        }
    }

    #[test]
    fn alternatives_are_anchored_together() {
        let pattern = pattern("^token .{20,}|Basic .+$").unwrap();
        assert!(!pattern.matches(&headers(&["xBasic abc"])));
        assert!(pattern.matches(&headers(&["Basic abc"])));
    }

    #[test]
    fn expressions_that_let_everything_pass_or_do_not_compile_are_refused() {
        for open in ["", ".*", "(abc)?", "^$", "a*|b"] {
            assert_eq!(pattern(open).unwrap_err(), HeaderPatternError::MatchesEmpty);
        }
        for broken in ["(", "a)(b", "[", "(?=x)", r"\1", "*"] {
            let error = pattern(broken).unwrap_err();
            assert!(
                matches!(error, HeaderPatternError::Malformed(_)),
                "{broken}"
            );
        }
        let large = pattern("(\\w{100}){100}").unwrap_err();
        assert_eq!(large, HeaderPatternError::TooLarge);
    }

    #[test]
    fn sec_path_13_a_long_value_costs_little() {
        let pattern = pattern("(a+)+(a+)+b").unwrap();
        let value = vec![b'a'; 60_000];
        let started = std::time::Instant::now();
        assert!(!pattern.matches_value(&value));
        // A backtracking engine would need longer than the universe has.
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }
}
