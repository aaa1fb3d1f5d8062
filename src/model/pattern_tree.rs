//! Many patterns, asked at once: what a path costs depends on its length and
//! not on their number.

use std::cmp::Ordering;

use super::pattern::{PathPattern, Segment};

/// Answers for every pattern what [`PathPattern::matches`] and
/// [`PathPattern::matches_lenient`] would.
#[derive(Debug, Clone, Default)]
pub struct PatternTree {
    written: Node,
    lenient: Node,
}

#[derive(Clone, Copy)]
enum Spelling {
    Written,
    Lenient,
}

/// What may follow a beginning of a path.
#[derive(Debug, Clone, Default)]
struct Node {
    /// By length, then by bytes.
    literals: Vec<(Box<str>, Self)>,
    any: Option<Box<Self>>,
    /// Patterns that end here.
    ends: Vec<usize>,
    /// Patterns that take everything below.
    open: Vec<usize>,
}

impl PatternTree {
    /// Each pattern with the number that stands for it.
    pub fn new<'a>(patterns: impl IntoIterator<Item = (usize, &'a PathPattern)>) -> Self {
        let mut tree = Self::default();
        for (number, pattern) in patterns {
            tree.written.add(number, pattern, Spelling::Written);
            tree.lenient.add(number, pattern, Spelling::Lenient);
        }
        tree
    }

    pub fn is_empty(&self) -> bool {
        let root = &self.written;
        let nothing_below = root.literals.is_empty() && root.any.is_none();
        nothing_below && root.ends.is_empty() && root.open.is_empty()
    }

    /// Calls `visit` for each pattern that matches `path` as it is written,
    /// in no order.
    pub fn matches(&self, path: &str, mut visit: impl FnMut(usize)) {
        if let Some(rest) = path.strip_prefix('/') {
            self.written.walk(Some(rest), false, &mut visit);
        }
    }

    /// The same against `Target::lenient_reading`; a pattern may come twice.
    pub fn matches_lenient(&self, reading: &str, mut visit: impl FnMut(usize)) {
        let Some(rest) = reading.strip_prefix('/') else {
            return;
        };
        let shorter = rest.strip_suffix('/');
        // A slash at the end counts on neither side.
        self.lenient.walk(Some(rest), shorter.is_none(), &mut visit);
        if shorter.is_some() {
            self.lenient.walk(shorter, false, &mut visit);
        }
    }
}

impl Node {
    fn add(&mut self, number: usize, pattern: &PathPattern, spelling: Spelling) {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Any => node.any.get_or_insert_default(),
                Segment::Literal { written, lenient } => node.literal(match spelling {
                    Spelling::Written => written,
                    Spelling::Lenient => lenient,
                }),
            };
        }
        let numbers = if pattern.open {
            &mut node.open
        } else {
            &mut node.ends
        };
        numbers.push(number);
    }

    fn literal(&mut self, text: &str) -> &mut Self {
        let at = self.find(text).unwrap_or_else(|at| {
            self.literals.insert(at, (text.into(), Self::default()));
            at
        });
        &mut self.literals[at].1
    }

    fn find(&self, text: &str) -> Result<usize, usize> {
        self.literals
            .binary_search_by(|(known, _)| match known.len().cmp(&text.len()) {
                Ordering::Equal => known.as_bytes().cmp(text.as_bytes()),
                unequal => unequal,
            })
    }

    /// `rest`: the segments that are left. `slash`: one slash more at the end
    /// is as good as none, for patterns that end in it.
    fn walk(&self, rest: Option<&str>, slash: bool, visit: &mut impl FnMut(usize)) {
        let Some(rest) = rest else {
            self.ends.iter().copied().for_each(&mut *visit);
            if slash && let Ok(at) = self.find("") {
                self.literals[at].1.ends.iter().copied().for_each(visit);
            }
            return;
        };
        self.open.iter().copied().for_each(&mut *visit);
        let (segment, after) = match memchr::memchr(b'/', rest.as_bytes()) {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        if let Ok(at) = self.find(segment) {
            self.literals[at].1.walk(after, slash, visit);
        }
        if let Some(any) = &self.any
            && !segment.is_empty()
        {
            any.walk(after, slash, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::path_text;

    fn asked(find: impl FnOnce(&mut dyn FnMut(usize))) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        find(&mut |number| {
            found.insert(number);
        });
        found
    }

    proptest! {
        #[test]
        fn a_tree_says_what_each_pattern_says(
            texts in prop::collection::vec("(/(a|B|%20|\\*|ab)){0,4}(/\\*|/)?", 0..12),
            path in "(/(a|b|B|%20|ab|A)?){0,5}",
        ) {
            let patterns: Vec<_> = texts
                .iter()
                .filter_map(|text| PathPattern::parse(text).ok())
                .collect();
            let tree = PatternTree::new(patterns.iter().enumerate());
            let each = |matches: &dyn Fn(&PathPattern) -> bool| -> BTreeSet<usize> {
                let numbered = patterns.iter().enumerate();
                numbered.filter(|(_, one)| matches(one)).map(|(number, _)| number).collect()
            };
            prop_assert_eq!(
                asked(|visit| tree.matches(&path, visit)),
                each(&|pattern| pattern.matches(&path))
            );
            let reading = path_text::lenient_reading(&path);
            prop_assert_eq!(
                asked(|visit| tree.matches_lenient(&reading, visit)),
                each(&|pattern| pattern.matches_lenient(&reading))
            );
        }
    }

    #[test]
    fn sec_path_12_many_patterns_and_a_long_path_cost_little() {
        let patterns: Vec<_> = (0..1000)
            .map(|n| PathPattern::parse(&format!("/r{n}/*/x/*")).unwrap())
            .collect();
        let tree = PatternTree::new(patterns.iter().enumerate());
        let path = format!("/r500{}", "/x".repeat(30_000));
        let started = std::time::Instant::now();
        for _ in 0..1000 {
            let found = asked(|visit| tree.matches(&path, visit));
            assert_eq!(found, BTreeSet::from([500]));
        }
        assert!(started.elapsed() < std::time::Duration::from_millis(500));
    }
}
