//! What each operation does to the tables. Expiry is judged on each read:
//! the sweeper only saves space.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use crate::base::clock::Timestamp;
use crate::session::record::{SessionId, TokenHeader};
use crate::session::store::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, StoreError,
    StoredSession,
};

type Outcome<T> = Result<T, StoreError>;

/// SQLite's integers are signed; no real time comes near the edge.
fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> Timestamp {
    Timestamp(u64::try_from(millis).unwrap_or(0))
}

fn header_of(bytes: &[u8]) -> Outcome<TokenHeader> {
    TokenHeader::decode(bytes).map_err(|error| StoreError::Corrupt(error.to_string()))
}

pub fn get_ticket(db: &Connection, now: Timestamp, ticket: Digest) -> Outcome<Option<Bytes>> {
    let value: Option<Vec<u8>> = db
        .prepare_cached("SELECT value FROM ticket WHERE name = ?1 AND expires_at > ?2")?
        .query_row(params![ticket.0, millis(now)], |row| row.get(0))
        .optional()?;
    Ok(value.map(Bytes::from))
}

pub fn put_ticket(
    db: &Connection,
    ticket: Digest,
    value: &[u8],
    expires_at: Timestamp,
) -> Outcome<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO ticket (name, value, expires_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![ticket.0, value, millis(expires_at)])?;
    Ok(())
}

pub fn remove_ticket(db: &Connection, ticket: Digest) -> Outcome<()> {
    db.prepare_cached("DELETE FROM ticket WHERE name = ?1")?
        .execute(params![ticket.0])?;
    Ok(())
}

pub fn load(db: &Connection, now: Timestamp, session: SessionId) -> Outcome<Loaded> {
    let mut statement = db.prepare_cached(
        "SELECT ended_at, header, identity, tokens FROM session WHERE id = ?1 AND expires_at > ?2",
    )?;
    let mut rows = statement.query(params![session.0, millis(now)])?;
    let Some(row) = rows.next()? else {
        return Ok(Loaded::Missing);
    };
    if let Some(at) = row.get::<_, Option<i64>>(0)? {
        return Ok(Loaded::Tombstone { at: time(at) });
    }
    Ok(Loaded::Live(StoredSession {
        header: header_of(&row.get::<_, Vec<u8>>(1)?)?,
        identity: row.get::<_, Vec<u8>>(2)?.into(),
        tokens: row.get::<_, Vec<u8>>(3)?.into(),
    }))
}

pub fn create(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    records: &NewRecords,
) -> Outcome<()> {
    db.prepare_cached("DELETE FROM session WHERE id = ?1 AND expires_at <= ?2")?
        .execute(params![session.0, millis(now)])?;
    let made = db
        .prepare_cached(
            "INSERT OR IGNORE INTO session (id, header, identity, tokens, listing, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            session.0,
            records.header.encode(),
            records.identity,
            records.tokens,
            records.listing,
            millis(records.expires_at),
        ])?;
    if made == 0 {
        return Err(StoreError::already_exists());
    }
    Ok(())
}

/// The header of a session that lives. The caller runs inside a write
/// transaction, so nobody changes it between this and the update.
fn live_header(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
) -> Outcome<Option<TokenHeader>> {
    let bytes: Option<Vec<u8>> = db
        .prepare_cached(
            "SELECT header FROM session WHERE id = ?1 AND expires_at > ?2 AND ended_at IS NULL",
        )?
        .query_row(params![session.0, millis(now)], |row| row.get(0))
        .optional()?;
    bytes.as_deref().map(header_of).transpose()
}

fn put_header(db: &Connection, session: SessionId, header: &TokenHeader) -> Outcome<()> {
    db.prepare_cached("UPDATE session SET header = ?2 WHERE id = ?1")?
        .execute(params![session.0, header.encode()])?;
    Ok(())
}

pub fn claim(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    claim: &Claim,
) -> Outcome<Claimed> {
    let Some(mut header) = live_header(db, now, session)? else {
        return Ok(Claimed::Gone);
    };
    let answer = header.claim(claim, now);
    if answer == Claimed::Granted {
        put_header(db, session, &header)?;
    }
    Ok(answer)
}

