//! What an error of the server or of its connection means to us.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::session::store::StoreError;

/// What the connection should come to after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// The server answered as it should.
    Fine,
    /// It answers, but another connection, perhaps to another server, would
    /// be better.
    Refusing,
    /// It refuses writes only: it became a replica.
    ReadOnly,
    /// Nothing more comes from this connection.
    Broken,
}

pub fn aftermath(error: &RedisError) -> Aftermath {
    const REFUSING: [&str; 5] = [
        "NOAUTH",
        "WRONGPASS",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
    ];
    if error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() {
        return Aftermath::Broken;
    }
    match code(error) {
        Some("READONLY") => Aftermath::ReadOnly,
        Some(code) if REFUSING.contains(&code) => Aftermath::Refusing,
        _ if error.kind() == ErrorKind::AuthenticationFailed => Aftermath::Refusing,
        _ => Aftermath::Fine,
    }
}

/// The first word of what the server says. Before Redis 7 that of a command
/// in a script is wrapped in words about the script.
fn code(error: &RedisError) -> Option<&str> {
    let wrapped = error
        .detail()
        .filter(|detail| detail.starts_with("Error running script"))
        .and_then(|detail| detail.rsplit_once("@user_script"));
    match wrapped {
        Some((_, said)) => said
            .trim_start_matches(|letter: char| !letter.is_ascii_uppercase())
            .split(' ')
            .next(),
        None => error.code(),
    }
}

/// The library's messages name commands and addresses, never values.
pub fn meaning(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match (code(error), error.kind()) {
        (Some("NOAUTH" | "WRONGPASS" | "NOPERM"), _) | (_, ErrorKind::AuthenticationFailed) => {
            StoreError::Credentials(text)
        }
        (Some("READONLY" | "OOM" | "MISCONF" | "NOREPLICAS"), _) => StoreError::Refused(text),
        (Some("WRONGTYPE" | "CORRUPT"), _)
        | (_, ErrorKind::UnexpectedReturnType | ErrorKind::Parse) => StoreError::Corrupt(text),
        _ => StoreError::Unavailable(text),
    }
}

/// Where a node of a cluster sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// For good. The address as the node wrote it; its host may be empty.
    Moved(String),
    /// For this command.
    Ask(String),
    /// The keys are on their way: the same again in a moment.
    Again,
}

pub fn redirect(error: &RedisError) -> Option<Redirect> {
    let ErrorKind::Server(kind) = error.kind() else {
        return None;
    };
    let address = || Some(error.redirect_node()?.0.to_owned());
    match kind {
        ServerErrorKind::Moved => address().map(Redirect::Moved),
        ServerErrorKind::Ask => address().map(Redirect::Ask),
        ServerErrorKind::TryAgain => Some(Redirect::Again),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the server writes it.
    fn said(line: &str) -> RedisError {
        let value = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        match value.and_then(::redis::Value::extract_error) {
            Err(error) => error,
            Ok(value) => panic!("{value:?}"),
        }
    }

    #[test]
    fn refusals_in_scripts_mean_the_same_before_redis_7() {
        let script = "ERR Error running script (call to f_f43b): @user_script:3: ";
        let full = "OOM command not allowed when used memory > 'maxmemory'.";
        let replica = "READONLY You can't write against a read only replica.";
        let other = "WRONGTYPE Operation against a key holding the wrong kind of value";
        for wrapped in ["", "@user_script: 3: -"] {
            let script = if wrapped.is_empty() { "" } else { script };
            let error = |line: &str| said(&format!("{script}{wrapped}{line}"));
            assert!(matches!(meaning(&error(full)), StoreError::Refused(_)));
            assert_eq!(aftermath(&error(full)), Aftermath::Fine);
            assert!(matches!(meaning(&error(replica)), StoreError::Refused(_)));
            assert_eq!(aftermath(&error(replica)), Aftermath::ReadOnly);
            assert!(matches!(meaning(&error(other)), StoreError::Corrupt(_)));
        }
        let plain = said(&format!("{script}{other}"));
        assert!(matches!(meaning(&plain), StoreError::Corrupt(_)));
        let odd = said(&format!("{script}attempt to index a nil value"));
        assert!(matches!(meaning(&odd), StoreError::Unavailable(_)));
    }
}
