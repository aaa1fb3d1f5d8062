//! The text of the file as a tree of plain values, with the line of each key.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::problems::{Findings, Place};

/// A value as written. Has no `Debug`: it may hold a secret.
pub(super) enum Node {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Self>),
    Table(BTreeMap<String, Self>),
    /// A TOML value that no key of ours takes: a float, a date, a number
    /// beyond 64 bits.
    Foreign(&'static str),
}

impl Node {
    /// What it is called in a message, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Foreign(kind) => kind,
        }
    }

    /// For serde. Foreign values were reported and taken out before.
    pub(super) fn into_json(self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Integer(number) => number.into(),
            Self::Boolean(value) => value.into(),
            Self::List(entries) => entries.into_iter().map(Self::into_json).collect(),
            Self::Table(entries) => entries
                .into_iter()
                .map(|(name, node)| (name, node.into_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Self::Foreign(_) => serde_json::Value::Null,
        }
    }
}

pub(super) fn child_key(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}

/// Reads TOML. Every fault of syntax is reported; what could be read is
/// returned all the same, so that the other checks can go on.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Node {
    let (table, faults) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    // a misread line often makes the parser stumble again on the same line
    let mut last_line = 0;
    for fault in faults {
        let line = lines.at(fault.span().map_or(text.len(), |span| span.start));
        if line == last_line {
            continue;
        }
        last_line = line;
        findings.error_at(
            "",
            Some(Place::Line(line)),
            format!("is not TOML: {}", fault.message()),
            "strings stand in double quotes, tables in [brackets], and no key or table twice",
        );
    }
    let mut reader = Reader { lines, findings };
    Node::Table(reader.table(table.get_ref(), ""))
}

/// Where the lines of a text end, so that looking one up does not take longer
/// the longer the text is: every key looks up its own.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(end, _)| end).collect())
    }

    /// The line of the byte at `offset`, counted from 1.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

struct Reader<'a> {
    lines: Lines,
    findings: &'a mut Findings,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, key: &str) -> BTreeMap<String, Node> {
        let mut out = BTreeMap::new();
        for (name, value) in table.iter() {
            let key = child_key(key, name.get_ref());
            self.mark(&key, name.span().start);
            let node = self.value(value.get_ref(), &key);
            out.insert(name.get_ref().clone().into_owned(), node);
        }
        out
    }

    fn value(&mut self, value: &DeValue<'_>, key: &str) -> Node {
        match value {
            DeValue::String(text) => Node::Text(text.clone().into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Node::Foreign("a number beyond 64 bits"), Node::Integer),
            DeValue::Float(_) => Node::Foreign("a number with a fraction"),
            DeValue::Boolean(value) => Node::Boolean(*value),
            DeValue::Datetime(_) => Node::Foreign("a date"),
            DeValue::Array(entries) => {
                let mut out = Vec::new();
                for (index, entry) in entries.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.mark(&key, entry.span().start);
                    out.push(self.value(entry.get_ref(), &key));
                }
                Node::List(out)
            }
            DeValue::Table(table) => Node::Table(self.table(table, key)),
        }
    }

    fn mark(&mut self, key: &str, offset: usize) {
        self.findings
            .set_place(key, Place::Line(self.lines.at(offset)));
    }
}