pub fn release(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    release: &Release,
) -> Outcome<()> {
    if let Some(mut header) = live_header(db, now, session)?
        && header.release(release)
    {
        put_header(db, session, &header)?;
    }
    Ok(())
}

pub fn commit(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    commit: &Commit,
) -> Outcome<Committed> {
    let Some(mut header) = live_header(db, now, session)? else {
        return Ok(Committed::Gone);
    };
    let answer = header.commit(
        commit.spent_fp,
        commit.new_fp,
        commit.access_exp,
        commit.received_at,
    );
    if matches!(answer, Committed::Done { .. }) {
        db.prepare_cached(
            "UPDATE session SET header = ?2, tokens = ?3, identity = ifnull(?4, identity)
             WHERE id = ?1",
        )?
        .execute(params![
            session.0,
            header.encode(),
            commit.tokens,
            commit.identity
        ])?;
    }
    Ok(answer)
}

pub fn put_identity(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    identity: &[u8],
) -> Outcome<()> {
    db.prepare_cached(
        "UPDATE session SET identity = ?3
         WHERE id = ?1 AND expires_at > ?2 AND ended_at IS NULL",
    )?
    .execute(params![session.0, millis(now), identity])?;
    Ok(())
}

pub fn touch(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    last_seen: Timestamp,
) -> Outcome<()> {
    match live_header(db, now, session)? {
        Some(mut header) if header.last_seen < last_seen => {
            header.last_seen = last_seen;
            put_header(db, session, &header)
        }
        _ => Ok(()),
    }
}

pub fn tombstone(
    db: &Connection,
    now: Timestamp,
    session: SessionId,
    at: Timestamp,
) -> Outcome<bool> {
    let changed = db
        .prepare_cached(
            "UPDATE session
             SET ended_at = ?3, header = x'', identity = x'', tokens = x'', listing = x''
             WHERE id = ?1 AND expires_at > ?2 AND ended_at IS NULL",
        )?
        .execute(params![session.0, millis(now), millis(at)])?;
    Ok(changed > 0)
}

pub fn index_add(
    db: &Connection,
    index: Digest,
    session: SessionId,
    expires_at: Timestamp,
) -> Outcome<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO member (list, session, expires_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![index.0, session.0, millis(expires_at)])?;
    Ok(())
}

pub fn index_list(db: &Connection, now: Timestamp, index: Digest) -> Outcome<Vec<SessionId>> {
    let mut statement =
        db.prepare_cached("SELECT session FROM member WHERE list = ?1 AND expires_at > ?2")?;
    let ids = statement
        .query_map(params![index.0, millis(now)], |row| {
            row.get(0).map(SessionId)
        })?
        .collect::<Result<_, _>>()?;
    Ok(ids)
}

pub fn index_remove(db: &Connection, index: Digest, session: SessionId) -> Outcome<()> {
    db.prepare_cached("DELETE FROM member WHERE list = ?1 AND session = ?2")?
        .execute(params![index.0, session.0])?;
    Ok(())
}

pub fn once(db: &Connection, now: Timestamp, key: Digest, expires_at: Timestamp) -> Outcome<Once> {
    let seen: Option<Vec<u8>> = db
        .prepare_cached("SELECT value FROM once WHERE key = ?1 AND expires_at > ?2")?
        .query_row(params![key.0, millis(now)], |row| row.get(0))
        .optional()?;
    if let Some(value) = seen {
        return Ok(Once::Seen(value.into()));
    }
    db.prepare_cached("INSERT OR REPLACE INTO once (key, value, expires_at) VALUES (?1, x'', ?2)")?
        .execute(params![key.0, millis(expires_at)])?;
    Ok(Once::First)
}

pub fn once_finish(db: &Connection, now: Timestamp, key: Digest, value: &[u8]) -> Outcome<()> {
    db.prepare_cached("UPDATE once SET value = ?3 WHERE key = ?1 AND expires_at > ?2")?
        .execute(params![key.0, millis(now), value])?;
    Ok(())
}

pub fn put_down(db: &Connection, key: Digest, value: &[u8], expires_at: Timestamp) -> Outcome<()> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO put_down (key, value, expires_at) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![key.0, value, millis(expires_at)])?;
    Ok(())
}

