//! `strip_prefix` and `add_prefix` of a route, and rules that could not mean
//! what they say beside them.

use super::problems::Findings;
use crate::model::access::LaneRule;
use crate::model::path_prefix::{PathPrefix, PrefixError};
use crate::model::pattern::PathPattern;

/// A value and the key under which it was written.
type Written<'a> = (Option<&'a String>, String);

pub(super) fn check(
    strip: &Written<'_>,
    add: &Written<'_>,
    path: Option<&PathPattern>,
    findings: &mut Findings,
) -> PathPrefix {
    let mut out = PathPrefix::default();
    for ((raw, key), slot) in [(strip, &mut out.strip), (add, &mut out.add)] {
        let Some(text) = raw else { continue };
        match PathPrefix::check(text) {
            Ok(()) => *slot = Some((*text).clone()),
            Err(error) => {
                let cure = match error {
                    PrefixError::EndsOpen => {
                        format!("write \"{}\"", text.trim_end_matches(['/', '*']))
                    }
                    PrefixError::NotAPath(_) => "write a path such as \"/app\"".to_owned(),
                };
                findings.error(key, error.to_string(), cure);
            }
        }
    }
    if let (Some(strip_prefix), Some(path)) = (&out.strip, path)
        && !PathPrefix::is_below(path.as_str(), strip_prefix)
    {
        findings.error(
            &strip.1,
            format!(
                "the route answers for \"{}\", which does not begin with it",
                path.as_str()
            ),
            format!("write path = \"{strip_prefix}/*\""),
        );
        out.strip = None;
    }
    out
}

/// Rules see the path that the application gets. One that was written for the
/// path that browsers ask for would silently never match: a `deny` would be
/// open.
pub(super) fn check_rules(
    prefix: &PathPrefix,
    rules: &[LaneRule],
    key: &str,
    findings: &mut Findings,
) {
    for (index, rule) in rules.iter().enumerate() {
        let path = rule.path.as_str();
        let key = format!("{key}[{index}].path");
        if let Some(add) = &prefix.add {
            if !could_match_below(path, add) {
                findings.error(
                    &key,
                    format!("matches nothing: add_prefix makes every path begin with \"{add}\""),
                    format!("rules see the path that the application gets: write \"{add}{path}\""),
                );
            }
        } else if let Some(strip) = &prefix.strip
            && PathPrefix::is_below(path, strip)
        {
            let rest = &path[strip.len()..];
            let rest = if rest.is_empty() { "/" } else { rest };
            findings.error(
                &key,
                format!("begins with \"{strip}\", which strip_prefix has taken off by then"),
                format!("rules see the path that the application gets: write \"{rest}\""),
            );
        }
    }
}

/// Whether some path below `add` fits the pattern, judged by what stands
/// before its first `*`.
fn could_match_below(pattern: &str, add: &str) -> bool {
    match pattern.split_once('*') {
        Some((literal, _)) if format!("{add}/").starts_with(literal) => true,
        _ => PathPrefix::is_below(pattern, add),
    }
}
