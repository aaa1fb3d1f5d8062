//! The tree against the schema: unknown keys and values of the wrong kind, all
//! of them. What is wrong is taken out, so that the checks of meaning can go
//! on with the rest.

use serde_json::Value;

use super::problems::Findings;
use super::schema::resolve;
use super::tree::{Node, child_key};
use super::{foreign_key, not_built, quantity};

pub(super) fn check(tree: &mut Node, schema: &Value, findings: &mut Findings) {
    let mut checker = Checker {
        root: schema,
        findings,
    };
    checker.fits(tree, schema, &Here::default());
}

/// The key path twice: as written, and with ids replaced, as the schema and
/// the list of keys know it.
#[derive(Default)]
struct Here {
    key: String,
    pattern: String,
}

impl Here {
    fn child(&self, name: &str) -> Self {
        Self {
            key: child_key(&self.key, name),
            pattern: child_key(&self.pattern, name),
        }
    }

    fn named(&self, name: &str) -> Self {
        Self {
            key: child_key(&self.key, name),
            pattern: child_key(&self.pattern, "ID"),
        }
    }

    fn entry(&self, index: usize) -> Self {
        Self {
            key: format!("{}[{index}]", self.key),
            pattern: format!("{}[]", self.pattern),
        }
    }
}

struct Checker<'a> {
    root: &'a Value,
    findings: &'a mut Findings,
}