pub fn take(db: &Connection, now: Timestamp, key: Digest) -> Outcome<Option<Bytes>> {
    let taken: Option<(Vec<u8>, i64)> = db
        .prepare_cached("DELETE FROM put_down WHERE key = ?1 RETURNING value, expires_at")?
        .query_row(params![key.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(taken
        .filter(|(_, expires_at)| *expires_at > millis(now))
        .map(|(value, _)| Bytes::from(value)))
}

pub fn pin(db: &Connection, key: Digest, value: &[u8]) -> Outcome<Bytes> {
    let pinned = db
        .prepare_cached("INSERT OR IGNORE INTO pin (key, value) VALUES (?1, ?2)")?
        .execute(params![key.0, value])?;
    if pinned > 0 {
        return Ok(Bytes::copy_from_slice(value));
    }
    let first: Vec<u8> = db
        .prepare_cached("SELECT value FROM pin WHERE key = ?1")?
        .query_row(params![key.0], |row| row.get(0))?;
    Ok(first.into())
}

pub fn unpin(db: &Connection, key: Digest) -> Outcome<bool> {
    let gone = db
        .prepare_cached("DELETE FROM pin WHERE key = ?1")?
        .execute(params![key.0])?;
    Ok(gone > 0)
}

pub fn history_add(
    db: &Connection,
    now: Timestamp,
    name: Digest,
    entry: &[u8],
    keep: usize,
    expires_at: Timestamp,
) -> Outcome<()> {
    let number: i64 = db
        .prepare_cached("SELECT ifnull(max(number), 0) + 1 FROM history WHERE name = ?1")?
        .query_row(params![name.0], |row| row.get(0))?;
    db.prepare_cached(
        "INSERT INTO history (name, number, entry, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![name.0, number, entry, millis(expires_at)])?;
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    db.prepare_cached(
        "DELETE FROM history WHERE name = ?1 AND (number <= ?2 OR expires_at <= ?3)",
    )?
    .execute(params![name.0, number.saturating_sub(keep), millis(now)])?;
    Ok(())
}

pub fn history(db: &Connection, now: Timestamp, name: Digest) -> Outcome<Vec<Bytes>> {
    let mut statement = db.prepare_cached(
        "SELECT entry FROM history WHERE name = ?1 AND expires_at > ?2 ORDER BY number",
    )?;
    let entries = statement
        .query_map(params![name.0, millis(now)], |row| {
            row.get::<_, Vec<u8>>(0).map(Bytes::from)
        })?
        .collect::<Result<_, _>>()?;
    Ok(entries)
}

/// As large as an ordinary record, so that a full disk shows.
const PROBE_LENGTH: usize = 4096;

pub fn write_probe(db: &Connection, now: Timestamp) -> Outcome<()> {
    let fill = u8::try_from(now.0 % 256).unwrap_or(0);
    db.prepare_cached("INSERT OR REPLACE INTO probe (id, value) VALUES (1, ?1)")?
        .execute(params![vec![fill; PROBE_LENGTH]])?;
    Ok(())
}

pub fn read_probe(db: &Connection) -> Outcome<()> {
    let length: i64 = db.query_row("SELECT length(value) FROM probe WHERE id = 1", [], |row| {
        row.get(0)
    })?;
    if length != i64::try_from(PROBE_LENGTH).unwrap_or(0) {
        return Err(StoreError::Corrupt(
            "what was written is not read back".into(),
        ));
    }
    Ok(())
}

/// Deletes up to `limit` expired rows of each table; true if there may be
/// more.
pub fn sweep(db: &Connection, now: Timestamp, limit: usize) -> Outcome<bool> {
    let mut more = false;
    for statement in [
        "DELETE FROM ticket WHERE name IN
         (SELECT name FROM ticket WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM session WHERE id IN
         (SELECT id FROM session WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM member WHERE (list, session) IN
         (SELECT list, session FROM member WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM once WHERE key IN
         (SELECT key FROM once WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM put_down WHERE key IN
         (SELECT key FROM put_down WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM history WHERE (name, number) IN
         (SELECT name, number FROM history WHERE expires_at <= ?1 LIMIT ?2)",
    ] {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let gone = db
            .prepare_cached(statement)?
            .execute(params![millis(now), limit])?;
        more |= gone as i64 >= limit;
    }
    Ok(more)
}
