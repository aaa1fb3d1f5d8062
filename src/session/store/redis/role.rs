//! Whether a server takes writes, and who copies them.

use ::redis::{Cmd, FromRedisValue, RedisError, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// With this many replicas connected.
    Primary { replicas: usize },
    /// Reads only. Whether it follows its primary at this moment.
    Replica { following: bool },
    /// The server does not tell us: taken to be a primary without replicas.
    Hidden,
}

impl Role {
    pub fn command() -> Cmd {
        ::redis::cmd("ROLE")
    }

    pub const fn takes_writes(self) -> bool {
        !matches!(self, Self::Replica { .. })
    }

    pub const fn replicas(self) -> usize {
        match self {
            Self::Primary { replicas } => replicas,
            _ => 0,
        }
    }

    /// `None` for an answer that is none.
    fn read(answer: &[Value]) -> Option<Self> {
        let text = |value: &Value| String::from_redis_value_ref(value).ok();
        match text(answer.first()?)?.as_str() {
            "master" => match answer.get(2)? {
                Value::Array(replicas) => Some(Self::Primary {
                    replicas: replicas.len(),
                }),
                _ => None,
            },
            "slave" => Some(Self::Replica {
                following: text(answer.get(3)?)? == "connected",
            }),
            _ => None,
        }
    }
}

impl FromRedisValue for Role {
    fn from_redis_value(value: Value) -> Result<Self, ::redis::ParsingError> {
        let answer = Vec::<Value>::from_redis_value(value)?;
        Ok(Self::read(&answer).unwrap_or(Self::Hidden))
    }
}

/// Whether the server forbids a question, or does not know it.
pub fn hidden(error: &RedisError) -> bool {
    match error.code() {
        Some("NOPERM") => true,
        Some("ERR") => error
            .detail()
            .is_some_and(|detail| detail.starts_with("unknown command")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn the_three_answers() {
        let replica = Value::Array(vec![word("127.0.0.1"), word("1"), word("0")]);
        for (answer, role) in [
            (
                vec![word("master"), Value::Int(7), Value::Array(vec![replica])],
                Role::Primary { replicas: 1 },
            ),
            (
                vec![word("master"), Value::Int(7), Value::Array(Vec::new())],
                Role::Primary { replicas: 0 },
            ),
            (
                vec![
                    word("slave"),
                    word("::1"),
                    Value::Int(1),
                    word("connected"),
                    Value::Int(9),
                ],
                Role::Replica { following: true },
            ),
            (
                vec![
                    word("slave"),
                    word("::1"),
                    Value::Int(1),
                    word("connect"),
                    Value::Int(-1),
                ],
                Role::Replica { following: false },
            ),
            (vec![word("sentinel")], Role::Hidden),
            (Vec::new(), Role::Hidden),
        ] {
            let read = Role::from_redis_value(Value::Array(answer.clone()));
            assert_eq!(read.expect("an array"), role, "{answer:?}");
        }
    }
}
