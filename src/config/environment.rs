//! `VESTIBULE__SECTION__KEY` variables, laid over the tree of the file.
//!
//! Only names with the double underscore are ours: Kubernetes injects names
//! like `VESTIBULE_PORT` by itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::problems::{Findings, Place};
use super::schema::resolve;
use super::shape::nearest;
use super::tree::{Node, child_key};

const PREFIX: &str = "VESTIBULE__";

/// Who gets in, and whom we believe, is decided where it can be read and
/// reviewed: in the file.
const FILE_ONLY: [(&str, &str); 8] = [
    ("route", "access"),
    ("route", "deny"),
    ("route", "rules"),
    ("route_defaults", "access"),
    ("route_defaults", "deny"),
    ("route_defaults", "rules"),
    ("server", "trusted_proxies"),
    ("trace", "admins"),
];

pub(super) fn overlay(
    tree: &mut Node,
    environment: &[(String, String)],
    schema: &Value,
    findings: &mut Findings,
) {
    for (name, value) in environment {
        let Some(path) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let segments: Vec<&str> = path.split("__").collect();
        match place_of(tree, &segments, schema) {
            Ok(found) => {
                let Some(node) = found.value(name, value, findings) else {
                    continue;
                };
                put(tree, &found.names, node);
                let key = found
                    .names
                    .iter()
                    .fold(String::new(), |key, name| child_key(&key, name));
                findings.replace_place(&key, Place::Variable(name.clone()));
            }
            Err(refusal) => {
                let place = Some(Place::Variable(name.clone()));
                findings.error_at("", place, refusal.what, refusal.cure);
            }
        }
    }
}

struct Refusal {
    what: String,
    cure: String,
}

/// Where a variable points.
struct Found<'a> {
    names: Vec<String>,
    schema: &'a Value,
    root: &'a Value,
}

fn place_of<'a>(tree: &Node, segments: &[&str], root: &'a Value) -> Result<Found<'a>, Refusal> {
    let mut schema = root;
    let mut node = Some(tree);
    let mut names: Vec<String> = Vec::new();
    for segment in segments {
        let table = match node {
            Some(Node::Table(entries)) => Some(entries),
            _ => None,
        };
        let properties = schema["properties"].as_object();
        let known = |name: &&String| folded(name) == *segment;
        let name = if let Some(name) = properties.and_then(|all| all.keys().find(known)) {
            schema = &schema["properties"][name];
            name.clone()
        } else if schema["additionalProperties"].is_object() {
            schema = &schema["additionalProperties"];
            let present = table.and_then(|entries| entries.keys().find(known));
            let headers = names.last().is_some_and(|name| name == "headers");
            present.cloned().unwrap_or_else(|| {
                let lower = segment.to_ascii_lowercase();
                if headers {
                    lower.replace('_', "-")
                } else {
                    lower
                }
            })
        } else {
            let siblings: Vec<String> = properties
                .into_iter()
                .flatten()
                .map(|(name, _)| folded(name))
                .collect();
            let siblings: Vec<&str> = siblings.iter().map(String::as_str).collect();
            let before: String = names
                .iter()
                .map(|name| format!("{}__", folded(name)))
                .collect();
            return Err(Refusal {
                what: "sets no known key".to_owned(),
                cure: match nearest(segment, &siblings) {
                    Some(close) => format!("did you mean {PREFIX}{before}{close}?"),
                    None => "remove it; config/reference.md lists every key".to_owned(),
                },
            });
        };
        let section = names.first().map_or("", String::as_str);
        if FILE_ONLY.contains(&(section, name.as_str())) {
            return Err(Refusal {
                what: format!(
                    "{name} cannot come from the environment: who gets in must be readable in the file"
                ),
                cure: format!(
                    "write {} in the configuration file",
                    names.join(".") + "." + &name
                ),
            });
        }
        node = table.and_then(|entries| entries.get(&name));
        names.push(name);
        schema = resolve(schema, root).0;
    }
    if schema["properties"].is_object() || schema["additionalProperties"].is_object() {
        return Err(Refusal {
            what: format!(
                "{} is a table and takes no value of its own",
                names.join(".")
            ),
            cure: format!("name a key in it: {PREFIX}{}__KEY", segments.join("__")),
        });
    }
    Ok(Found {
        names,
        schema,
        root,
    })
}

impl Found<'_> {
    /// The text of the variable as the kind of value that the key takes.
    fn value(&self, name: &str, text: &str, findings: &mut Findings) -> Option<Node> {
        let place = Some(Place::Variable(name.to_owned()));
        let branches = self.schema["anyOf"].as_array();
        let is_list = |schema: &Value| resolve(schema, self.root).0["type"] == "array";
        if is_list(self.schema) || branches.is_some_and(|all| all.iter().any(is_list)) {
            if !text.starts_with('[') {
                let entries = text
                    .split(',')
                    .map(|entry| Node::Text(entry.trim().to_owned()));
                return Some(Node::List(entries.collect()));
            }
            let Ok(entries) = serde_json::from_str::<Vec<String>>(text) else {
                findings.error_at(
                    "",
                    place,
                    "begins like a JSON list of strings and is none",
                    "write [\"one\",\"two\"], or one,two",
                );
                return None;
            };
            return Some(Node::List(entries.into_iter().map(Node::Text).collect()));
        }
        match self.schema["type"].as_str() {
            Some("boolean") => match text {
                "true" => Some(Node::Boolean(true)),
                "false" => Some(Node::Boolean(false)),
                _ => {
                    findings.error_at("", place, "is not true or false", "write true or false");
                    None
                }
            },
            Some("integer") => {
                let number = text.parse().ok().map(Node::Integer);
                if number.is_none() {
                    findings.error_at("", place, "is not an integer", "write digits only");
                }
                number
            }
            _ => Some(Node::Text(text.to_owned())),
        }
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn put(tree: &mut Node, names: &[String], value: Node) {
    let Some((last, parents)) = names.split_last() else {
        return;
    };
    let mut node = tree;
    for name in parents {
        if !matches!(node, Node::Table(_)) {
            *node = Node::Table(BTreeMap::new());
        }
        let Node::Table(entries) = node else { return };
        node = entries
            .entry(name.clone())
            .or_insert_with(|| Node::Table(BTreeMap::new()));
    }
    if !matches!(node, Node::Table(_)) {
        *node = Node::Table(BTreeMap::new());
    }
    if let Node::Table(entries) = node {
        entries.insert(last.clone(), value);
    }
}
