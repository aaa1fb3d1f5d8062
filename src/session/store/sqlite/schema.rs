//! The file: how it is opened, what tables it has, whose it is.

use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::ballast::Ballast;
use super::{damage, file_system};
use crate::base::kill_point;
use crate::base::random;
use crate::session::store::StoreError;

/// "vsti": marks the file as ours.
const APPLICATION_ID: i32 = 0x7673_7469;
/// The layout below. An older release refuses a newer one.
pub const VERSION: i32 = 3;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Times are milliseconds since 1970. A session with `ended_at` is a
/// tombstone: its other columns are empty.
const TABLES: &str = "
    CREATE TABLE installation (
        namespace TEXT NOT NULL PRIMARY KEY
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ticket (
        name BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ticket_expiry ON ticket (expires_at);
    CREATE TABLE session (
        id BLOB NOT NULL PRIMARY KEY,
        header BLOB NOT NULL,
        identity BLOB NOT NULL,
        tokens BLOB NOT NULL,
        listing BLOB NOT NULL,
        ended_at INTEGER,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_expiry ON session (expires_at);
    CREATE TABLE member (
        list BLOB NOT NULL,
        session BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (list, session)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX member_expiry ON member (expires_at);
    CREATE TABLE once (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX once_expiry ON once (expires_at);
    CREATE TABLE probe (
        id INTEGER NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What layout 2 has and layout 1 had not.
const TABLES_SINCE_2: &str = "
    CREATE TABLE put_down (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX put_down_expiry ON put_down (expires_at);
    CREATE TABLE pin (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What layout 3 has and layout 2 had not.
const TABLES_SINCE_3: &str = "
    CREATE TABLE history (
        name BLOB NOT NULL,
        number INTEGER NOT NULL,
        entry BLOB NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (name, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX history_expiry ON history (expires_at);
";

/// The error with the file's name, and with the cure where it is damaged.
pub fn named(path: &Path, error: StoreError) -> StoreError {
    let at = path.display();
    match error {
        StoreError::Corrupt(text) => StoreError::Corrupt(format!(
            "{at}: {text}; the file is damaged: restore it from a copy, or move it and the files \
             beside it away to begin anew (everybody signs in again)"
        )),
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{at}: {text}")),
        StoreError::Refused(text) => StoreError::Refused(format!("{at}: {text}")),
        StoreError::Credentials(text) => StoreError::Credentials(format!("{at}: {text}")),
    }
}

/// Opens the file for writing; creates it, readable by its owner only, or
/// checks that it is whole, ours and of a layout that we know. Errors do not
/// name the file yet.
pub fn open(path: &Path) -> Result<Connection, StoreError> {
    let unusable = |text: String| StoreError::Unavailable(text);
    if let Some(kind) = file_system::network(path) {
        return Err(unusable(format!(
            "lies on a network file system ({kind}), where a database breaks; use a local disk, \
             or session.store = \"redis\""
        )));
    }
    let is_new = !path.exists();
    if !is_new {
        damage::check_length(path)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| unusable(error.to_string()))?;
    make_private(&file).map_err(|error| unusable(error.to_string()))?;
    drop(file);
    let mut connection = connect(path)?;
    let found: i32 = pragma(&connection, "user_version")?;
    let owner: i32 = pragma(&connection, "application_id")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && owner != APPLICATION_ID {
        return Err(unusable("is a database of another program".into()));
    }
    if found > VERSION {
        return Err(unusable(format!(
            "was written by a newer release (layout {found}, this one knows {VERSION}); \
             run that release or restore the copy made before the upgrade"
        )));
    }
    if tables == 0 && !is_new && Ballast::beside(path).was_laid() {
        return Err(damage::emptied());
    }
    if tables == 0 {
        // Only an empty file takes it; it must precede the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(unusable(
            "does not allow a write-ahead log; use a local file system".into(),
        ));
    }
    if found < VERSION {
        if found > 0 {
            copy_before_upgrade(path, &connection, found)?;
        }
        bring_up(&mut connection)?;
    }
    Ok(connection)
}

fn make_private(file: &File) -> std::io::Result<()> {
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Leaves the database as it was beside it, named after its layout, unless a
/// start that failed later did so before.
fn copy_before_upgrade(path: &Path, connection: &Connection, found: i32) -> Result<(), StoreError> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(format!("-layout-{found}"));
    // SQLite fills an empty file, which is ours alone.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&copy);
    match made {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(StoreError::Unavailable(error.to_string())),
        Ok(_) => {}
    }
    let name = copy.to_string_lossy();
    if let Err(error) = connection.execute("VACUUM INTO ?1", [&name]) {
        // Half a copy would pass for one the next time.
        std::fs::remove_file(&copy).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        return Err(error.into());
    }
    tracing::info!(copy = %name, "copied the session database before its upgrade");
    Ok(())
}

/// Opens a database that a gateway made, and leaves file and layout as they
/// are: for commands beside it. Errors do not name the file yet.
pub fn join(path: &Path) -> Result<Connection, StoreError> {
    let unusable = |text: String| StoreError::Unavailable(text);
    if let Err(error) = std::fs::metadata(path) {
        return Err(unusable(match error.kind() {
            std::io::ErrorKind::NotFound => {
                "there is none: session.path names the folder of the gateway that serves, \
                 which systemd may have named in STATE_DIRECTORY"
                    .to_owned()
            }
            _ => error.to_string(),
        }));
    }
    let connection = connect(path)?;
    let owner: i32 = pragma(&connection, "application_id")?;
    let found: i32 = pragma(&connection, "user_version")?;
    match (owner == APPLICATION_ID, found == VERSION) {
        (true, true) => Ok(connection),
        (true, false) => Err(unusable(format!(
            "has layout {found} and this release knows {VERSION}: use the command of the release that serves"
        ))),
        (false, _) => Err(unusable("is a database of another program".into())),
    }
}

/// Another connection to a database that was opened before.
pub fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// In one transaction, so that a crash leaves nothing half made; another
/// process may have been faster.
fn bring_up(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = pragma::<i32>(&transaction, "user_version")?;
    if found == 0 {
        transaction.execute_batch(TABLES)?;
        let namespace: String = random::bytes::<16>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        transaction.execute(
            "INSERT INTO installation (namespace) VALUES (?1)",
            [namespace],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if found < 2 {
        transaction.execute_batch(TABLES_SINCE_2)?;
    }
    if found < VERSION {
        transaction.execute_batch(TABLES_SINCE_3)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    kill_point::at("layout", "written");
    transaction.commit()?;
    Ok(())
}

pub fn namespace(connection: &Connection) -> Result<String, StoreError> {
    let namespace =
        connection.query_row("SELECT namespace FROM installation", [], |row| row.get(0))?;
    Ok(namespace)
}

fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> Result<T, StoreError> {
    Ok(connection.pragma_query_value(None, name, |row| row.get(0))?)
}
