//! Every row of the three families of promises has a test whose name carries
//! it, so that a new name cannot lose one: `row_0_…` for sign-ins, `row_1_…`
//! for keys and state, `row_2_…` for refused refreshes, and the matrix of
//! faults: `r…` the store, `g…` the gateway, `i…` the provider, `n…` the net.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FAMILIES: [(u8, u8); 3] = [(0, 18), (1, 14), (2, 10)];
const MATRIX: [&str; 27] = [
    "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "g1", "g7", "g8", "g9",
    "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "i9", "n1", "n3", "n4",
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the package") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if !path.ends_with("node_modules") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The words of the name of every test; "row_1_11" is one word.
fn names() -> Vec<Vec<String>> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
            &mut files,
        );
    }
    let mut names = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("text");
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if line.starts_with("#[ignore") {
                is_test = false;
            } else if let Some((_, rest)) = line.split_once("fn ")
                && is_test
            {
                is_test = false;
                let name = rest.split('(').next().unwrap_or_default();
                names.push(name.split('_').map(str::to_owned).collect());
            }
        }
    }
    names
}

fn has_row(name: &[String], family: u8, row: u8) -> bool {
    let (family, row) = (family.to_string(), row.to_string());
    name.iter().any(|word| word == "row")
        && name
            .windows(2)
            .any(|pair| pair[0] == family && pair[1] == row)
}

#[test]
fn every_row_has_a_test_that_is_named_after_it() {
    let names = names();
    assert!(names.len() > 500, "the tests were found: {}", names.len());
    let mut missing = BTreeSet::new();
    for (family, last) in FAMILIES {
        for row in 1..=last {
            if !names.iter().any(|name| has_row(name, family, row)) {
                missing.insert(format!("row_{family}_{row}"));
            }
        }
    }
    for row in MATRIX {
        let has = |name: &Vec<String>| name.iter().any(|word| word == row);
        if !names.iter().any(has) {
            missing.insert(row.to_owned());
        }
    }
    assert!(missing.is_empty(), "no test is named after {missing:?}");
}
