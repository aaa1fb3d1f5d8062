//! Sessions by the million. Signing each of them in, or even writing each as
//! the gateway does, takes longer than everything that is measured; so most
//! are copies of the rows of others under names that nobody has the ticket
//! of. They make the tables as large, and nobody ever asks for them.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Failure;

/// Rows from which copies are made, and copies that are made at a time.
const SAMPLE: usize = 1000;

/// How long the file may be somebody else's.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a session is in each table, with the names made up.
const TABLES: [(&str, &str, &str); 3] = [
    ("ticket", "value, expires_at", "randomblob(32), value"),
    (
        "session",
        "header, identity, tokens, listing, ended_at, expires_at",
        "randomblob(16), header, identity, tokens, listing, ended_at",
    ),
    ("member", "expires_at", "randomblob(32), randomblob(16)"),
];

/// Adds copies to an embedded store of `real` sessions until it has `wanted`.
/// Nobody else has it open meanwhile.
pub fn gather(database: &Path, real: usize, wanted: usize) -> Result<(), Failure> {
    add(database, real, wanted).map_err(|error| format!("{}: {error}", database.display()))
}

/// A crash would cost a measurement, and the log would grow to the size of
/// everything. Whoever wrote before may still be closing the file.
fn without_a_log(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        let taken = connection.execute_batch(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;",
        );
        if taken.is_ok() || begun.elapsed() > PATIENCE {
            return taken;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn add(database: &Path, real: usize, wanted: usize) -> rusqlite::Result<()> {
    let mut connection = Connection::open(database)?;
    without_a_log(&connection)?;
    let transaction = connection.transaction()?;
    for (table, columns, copy) in TABLES {
        transaction.execute_batch(&format!(
            "CREATE TEMP TABLE sample AS SELECT {columns} FROM {table} LIMIT {SAMPLE}"
        ))?;
        let count = |table: &str| {
            let text = format!("SELECT count(*) FROM {table}");
            transaction.query_row(&text, [], |row| row.get::<_, i64>(0))
        };
        let (sample, now) = (count("temp.sample")?, count(table)?);
        // A session is in two lists: of its person, and of the provider's.
        let each = now / real as i64;
        // They end some day within a month, not all at once.
        let mut copying = transaction.prepare(&format!(
            "INSERT INTO {table} SELECT {copy}, expires_at + abs(random() % 2592000000)
             FROM temp.sample LIMIT ?1"
        ))?;
        let mut missing = wanted as i64 * each - now;
        while missing > 0 {
            missing -= copying.execute([missing.min(sample)])? as i64;
        }
        drop(copying);
        transaction.execute_batch("DROP TABLE temp.sample")?;
    }
    transaction.commit()?;
    // As the gateway finds it.
    connection.execute_batch("PRAGMA journal_mode = WAL")
}
