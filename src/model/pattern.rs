//! Path patterns, the same everywhere in the configuration: exact `/a`;
//! `/u/*` is `/u/` and everything below it, not `/u`; a whole-segment `*`
//! elsewhere is one non-empty segment; anything else is an error.

use std::fmt;

/// A compiled pattern. Prints as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    written: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("must begin with \"/\"")]
    NotRooted,
}

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        // the policy slice replaces this body
        if !text.starts_with('/') {
            return Err(PatternError::NotRooted);
        }
        Ok(Self {
            written: text.to_owned(),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// `/*`: every path.
    pub fn is_everything(&self) -> bool {
        self.written == "/*"
    }

    pub fn matches(&self, _path: &str) -> bool {
        false
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
