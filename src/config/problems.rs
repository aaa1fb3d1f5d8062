//! Faults of a configuration: key path, place, what is wrong, how to cure it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::fault::{Blame, Fault};

/// One thing that is wrong, or unwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `route.files.rules[1].path`; empty where no key is concerned.
    pub key: String,
    /// Where it was written: a file, or an environment variable.
    pub place: String,
    /// The line in that file, counted from 1.
    pub line: Option<usize>,
    pub what: String,
    pub cure: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, "  {}", self.key)?;
        }
        write!(f, "\n    {}\n    cure: {}", self.what, self.cure)
    }
}

/// Everything that was found, in the order of the file. As an error it holds
/// at least one entry in `errors`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub errors: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.errors {
            writeln!(f, "{problem}\n")?;
        }
        for problem in &self.warnings {
            writeln!(f, "warning: {problem}\n")?;
        }
        write!(f, "{}", counted(self.errors.len(), "fault"))?;
        if !self.warnings.is_empty() {
            write!(f, ", {}", counted(self.warnings.len(), "warning"))?;
        }
        Ok(())
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

impl std::error::Error for Problems {}

impl Fault for Problems {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        "bad_configuration"
    }
}

impl Problems {
    /// One error that concerns no key of a file that could be read.
    pub(super) fn alone(place: &str, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            errors: vec![Problem {
                key: String::new(),
                place: place.to_owned(),
                line: None,
                what: what.into(),
                cure: cure.into(),
            }],
            warnings: Vec::new(),
        }
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Line(usize),
    Variable(String),
}

/// Collects problems while the checks go on, and knows where each key stands.
pub(super) struct Findings {
    origin: String,
    places: BTreeMap<String, Place>,
    /// Keys that are absent because they were misspelt.
    misspelt: BTreeSet<String>,
    found: Problems,
}

impl Findings {
    pub(super) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            places: BTreeMap::new(),
            misspelt: BTreeSet::new(),
            found: Problems::default(),
        }
    }

    pub(super) fn set_place(&mut self, key: &str, place: Place) {
        self.places.insert(key.to_owned(), place);
    }

    /// A value was replaced from the environment; what was inside it is gone.
    pub(super) fn replace_place(&mut self, key: &str, place: Place) {
        self.places.retain(|other, _| !lies_below(other, key));
        self.set_place(key, place);
    }

    pub(super) fn is_from_environment(&self, key: &str) -> bool {
        matches!(self.places.get(key), Some(Place::Variable(_)))
    }

    /// A fault. Each key reports its first one: the others tend to follow
    /// from it.
    pub(super) fn error(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        if self.found.errors.iter().any(|known| known.key == key) {
            return;
        }
        let problem = self.problem(key, what.into(), cure.into());
        self.found.errors.push(problem);
    }

    /// A fault that says that something is not there: silent where a fault at
    /// or below the key already explains why.
    pub(super) fn missing(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        let explained = |known: &Problem| lies_below(&known.key, key);
        if !self.misspelt.contains(key) && !self.found.errors.iter().any(explained) {
            self.error(key, what, cure);
        }
    }

    /// `key` was probably meant by a key that is unknown.
    pub(super) fn misspelt(&mut self, key: String) {
        self.misspelt.insert(key);
    }

    pub(super) fn warning(&mut self, key: &str, what: impl Into<String>, cure: impl Into<String>) {
        let problem = self.problem(key, what.into(), cure.into());
        if !self.found.warnings.contains(&problem) {
            self.found.warnings.push(problem);
        }
    }

    /// An error at a byte offset or variable rather than at a key.
    pub(super) fn error_at(
        &mut self,
        key: &str,
        place: Option<Place>,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let problem = self.placed(key, place.as_ref(), what.into(), cure.into());
        self.found.errors.push(problem);
    }

    /// What was found in another file, with its own places.
    pub(super) fn include(&mut self, problems: Problems) {
        self.found.errors.extend(problems.errors);
        self.found.warnings.extend(problems.warnings);
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.found.errors.is_empty()
    }

    pub(super) fn into_problems(mut self) -> Problems {
        let by_line = |problem: &Problem| problem.line.unwrap_or(usize::MAX);
        self.found.errors.sort_by_key(by_line);
        self.found.warnings.sort_by_key(by_line);
        self.found
    }

    fn problem(&self, key: &str, what: String, cure: String) -> Problem {
        let place = self.nearest_place(key).cloned();
        self.placed(key, place.as_ref(), what, cure)
    }

    fn placed(&self, key: &str, place: Option<&Place>, what: String, cure: String) -> Problem {
        let (place, line) = match place {
            Some(Place::Line(line)) => (self.origin.clone(), Some(*line)),
            Some(Place::Variable(name)) => (format!("environment {name}"), None),
            None => (self.origin.clone(), None),
        };
        Problem {
            key: key.to_owned(),
            place,
            line,
            what,
            cure,
        }
    }

    /// The place of the key or of the innermost table or list around it.
    fn nearest_place(&self, key: &str) -> Option<&Place> {
        let mut key = key;
        loop {
            if let Some(place) = self.places.get(key) {
                return Some(place);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }
}

/// `route.a.b` and `route.a[1]` lie below `route.a`, and so does `route.a`.
fn lies_below(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
