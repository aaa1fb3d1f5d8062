//! The example files and the reference agree with the code.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::key_ring::KeyRing;

fn paper(name: &str) -> String {
    below_root(&format!("config/{name}"))
}

fn below_root(path: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Reads an example with every file that it names moved into `folder`.
fn read_example(name: &str, mut text: String, folder: &Path) -> Result<Loaded, Problems> {
    for root in ["/run/secrets/", "/etc/vestibule/", "/var/lib/"] {
        text = text.replace(root, "");
    }
    for (file, content) in [
        ("client_secret", "s3cr3t\n".to_owned()),
        ("redis_password", "s3cr3t\n".to_owned()),
        ("keys", KeyRing::generate()),
        ("redis-ca.pem", CERTIFICATE.to_owned()),
        ("provider-ca.pem", CERTIFICATE.to_owned()),
        (
            "logo.svg",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_owned(),
        ),
    ] {
        let path = folder.join(file);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    parse(&text, name, &[], folder)
}

/// Read for its frame only; nobody verifies anything with it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

#[test]
fn the_example_files_are_good() {
    // The first block of the README is a whole file, the second goes below it.
    let readme = below_root("README.md");
    let blocks: Vec<&str> = readme.split("```toml\n").skip(1).collect();
    let blocks: Vec<&str> = blocks
        .iter()
        .filter_map(|block| Some(block.split_once("```")?.0))
        .collect();
    let [first, second] = blocks[..] else {
        panic!("{blocks:?}")
    };
    let bare = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.collect::<Vec<_>>().join("\n").trim().to_owned()
    };
    assert_eq!(bare(first), bare(&paper("minimal.toml")));
    for (name, text) in [
        ("minimal.toml", paper("minimal.toml")),
        ("redis.toml", paper("redis.toml")),
        ("full.toml", paper("full.toml")),
        ("README.md", format!("{first}{second}")),
        ("compose.toml", below_root("deploy/compose.toml")),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let loaded = read_example(name, text, folder.path())
            .unwrap_or_else(|faults| panic!("{name}\n{faults}"));
        assert_eq!(loaded.warnings, [], "{name}");
        assert!(!sentence::admissions(&loaded.config).is_empty());
    }
}

/// Keys that exist are in the full example, at least as a comment.
#[test]
fn the_full_example_leaves_no_key_out() {
    let text = paper("full.toml");
    for key in known_keys() {
        let name = key.rsplit('.').next().unwrap();
        if name != "NAME" {
            assert!(text.contains(name), "{key}");
        }
    }
}

#[test]
fn the_reference_lists_exactly_the_keys_that_exist() {
    let text = paper("reference.md");
    let mut listed: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .map(str::to_owned)
        .collect();
    listed.sort();
    // route_defaults takes the keys of a route, as the text says
    let mut known = known_keys();
    known.retain(|key| !key.starts_with("route_defaults."));
    assert_eq!(listed, known);
}

#[test]
fn the_reference_lists_exactly_the_presets_that_exist() {
    let text = paper("reference.md");
    let table = text.split("### Presets of `identity`").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let listed: Vec<String> = rows.skip(1).map(str::to_owned).collect();
    let known = checked::IdentityPreset::all()
        .map(|preset| format!("| {} | {} |", preset.name, preset.about.replace('|', "\\|")));
    assert_eq!(listed, known.collect::<Vec<_>>());
}

#[test]
fn what_is_called_not_built_does_not_exist() {
    let known = known_keys();
    for key in super::super::not_built::all_keys() {
        let below = |other: &String| other.ends_with(key) || other.starts_with(&format!("{key}."));
        assert!(!known.iter().any(below), "{key}");
    }
}

#[test]
fn the_schema_describes_every_key() {
    fn undescribed(
        schema: &serde_json::Value,
        root: &serde_json::Value,
        path: &str,
        out: &mut Vec<String>,
    ) {
        let schema = schema["$ref"].as_str().map_or(schema, |target| {
            &root["$defs"][target.trim_start_matches("#/$defs/")]
        });
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let is_section = property["$ref"].is_string();
            if property["description"].is_null() && !is_section {
                out.push(path.clone());
            }
            undescribed(property, root, &path, out);
        }
        if schema["additionalProperties"].is_object() {
            undescribed(&schema["additionalProperties"], root, path, out);
        }
    }
    let root = schema();
    assert!(!root.to_string().contains("Raw"), "names of our own types");
    let mut out = Vec::new();
    undescribed(&root, &root, "", &mut out);
    assert_eq!(out, [""; 0]);
}
