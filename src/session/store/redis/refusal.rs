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
    match error.code() {
        Some("READONLY") => Aftermath::ReadOnly,
        Some(code) if REFUSING.contains(&code) => Aftermath::Refusing,
        _ if error.kind() == ErrorKind::AuthenticationFailed => Aftermath::Refusing,
        _ => Aftermath::Fine,
    }
}

/// The library's messages name commands and addresses, never values.
pub fn meaning(error: &RedisError) -> StoreError {
    let text = error.to_string();
    match (error.code(), error.kind()) {
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
