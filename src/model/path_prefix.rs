//! Taking a prefix off a path and putting one on, before anything is judged:
//! what the policy judges is what the application gets.

use std::borrow::Cow;

use super::pattern::{PathPattern, PatternError};
use super::target::{Target, TargetError};

/// What happens to the front of a path on its way to the application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathPrefix {
    /// Taken off: `/app`. Every path of the route begins with it.
    pub strip: Option<String>,
    /// Put on afterwards: `/x`.
    pub add: Option<String>,
}

/// Why a text cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    #[error("ends in \"/\" or \"*\", and a prefix is whole segments")]
    EndsOpen,
    #[error("{0}")]
    NotAPath(#[from] PatternError),
}

impl PathPrefix {
    /// A prefix is canonical, whole segments, without a slash at its end.
    pub fn check(text: &str) -> Result<(), PrefixError> {
        if text.ends_with(['/', '*']) {
            return Err(PrefixError::EndsOpen);
        }
        if text.contains('*') {
            return Err(PatternError::PartialStar.into());
        }
        PathPattern::parse(text)?;
        Ok(())
    }

    /// Whether `path` is `prefix` or lies below it, byte for byte.
    pub fn is_below(path: &str, prefix: &str) -> bool {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Nothing is taken off and nothing put on.
    pub const fn is_empty(&self) -> bool {
        self.strip.is_none() && self.add.is_none()
    }

    /// The target that is judged and sent. The new path is judged from
    /// scratch, as if a client had asked for it.
    pub fn apply<'a>(&self, target: &'a Target) -> Result<Cow<'a, Target>, TargetError> {
        if self.is_empty() {
            return Ok(Cow::Borrowed(target));
        }
        let mut rest = target.path();
        if let Some(strip) = &self.strip {
            rest = rest
                .strip_prefix(strip.as_str())
                .filter(|rest| rest.is_empty() || rest.starts_with('/'))
                .ok_or(TargetError::NotAPath)?;
        }
        let add = self.add.as_deref().unwrap_or_default();
        let path = match (add, rest) {
            ("", "") => "/".to_owned(),
            (add, rest) => format!("{add}{rest}"),
        };
        target.with_path(&path).map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(strip: Option<&str>, add: Option<&str>) -> PathPrefix {
        PathPrefix {
            strip: strip.map(str::to_owned),
            add: add.map(str::to_owned),
        }
    }

    fn applied(prefix: &PathPrefix, path: &str) -> Result<String, TargetError> {
        let target = Target::for_tests("GET", &format!("http://a.test{path}"));
        let judged = prefix.apply(&target)?;
        Ok(judged.path_and_query.as_str().to_owned())
    }

    #[test]
    fn a_prefix_is_taken_off_and_put_on() {
        let strip = prefix(Some("/app"), None);
        let both = prefix(Some("/app"), Some("/x/y"));
        let add = prefix(None, Some("/x"));
        for (prefix, path, expected) in [
            (&strip, "/app", "/"),
            (&strip, "/app?a=1", "/?a=1"),
            (&strip, "/app/", "/"),
            (&strip, "/app/a/b?c=/app/", "/a/b?c=/app/"),
            (&strip, "/app/app", "/app"),
            (&both, "/app", "/x/y"),
            (&both, "/app/a%20b?c", "/x/y/a%20b?c"),
            (&add, "/", "/x/"),
            (&add, "/a", "/x/a"),
        ] {
            assert_eq!(applied(prefix, path).unwrap(), expected, "{path}");
        }
        let target = Target::for_tests("GET", "http://a.test/a");
        let untouched = PathPrefix::default().apply(&target).unwrap();
        assert!(matches!(untouched, Cow::Borrowed(_)));
    }

    #[test]
    fn sec_path_16_what_is_left_is_judged_anew() {
        let strip = prefix(Some("/app"), None);
        // Not below the prefix, whatever a lenient reader would say.
        for path in ["/apple", "/App/a", "/%61pp/a", "/app;a/b", "//app/a", "/a"] {
            assert_eq!(applied(&strip, path), Err(TargetError::NotAPath), "{path}");
        }
        let judged = |path: &str| {
            let target = Target::for_tests("GET", &format!("http://a.test{path}"));
            strip.apply(&target).unwrap().into_owned()
        };
        let doubled = judged("/app//admin");
        assert!(!doubled.is_canonical());
        assert_eq!(doubled.lenient_reading(), "/admin");
        assert_eq!(judged("/app/Admin").lenient_reading(), "/admin");
        assert!(judged("/app/admin").is_canonical());
        assert!(!judged("/app/a;b/c").is_canonical());
    }

    #[test]
    fn a_prefix_is_whole_canonical_segments() {
        for good in ["/a", "/a/b.c", "/a%20b"] {
            assert_eq!(PathPrefix::check(good), Ok(()), "{good}");
        }
        for bad in [
            "", "/", "a", "/a/", "/a/*", "/*/a", "/a*b", "//a", "/a//b", "/a/../b", "/a?b", "/a;b",
            "/%61", "/a b",
        ] {
            assert!(PathPrefix::check(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever comes out is what the parser makes of it as a request.
        #[test]
        fn sec_path_16_the_result_is_what_a_client_could_have_asked(
            rest in "(/[a-zA-Z0-9%;.~*:@/-]{0,12}){0,3}(\\?[a-z/=&]{0,5})?"
        ) {
            let uri = format!("http://a.test/app{rest}").parse::<http::Uri>();
            let parsed = uri.ok().and_then(|uri| {
                Target::parse(&http::Method::GET, &uri, &http::HeaderMap::new()).ok()
            });
            if let Some(target) = parsed
                && let Ok(judged) = prefix(Some("/app"), Some("/x")).apply(&target)
            {
                let again: http::Uri =
                    format!("http://a.test{}", judged.path_and_query).parse().unwrap();
                let again =
                    Target::parse(&http::Method::GET, &again, &http::HeaderMap::new()).unwrap();
                prop_assert_eq!(again.path(), judged.path());
                prop_assert_eq!(again.query(), target.query());
                prop_assert_eq!(again.is_canonical(), judged.is_canonical());
            }
        }
    }
}
