use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

fn literals(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

fn is_code(text: &str) -> bool {
    text.contains('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
}

/// What stands in functions that are called `reason`, behind `reason:`, and
/// in the lists of codes.
fn codes_of(text: &str) -> BTreeSet<String> {
    let text = text.split("mod tests {").next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for (begin, end) in [
        ("fn reason(", "\n    }\n"),
        ("fn authorization_error(", "\n}\n"),
        ("const CLASSES: ", "];"),
        ("const CODES: ", "];"),
    ] {
        for (at, _) in text.match_indices(begin) {
            let body = text[at..].split(end).next().unwrap_or_default();
            // Of a match arm only what it gives.
            for line in body
                .lines()
                .filter(|line| !line.trim_start().starts_with('|'))
            {
                let given = line.rsplit("=> ").next().unwrap_or(line);
                found.extend(literals(given).map(str::to_owned));
            }
        }
    }
    for (at, mark) in text.match_indices("reason: \"") {
        found.extend(text[at + mark.len()..].split('"').next().map(str::to_owned));
    }
    found.retain(|code| is_code(code));
    found
}

#[test]
fn every_reason_code_of_the_code_base_has_a_cure() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    let mut codes = BTreeSet::new();
    for path in all {
        let path_text = path.to_string_lossy();
        if !path_text.contains("/tests") && !path_text.contains("/demo/") {
            codes.extend(codes_of(&std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(codes.len() > 100, "the codes were found: {codes:?}");
    assert!(codes.contains("client_credentials_rejected") && codes.contains("session_idle"));
    let missing: Vec<_> = codes
        .iter()
        .filter(|code| cure_for(code, None).is_none())
        .collect();
    assert!(
        missing.is_empty(),
        "add what an operator does about it to src/app/cure.rs: {missing:?}"
    );
}

#[test]
fn cures_name_the_provider_or_route_and_have_the_form_of_messages() {
    let cure = cure_for("tls_unknown_ca", Some("main")).unwrap();
    assert!(cure.contains("provider.main.ca_file"), "{cure}");
    let cure = cure_for("upstream_unreachable", Some("files")).unwrap();
    assert!(cure.contains("route.files.upstream"), "{cure}");
    assert_eq!(cure_for("never_heard_of", None), None);
    for reason in ["clock_skew", "store_unavailable", "rotation_lost"] {
        let cure = cure_for(reason, None).unwrap();
        assert!(!cure.ends_with('.'), "{cure}");
    }
}

/// A cure that names a key which is not there sends people on a search.
#[test]
fn cures_name_keys_that_exist() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/app/cure.rs"))
            .unwrap();
    let known = crate::config::known_keys();
    let mut named = 0;
    for word in text.split(|one: char| !(one.is_ascii_alphanumeric() || "._".contains(one))) {
        let key = word.trim_end_matches('.');
        let Some((table, rest)) = key.split_once('.') else {
            continue;
        };
        let tables = [
            "server", "session", "redis", "keys", "provider", "route", "log", "limits",
        ];
        if !tables.contains(&table) || rest.is_empty() || rest == "ID" {
            continue;
        }
        named += 1;
        let below = format!("{key}.");
        let exists = |known: &String| known == key || known.starts_with(&below);
        assert!(known.iter().any(exists), "{key} is no key");
    }
    assert!(named > 20, "{named}");
}
