//! The house rules that a compiler does not know: layers, sizes, doors, and
//! the places where certain things may be written at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first. A module imports from the layers above its line only.
const LAYERS: &[&[&str]] = &[
    &["base"],
    &["model", "telemetry"],
    &["config"],
    &["policy", "listener", "provider", "session", "page"],
    &["route", "refresh", "identity_headers"],
    &["gate", "login", "logout"],
    &["proxy", "admin"],
    &["server"],
    &["app", "cli", "demo"],
];

/// The command line starts what stands beside it.
const BESIDE: &[(&str, &str)] = &[("cli", "app"), ("cli", "demo")];

const MOST_LINES_OF_CODE: usize = 400;

/// Where a literal header name may stand. A new header gets a name in the
/// first of them.
const HEADER_NAME_FILES: &[&str] = &[
    "src/base/header_names.rs",
    // says in words which headers a preset sends
    "src/config/identity_preset.rs",
    // refuses names that reroute requests
    "src/config/custom_header.rs",
    "src/identity_headers/presets.rs",
    "src/identity_headers/scrub.rs",
];

struct Source {
    /// From the root of the package, with "/".
    path: String,
    text: String,
}

impl Source {
    /// The folder below `src`, or `None` for `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        rest.split_once('/').map(|(module, _)| module)
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("folder of the package");
    for entry in entries {
        let entry = entry.expect("entry of a folder");
        let path = entry.path();
        let name = entry.file_name();
        let skipped = ["target", "node_modules", ".git"];
        if skipped.iter().any(|skipped| name == *skipped) {
            continue;
        }
        if entry.file_type().expect("kind of an entry").is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn files_below(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        // Pictures and other bytes are nobody's text.
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root()).expect("below the root");
        let path = path.to_string_lossy().replace('\\', "/");
        Some(Source { path, text })
    };
    paths.into_iter().filter_map(read).collect()
}

/// The Rust files of the library, without those that only tests compile.
fn sources() -> Vec<Source> {
    let mut all = files_below("src");
    all.retain(|source| source.path.ends_with(".rs"));
    assert!(all.len() > 30, "the source folder was found");
    let for_tests: BTreeSet<String> = all
        .iter()
        .filter(|source| source.path.ends_with("/mod.rs"))
        .flat_map(|door| {
            let folder = door.path.trim_end_matches("mod.rs").to_owned();
            let lines: Vec<_> = door.text.lines().collect();
            let children: Vec<_> = lines
                .windows(2)
                .filter(|pair| pair[0].trim() == "#[cfg(test)]")
                .filter_map(|pair| {
                    let name = pair[1].trim().strip_suffix(';')?;
                    let name = name.rsplit(' ').next()?;
                    Some(format!("{folder}{name}.rs"))
                })
                .collect();
            children
        })
        .collect();
    all.retain(|source| {
        !source.path.ends_with("/tests.rs")
            && !source.path.contains("/tests/")
            && !for_tests.contains(&source.path)
    });
    all
}

/// Without items under a `#[cfg(test)]` at the margin. Relies on rustfmt: such
/// an item ends in a line that is a lone brace, or in its first line.
fn without_tests(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let mut first = lines.next().unwrap_or_default();
        while first.starts_with("#[") {
            first = lines.next().unwrap_or_default();
        }
        if !first.ends_with(';') && !first.ends_with('}') {
            for line in lines.by_ref() {
                if line == "}" {
                    break;
                }
            }
        }
    }
    kept
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

fn code(text: &str) -> String {
    let text = without_tests(text);
    let lines: Vec<_> = text.lines().filter(|line| is_code(line)).collect();
    lines.join("\n")
}

fn word(text: &str) -> &str {
    let end = text
        .find(|one: char| !one.is_alphanumeric() && one != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// The modules that code names by `crate::…`, groups included.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|one: char| one.is_alphanumeric() || one == '_' || one == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest).to_owned());
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, one) in group.char_indices() {
            match one {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if one.is_whitespace() => {}
                _ if begins => {
                    found.insert(word(&group[at..]).to_owned());
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

/// The longest chain of `super::`.
fn longest_climb(code: &str) -> usize {
    let mut longest = 0;
    let mut rest = code;
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut steps = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            rest = after;
            steps += 1;
        }
        longest = longest.max(steps);
    }
    longest
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

#[track_caller]
fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn modules_import_only_from_lower_layers() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else {
            continue;
        };
        let Some(own) = layer(module) else {
            faults.push(format!("{}: \"{module}\" has no layer", source.path));
            continue;
        };
        let code = code(&source.text);
        for other in imports(&code) {
            let allowed = other == module
                || layer(&other).is_some_and(|other| other < own)
                || BESIDE.contains(&(module, other.as_str()));
            if !allowed {
                faults.push(format!("{}: may not import {other}", source.path));
            }
        }
        // How many steps lead out of the file's module to the crate.
        let depth = source.path.matches('/').count();
        let depth = depth - usize::from(source.path.ends_with("/mod.rs"));
        if longest_climb(&code) >= depth {
            faults.push(format!("{}: climbs out of its module", source.path));
        }
    }
    report(&faults);
}

#[test]
fn the_table_of_layers_is_the_one_of_the_library() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let mut layers: Vec<BTreeSet<&str>> = Vec::new();
    for line in lib.lines() {
        if line.starts_with("// L") {
            layers.push(BTreeSet::new());
        }
        if let Some(module) = line.strip_prefix("pub mod ") {
            let modules = layers.last_mut().expect("a layer before its modules");
            modules.insert(module.trim_end_matches(';'));
        }
    }
    let table: Vec<BTreeSet<&str>> = LAYERS
        .iter()
        .map(|names| names.iter().copied().collect())
        .collect();
    assert_eq!(layers, table);
}

