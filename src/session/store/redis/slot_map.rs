//! A cluster's map of slots, as one of its nodes draws it.

use ::redis::{FromRedisValue, ParsingError, Value};

use super::slot::SLOTS;
use crate::config::checked::HostPort;

/// A row of `CLUSTER SLOTS`: a range and its nodes, the primary first.
pub struct Row {
    first: u16,
    last: u16,
    nodes: Vec<(String, u16)>,
}

impl FromRedisValue for Row {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let parts = Vec::<Value>::from_redis_value(value)?;
        let [first, last, nodes @ ..] = parts.as_slice() else {
            return Err(String::from("a row of slots is too short").into());
        };
        let node = |value: &Value| {
            let parts = Vec::<Value>::from_redis_value_ref(value)?;
            let [host, port, ..] = parts.as_slice() else {
                return Err(String::from("a node of slots is too short").into());
            };
            // Unknown to the node itself: the one that we asked it under.
            let host = Option::<String>::from_redis_value_ref(host)?.unwrap_or_default();
            Ok((host, u16::from_redis_value_ref(port)?))
        };
        Ok(Self {
            first: u16::from_redis_value_ref(first)?,
            last: u16::from_redis_value_ref(last)?,
            nodes: nodes
                .iter()
                .map(node)
                .collect::<Result<_, ParsingError>>()?,
        })
    }
}

pub struct SlotMap {
    /// Of each slot the position of its primary in `keepers`.
    slots: Vec<Option<u16>>,
    keepers: Vec<HostPort>,
    replicas: Vec<HostPort>,
}

impl SlotMap {
    /// As `asked` draws it.
    pub fn new(asked: &HostPort, rows: &[Row]) -> Self {
        let mut map = Self {
            slots: vec![None; usize::from(SLOTS)],
            keepers: Vec::new(),
            replicas: Vec::new(),
        };
        for row in rows {
            let mut nodes = row.nodes.iter().map(|(host, port)| HostPort {
                host: if matches!(host.as_str(), "" | "?") {
                    asked.host.clone()
                } else {
                    host.clone()
                },
                port: *port,
            });
            let Some(primary) = nodes.next() else {
                continue;
            };
            map.replicas.extend(nodes);
            let known = map.keepers.iter().position(|other| *other == primary);
            let position = known.unwrap_or(map.keepers.len());
            if known.is_none() {
                map.keepers.push(primary);
            }
            let last = usize::from(row.last.min(SLOTS - 1));
            if let Some(range) = map.slots.get_mut(usize::from(row.first)..=last) {
                range.fill(u16::try_from(position).ok());
            }
        }
        map
    }

    pub fn keeper_of(&self, slot: u16) -> Option<&HostPort> {
        let position = *self.slots.get(usize::from(slot))?;
        self.keepers.get(usize::from(position?))
    }

    pub fn keepers(&self) -> &[HostPort] {
        &self.keepers
    }

    pub fn nodes(&self) -> impl Iterator<Item = &HostPort> {
        self.keepers.iter().chain(&self.replicas)
    }

    /// Whether both send every slot to the same place.
    pub fn agrees(&self, other: &Self) -> bool {
        (0..SLOTS).all(|slot| self.keeper_of(slot) == other.keeper_of(slot))
    }
}

/// The address that `node` sends us to; without a host it means its own.
pub fn beside(node: &HostPort, address: &str) -> Option<HostPort> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.trim_matches(['[', ']']) {
        "" | "?" => node.host.clone(),
        host => host.to_owned(),
    };
    Some(HostPort {
        host,
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort {
            host: host.into(),
            port,
        }
    }

    fn row(first: u16, last: u16, nodes: &[(&str, u16)]) -> Row {
        Row {
            first,
            last,
            nodes: nodes
                .iter()
                .map(|(host, port)| ((*host).to_owned(), *port))
                .collect(),
        }
    }

    #[test]
    fn each_slot_has_the_keeper_of_its_row() {
        let rows = [
            row(0, 9, &[("a", 1), ("b", 1)]),
            row(10, 16_383, &[("", 2)]),
            row(20, 20, &[("a", 1)]),
        ];
        let map = SlotMap::new(&at("self", 9), &rows);
        assert_eq!(map.keeper_of(9), Some(&at("a", 1)));
        assert_eq!(map.keeper_of(10), Some(&at("self", 2)));
        assert_eq!(map.keeper_of(20), Some(&at("a", 1)));
        assert_eq!(map.keeper_of(16_383), Some(&at("self", 2)));
        assert_eq!(map.nodes().count(), 3);
        let other = SlotMap::new(&at("self", 9), &rows[..2]);
        assert!(map.agrees(&map) && !map.agrees(&other));
        let none = SlotMap::new(&at("self", 9), &[]);
        assert_eq!(none.keeper_of(0), None);
    }

    #[test]
    fn odd_rows_are_no_rows() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = Value::Array(vec![Value::Nil, Value::Int(7), text("id")]);
        let good = Value::Array(vec![Value::Int(0), Value::Int(5), node.clone()]);
        assert_eq!(
            Row::from_redis_value(good).unwrap().nodes,
            [(String::new(), 7)]
        );
        for odd in [
            Value::Array(vec![Value::Int(0)]),
            Value::Array(vec![Value::Int(0), text("x"), node]),
            Value::Array(vec![Value::Int(0), Value::Int(1), Value::Array(Vec::new())]),
            Value::Nil,
        ] {
            assert!(Row::from_redis_value(odd).is_err());
        }
        // A range that no map has is passed over.
        let map = SlotMap::new(
            &at("a", 1),
            &[row(20_000, 30_000, &[("b", 1)]), row(9, 3, &[("b", 1)])],
        );
        assert_eq!(map.keeper_of(9), None);
    }

    #[test]
    fn where_a_node_sends_us() {
        let node = at("10.0.0.1", 6379);
        assert_eq!(beside(&node, "10.0.0.2:7"), Some(at("10.0.0.2", 7)));
        assert_eq!(beside(&node, ":7"), Some(at("10.0.0.1", 7)));
        assert_eq!(beside(&node, "?:7"), Some(at("10.0.0.1", 7)));
        assert_eq!(beside(&node, "::1:7"), Some(at("::1", 7)));
        assert_eq!(beside(&node, "nowhere"), None);
        assert_eq!(beside(&node, "a:99999"), None);
    }
}
