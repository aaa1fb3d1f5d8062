//! The example files and the reference agree with the code.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::base::key_ring::KeyRing;

fn paper(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// Reads an example with every file that it names moved into `folder`.
fn read_example(name: &str, folder: &Path) -> Result<Loaded, Problems> {
    let mut text = paper(name);
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
    for name in ["minimal.toml", "redis.toml", "full.toml"] {
        let folder = tempfile::tempdir().unwrap();
        let loaded =
            read_example(name, folder.path()).unwrap_or_else(|faults| panic!("{name}\n{faults}"));
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
