//! Path patterns, the same everywhere in the configuration: exact `/a`;
//! `/u/*` is `/u/` and everything below it, not `/u`; a whole-segment `*`
//! elsewhere is one non-empty segment; anything else is an error.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use super::path_text;

/// A compiled pattern. Prints as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern {
    written: String,
    pub(super) segments: Vec<Segment>,
    /// Ends in `/*`: everything below.
    pub(super) open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    /// One whole segment, whatever it is.
    Any,
    /// This one; empty only as the last (`/a/`).
    Literal {
        written: String,
        /// Decoded and lower case, as `Target::lenient_reading` spells it.
        lenient: String,
    },
}

/// Every message says the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("must begin with \"/\"")]
    NotRooted,
    #[error("\"*\" must be a whole segment: write \"/u/*\" for everything below \"/u/\"")]
    PartialStar,
    #[error("has an empty segment (\"//\"): write one slash")]
    EmptySegment,
    #[error("has a dot segment: write the path that it leads to")]
    DotSegment,
    #[error("has {0:?}: a pattern is a path; the query never counts")]
    NotPath(char),
    #[error(
        "has {0:?}: a path with it is never canonical, so it could not match; write \"*\" for \
         one segment, and percent-encode what a browser would encode"
    )]
    NotCanonical(char),
    #[error("has an escape that is malformed or needless: write the character itself")]
    Escape,
}

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::NotRooted)?;
        for character in text.chars() {
            match character {
                '?' | '#' => return Err(PatternError::NotPath(character)),
                ';' | '\\' | '{' | '}' | '<' | '>' | '"' | '`' => {
                    return Err(PatternError::NotCanonical(character));
                }
                _ if character.is_ascii_graphic() => {}
                _ => return Err(PatternError::NotCanonical(character)),
            }
        }
        let (closed, open) = match rest.strip_suffix('*') {
            Some("") => ("", true),
            Some(before) if before.ends_with('/') => (&before[..before.len() - 1], true),
            _ => (rest, false),
        };
        let mut segments = Vec::new();
        if !(open && closed.is_empty()) {
            let count = closed.split('/').count();
            for (index, segment) in closed.split('/').enumerate() {
                if segment.is_empty() && (open || index + 1 < count) {
                    return Err(PatternError::EmptySegment);
                }
                segments.push(Segment::parse(segment)?);
            }
        } else if rest == "/*" {
            return Err(PatternError::EmptySegment);
        }
        Ok(Self {
            written: text.to_owned(),
            segments,
            open,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// `/*`: every path.
    pub fn is_everything(&self) -> bool {
        self.open && self.segments.is_empty()
    }

    /// Byte for byte. The caller decides whether `path` must be canonical.
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        self.walk(rest, |written, _, segment| written == segment)
    }

    /// Against `Target::lenient_reading`. A slash at the end counts on
    /// neither side: servers exist that ignore it.
    pub fn matches_lenient(&self, reading: &str) -> bool {
        let Some(rest) = reading.strip_prefix('/') else {
            return false;
        };
        let same = |_: &str, lenient: &str, segment: &str| lenient == segment;
        self.walk(rest, same)
            || match rest.strip_suffix('/') {
                Some(shorter) => self.walk(shorter, same),
                None => !self.open && self.ends_in_slash() && self.walk(&format!("{rest}/"), same),
            }
    }

    fn ends_in_slash(&self) -> bool {
        self.written.ends_with('/')
    }

    fn walk(&self, rest: &str, same: impl Fn(&str, &str, &str) -> bool) -> bool {
        let mut asked = rest.split('/');
        for segment in &self.segments {
            let Some(text) = asked.next() else {
                return false;
            };
            let fits = match segment {
                Segment::Any => !text.is_empty(),
                Segment::Literal { written, lenient } => same(written, lenient, text),
            };
            if !fits {
                return false;
            }
        }
        // `/u/*` needs the slash after `u`, so something must be left.
        asked.next().is_some() == self.open
    }

    /// Whether every path that `other` matches is matched by this one too.
    pub fn covers(&self, other: &Self) -> bool {
        let long_enough = if self.open {
            other.segments.len() > self.segments.len()
                || (other.open && other.segments.len() == self.segments.len())
        } else {
            !other.open && other.segments.len() == self.segments.len()
        };
        let narrower = |(own, other): (&Segment, &Segment)| match (own, other) {
            (Segment::Any, Segment::Any) => true,
            (Segment::Any, Segment::Literal { written, .. }) => !written.is_empty(),
            (own, other) => own == other,
        };
        long_enough && self.segments.iter().zip(&other.segments).all(narrower)
    }

    /// Whether both match some path, or spellings of one path, and neither is
    /// the more specific one.
    pub fn collides_with(&self, other: &Self) -> bool {
        let rank = |pattern: &Self| {
            let any = |segment: &&Segment| **segment == Segment::Any;
            let wild = pattern.segments.iter().filter(any).count();
            (pattern.segments.len(), pattern.open, wild)
        };
        let meets = |(own, other): (&Segment, &Segment)| match (own, other) {
            (Segment::Literal { lenient: own, .. }, Segment::Literal { lenient: other, .. }) => {
                own == other
            }
            _ => true,
        };
        rank(self) == rank(other) && self.segments.iter().zip(&other.segments).all(meets)
    }

    /// What it matches if no segment but the last may be any, in the spelling
    /// in which two such patterns collide exactly if they are equal.
    pub fn without_wildcards(&self) -> Option<(String, bool)> {
        let mut text = String::with_capacity(self.written.len());
        for segment in &self.segments {
            let Segment::Literal { lenient, .. } = segment else {
                return None;
            };
            text.push('/');
            text.push_str(lenient);
        }
        Some((text, self.open))
    }

    /// The more specific pattern first: more segments, then exact before
    /// open, then more literal ones, then the longer text, then the alphabet.
    pub fn by_specificity(&self, other: &Self) -> Ordering {
        let key = |pattern: &Self| {
            let literals = pattern
                .segments
                .iter()
                .filter(|segment| **segment != Segment::Any)
                .count();
            Reverse((
                pattern.segments.len(),
                !pattern.open,
                literals,
                pattern.written.len(),
            ))
        };
        key(self)
            .cmp(&key(other))
            .then_with(|| self.written.cmp(&other.written))
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.contains('*') {
            return Err(PatternError::PartialStar);
        }
        match path_text::judge(&format!("/{text}")) {
            Ok(judged) if judged.canonical => {}
            Err(path_text::PathFault::DotSegment) => return Err(PatternError::DotSegment),
            Ok(_) | Err(_) => return Err(PatternError::Escape),
        }
        let rooted = format!("/{text}");
        let lenient = path_text::lenient_reading(&rooted)[1..].to_owned();
        Ok(Self::Literal {
            written: text.to_owned(),
            lenient,
        })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests;