impl Checker<'_> {
    /// Whether the value may stay.
    fn fits(&mut self, node: &mut Node, schema: &Value, here: &Here) -> bool {
        let (schema, definition) = resolve(schema, self.root);
        if let Some(words) = words(schema) {
            return self.is_one_of(node, &words, here);
        }
        if let Some(branches) = schema["anyOf"].as_array() {
            let branches: Vec<&Value> = branches
                .iter()
                .map(|branch| resolve(branch, self.root).0)
                .collect();
            if let Some(branch) = branches.iter().find(|branch| accepts(branch, node)) {
                return self.fits(node, branch, here);
            }
            let kinds: Vec<_> = branches.iter().map(|branch| expected(branch)).collect();
            return self.wrong_kind(node, &kinds.join(" or "), definition, here);
        }
        if !accepts(schema, node) {
            return self.wrong_kind(node, &expected(schema), definition, here);
        }
        match node {
            Node::Table(entries) => {
                self.table(entries, schema, here);
                true
            }
            Node::List(entries) => {
                let mut good = true;
                for (index, entry) in entries.iter_mut().enumerate() {
                    good &= self.fits(entry, &schema["items"], &here.entry(index));
                }
                good
            }
            Node::Integer(number) => self.is_in_range(*number, schema, here),
            _ => true,
        }
    }

    fn table(
        &mut self,
        entries: &mut std::collections::BTreeMap<String, Node>,
        schema: &Value,
        here: &Here,
    ) {
        let properties = schema["properties"].as_object();
        entries.retain(|name, node| {
            if let Some(property) = properties.and_then(|known| known.get(name)) {
                return self.fits(node, property, &here.child(name));
            }
            if schema["additionalProperties"].is_object() {
                return self.fits(node, &schema["additionalProperties"], &here.named(name));
            }
            let siblings = properties
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str());
            self.unknown(&here.child(name), name, &siblings.collect::<Vec<_>>());
            false
        });
    }

    fn unknown(&mut self, here: &Here, name: &str, siblings: &[&str]) {
        if not_built::key(&here.pattern) {
            self.findings.error(
                &here.key,
                "is not built yet",
                "remove it; `vestibule schema` and config/reference.md list what exists",
            );
            return;
        }
        let in_route = here.key.starts_with("route.");
        if let Some(cure) = foreign_key::key(name, in_route) {
            self.findings
                .error(&here.key, "is a key of another gateway", cure);
            return;
        }
        let cure = match nearest(name, siblings) {
            Some(close) => {
                let parent = here.key.strip_suffix(name).unwrap_or_default();
                self.findings.misspelt(format!("{parent}{close}"));
                format!("did you mean {close}?")
            }
            None => match self.elsewhere(name) {
                Some(key) => format!("did you mean {key}?"),
                None => format!("remove it, or use one of {}", siblings.join(", ")),
            },
        };
        self.findings.error(&here.key, "is not a known key", cure);
    }

    /// A key that exists under this name in another section.
    fn elsewhere(&self, name: &str) -> Option<String> {
        super::schema::keys()
            .into_iter()
            .find(|key| key.rsplit('.').next() == Some(name))
    }

    fn is_one_of(&mut self, node: &Node, words: &[&str], here: &Here) -> bool {
        let listed = quoted(words);
        let Node::Text(written) = node else {
            return self.wrong_kind(node, &listed, None, here);
        };
        if words.contains(&written.as_str()) {
            return true;
        }
        if not_built::value(&here.pattern, written) {
            let cure = match (here.pattern.as_str(), not_built::is_oidc(written)) {
                ("provider.ID.kind", true) => {
                    "write kind = \"oidc\" and the issuer: it speaks OpenID Connect".to_owned()
                }
                ("provider.ID.kind", false) => {
                    "only providers that speak OpenID Connect work so far: kind = \"oidc\""
                        .to_owned()
                }
                _ => format!("use {listed}"),
            };
            self.findings
                .error(&here.key, format!("\"{written}\" is not built yet"), cure);
            return false;
        }
        let name = here.pattern.rsplit('.').next().unwrap_or_default();
        let cure = match (nearest(written, words), foreign_key::value(name, written)) {
            (Some(close), _) => format!("did you mean \"{close}\"?"),
            (None, Some(cure)) => cure.to_owned(),
            (None, None) => format!("use {listed}"),
        };
        self.findings
            .error(&here.key, format!("\"{written}\" is not {listed}"), cure);
        false
    }

    fn is_in_range(&mut self, number: i64, schema: &Value, here: &Here) -> bool {
        let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
        let most = match schema["format"].as_str() {
            Some("uint32") => i64::from(u32::MAX),
            _ => i64::MAX,
        };
        if (least..=most).contains(&number) {
            return true;
        }
        self.findings.error(
            &here.key,
            format!("{number} is out of range"),
            format!("write a number from {least} to {most}"),
        );
        false
    }

    fn wrong_kind(
        &mut self,
        node: &Node,
        expected: &str,
        definition: Option<&str>,
        here: &Here,
    ) -> bool {
        let what = match (node, definition) {
            (Node::Integer(number), Some(quantity::DURATION | quantity::SIZE)) => {
                format!("{number} has no unit")
            }
            _ => format!("is {} where {expected} belongs", node.kind()),
        };
        let cure = match (node, definition) {
            (Node::Integer(number), Some(quantity::DURATION)) => {
                format!("write the unit too: \"{number}s\" or \"{number}m\"")
            }
            (Node::Integer(number), Some(quantity::SIZE)) => {
                format!("write the unit too: \"{number}KiB\" or \"{number}MiB\"")
            }
            (_, Some(quantity::DURATION)) => "write a length of time, such as \"30s\"".to_owned(),
            (_, Some(quantity::SIZE)) => "write a size, such as \"32KiB\"".to_owned(),
            (Node::Text(_), _) if expected.starts_with("a list") => {
                "put it into brackets: [\"…\"]".to_owned()
            }
            (Node::Text(_), _) if expected != "a table" => "write it without quotes".to_owned(),
            (Node::Integer(_) | Node::Boolean(_) | Node::Foreign(_), _)
                if expected.starts_with("a string") || expected.starts_with('"') =>
            {
                "put it into double quotes".to_owned()
            }
            _ => format!("write {expected}"),
        };
        self.findings.error(&here.key, what, cure);
        false
    }
}

/// The words of an enumeration, in whatever form the schema lists them.
fn words(schema: &Value) -> Option<Vec<&str>> {
    if let Some(only) = schema["const"].as_str() {
        return Some(vec![only]);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().map(Value::as_str).collect();
    }
    let mut all = Vec::new();
    for branch in schema["oneOf"].as_array()? {
        all.extend(words(branch)?);
    }
    Some(all)
}

fn kind_name(schema: &Value) -> &str {
    if words(schema).is_some() {
        return "string";
    }
    schema["type"].as_str().unwrap_or("object")
}

fn accepts(schema: &Value, node: &Node) -> bool {
    let kind = kind_name(schema);
    match node {
        Node::Text(_) => kind == "string",
        Node::Integer(_) => kind == "integer",
        Node::Boolean(_) => kind == "boolean",
        Node::List(_) => kind == "array",
        Node::Table(_) => kind == "object",
        Node::Foreign(_) => false,
    }
}

fn expected(schema: &Value) -> String {
    if let Some(words) = words(schema) {
        return quoted(&words);
    }
    match kind_name(schema) {
        "string" => "a string",
        "integer" => "an integer",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "a table",
    }
    .to_owned()
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(" or ")
}

/// The one that was probably meant.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(written, name), *name))
        .filter(|(likeness, _)| *likeness >= 0.84)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}