#[test]
fn the_gateway_cannot_reach_the_demo() {
    let mut faults = Vec::new();
    for source in sources() {
        let gateway = source.module() == Some("app") || source.path == "src/cli/serve.rs";
        if gateway && imports(&code(&source.text)).contains("demo") {
            faults.push(format!("{}: names the demo", source.path));
        }
    }
    report(&faults);
}

#[test]
fn files_stay_short() {
    let faults: Vec<_> = sources()
        .iter()
        .filter_map(|source| {
            let lines = code(&source.text).lines().count();
            (lines > MOST_LINES_OF_CODE).then(|| format!("{}: {lines} lines", source.path))
        })
        .collect();
    report(&faults);
}

#[test]
fn every_folder_has_a_door_that_says_what_it_is() {
    let mut faults = Vec::new();
    let all = sources();
    let folders: BTreeSet<&str> = all
        .iter()
        .filter_map(|source| source.path.rsplit_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| *folder != "src")
        .collect();
    for folder in folders {
        let door = format!("{folder}/mod.rs");
        let Some(door) = all.iter().find(|source| source.path == door) else {
            faults.push(format!("{folder}: no mod.rs"));
            continue;
        };
        let text: Vec<_> = door
            .text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        if text.is_empty() {
            faults.push(format!("{}: does not begin with //!", door.path));
        }
        let top = folder.matches('/').count() == 1;
        if top && !text.join(" ").contains("Must not know") {
            faults.push(format!("{}: does not say what it must not know", door.path));
        }
    }
    report(&faults);
}

/// A file that no module names is compiled by nobody and rots.
#[test]
fn every_file_belongs_to_the_crate() {
    let mut faults = Vec::new();
    let all = files_below("src");
    for source in &all {
        let Some((folder, file)) = source.path.rsplit_once('/') else {
            continue;
        };
        let Some(name) = file.strip_suffix(".rs") else {
            continue;
        };
        if matches!(name, "lib" | "main" | "mod") {
            continue;
        }
        let doors = [
            format!("{folder}/mod.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}.rs"),
        ];
        let named = all
            .iter()
            .filter(|other| doors.contains(&other.path))
            .any(|door| door.text.contains(&format!("mod {name};")));
        if !named {
            faults.push(format!("{}: no module names it", source.path));
        }
    }
    report(&faults);
}

#[test]
fn header_names_are_written_in_one_place() {
    let mut faults = Vec::new();
    for source in sources() {
        if HEADER_NAME_FILES.contains(&source.path.as_str()) {
            continue;
        }
        for line in code(&source.text).lines() {
            if line.to_ascii_lowercase().contains("\"x-") {
                faults.push(format!("{}: {}", source.path, line.trim()));
            }
        }
    }
    report(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "(to be written)",
        "FIXME",
    ];
    let mut faults = Vec::new();
    for source in files_below("src") {
        for mark in marks {
            if source.text.contains(mark) {
                faults.push(format!("{}: {mark}", source.path));
            }
        }
    }
    report(&faults);
}

#[test]
fn no_path_of_a_machine() {
    // In pieces, so that this file does not accuse itself.
    let marks = [["/", "work/"].concat(), ["/", "root/"].concat()];
    let mut faults = Vec::new();
    for source in files_below("") {
        for (number, line) in source.text.lines().enumerate() {
            for mark in &marks {
                let hit = line.match_indices(mark.as_str()).any(|(at, _)| {
                    // Part of a longer path or of a web address is fine.
                    !line[..at]
                        .ends_with(|one: char| one.is_alphanumeric() || "._-*}".contains(one))
                });
                if hit {
                    faults.push(format!("{}:{}: {mark}", source.path, number + 1));
                }
            }
        }
    }
    report(&faults);
}

mod the_rules_themselves {
    use super::*;

    #[test]
    fn imports_are_seen_in_every_form() {
        let code = "use crate::base::clock;\nuse crate::{\n    policy::{a, b},\n    route,\n};\n\
                    fn f(x: crate::model::Y) { $crate::x(); mycrate::z(); }";
        let found: Vec<_> = imports(code).into_iter().collect();
        assert_eq!(found, ["base", "model", "policy", "route"]);
    }

    #[test]
    fn climbs_are_counted() {
        assert_eq!(longest_climb("use super::a; use super::super::b;"), 2);
        assert_eq!(longest_climb("superb::x"), 0);
    }

    #[test]
    fn tests_do_not_count() {
        let text =
            "a\n#[cfg(test)]\nmod fixture;\nb\n\n// c\n#[cfg(test)]\nmod tests {\n    x\n}\nd\n";
        assert_eq!(code(text), "a\nb\nd");
    }
}
