//! The table of cached results: how rows are written, found and read. It knows no threads: writing
//! is done on the connection of the store's writer, reading on one that only reads.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use sandmill_core::Timestamp;
use sandmill_wire::{self as wire, Digest, RunId, Value};

use super::entry::{CacheRecord, NewCached};
use super::explain::{Difference, Nearest, differences, distance};
use super::filter::{CacheFilter, CacheTotals, Cleared};
use super::key::{CacheKey, KeyDigest};
use crate::seal::Seal;

/// What was once taken is given back whatever the limits are today.
pub(super) const KEPT_BOUNDS: wire::Bounds =
    wire::Bounds { max_bytes: usize::MAX, max_depth: usize::MAX, max_nodes: usize::MAX };

/// Entries that one step of clearing deletes.
const CLEARED_AT_A_TIME: i64 = 1_000;
/// Entries that make room for a new one at most: were there more, records would wait for it. The
/// next new ones go on.
const EVICTED_AT_A_TIME: usize = 1_000;
/// Entries that are compared with a call to find the nearest, of each way to be near.
const COMPARED: i64 = 200;

/// What a row says, in the order of [`record`].
const COLUMNS: &str = "key, component, task, arguments, profile, user_key, kept_arguments, run, \
     flow, created, expires, bytes, result, result_digest, seal";

/// How much the cache may hold. What was made first goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Where the value of an entry is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    Row(Vec<u8>),
    Blob(Digest),
}

/// An entry as it is in the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) record: CacheRecord,
    pub(super) place: Place,
}

/// Puts a result into the table, in place of any under the same key, and takes out what is over
/// the bounds then. `blob` names the value where it is too large for a row. Answers with the blobs
/// that entries named which are gone now.
pub(crate) fn put(
    connection: &Connection,
    entry: &NewCached,
    blob: Option<&Digest>,
    bounds: Bounds,
) -> rusqlite::Result<Vec<Digest>> {
    let key = entry.key.digest();
    let mut orphans = remove(connection, key)?;
    let row = blob.is_none().then(|| entry.value.as_bytes());
    let sql = format!("INSERT INTO cache ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
    connection.prepare_cached(&sql)?.execute(params![
        key.0,
        entry.key.component().as_bytes(),
        &**entry.key.task(),
        entry.key.arguments_digest().0,
        &**entry.key.profile(),
        entry.key.user_key().map(|key| &**key),
        entry.kept_arguments(),
        entry.run.as_uuid().as_bytes(),
        entry.flow.as_ref().map(|flow| flow.as_uuid().as_bytes()),
        entry.created.as_micros().cast_signed(),
        entry.expires.map(|expires| expires.as_micros().cast_signed()),
        entry.bytes().cast_signed(),
        row,
        blob.map(Digest::as_bytes),
        seal(&record_of(entry), entry.kept_arguments(), row, blob),
    ])?;
    orphans.extend(evict(connection, bounds)?);
    Ok(orphans)
}

/// Takes an entry out. Answers with the blob that it named.
pub(crate) fn remove(connection: &Connection, key: KeyDigest) -> rusqlite::Result<Vec<Digest>> {
    let sql = "DELETE FROM cache WHERE key = ? RETURNING result_digest";
    blobs(connection.prepare_cached(sql)?.query([key.0])?)
}

fn evict(connection: &Connection, bounds: Bounds) -> rusqlite::Result<Vec<Digest>> {
    let mut orphans = Vec::new();
    for _ in 0..EVICTED_AT_A_TIME {
        let totals = totals(connection)?;
        if totals.entries <= bounds.entries && totals.bytes <= bounds.bytes {
            return Ok(orphans);
        }
        // The one that was made first, but never the one that was put in last.
        let sql = "DELETE FROM cache WHERE id = (SELECT min(id) FROM cache)
                   AND id <> (SELECT max(id) FROM cache) RETURNING result_digest";
        let before = totals.entries;
        orphans.extend(blobs(connection.prepare_cached(sql)?.query([])?)?);
        if self::totals(connection)?.entries == before {
            return Ok(orphans);
        }
    }
    Ok(orphans)
}

fn blobs(mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<Vec<Digest>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(blob_of(row));
    }
    Ok(found)
}

/// The blob that a deleted row named. That of a damaged row is found when blobs are looked through:
/// to fail here would be to fail all that is written together with it.
fn blob_of(row: &Row<'_>) -> Option<Digest> {
    row.get::<_, Option<[u8; 32]>>(0).ok().flatten().map(Digest::from)
}

/// Deletes some of the entries that fit. Answers how much it was, whether there is more, and with
/// the blobs that they named.
pub(crate) fn clear(
    connection: &Connection,
    filter: &CacheFilter,
) -> rusqlite::Result<(Cleared, bool, Vec<Digest>)> {
    let (condition, mut values) = filter.condition();
    values.push(Sql::Integer(CLEARED_AT_A_TIME));
    let sql = format!(
        "DELETE FROM cache WHERE id IN (SELECT id FROM cache WHERE {condition} LIMIT ?)
         RETURNING result_digest, bytes"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut cleared, mut orphans) = (Cleared::default(), Vec::new());
    while let Some(row) = rows.next()? {
        orphans.extend(blob_of(row));
        cleared.entries += 1;
        let bytes = row.get::<_, i64>(1).ok().and_then(|bytes| u64::try_from(bytes).ok());
        cleared.bytes = cleared.bytes.saturating_add(bytes.unwrap_or(0));
    }
    let more = cleared.entries >= CLEARED_AT_A_TIME.cast_unsigned();
    Ok((cleared, more, orphans))
}

/// How much there is.
pub(super) fn totals(connection: &Connection) -> rusqlite::Result<CacheTotals> {
    let sql = "SELECT entries, bytes FROM cache_totals";
    // A damaged entry that was taken out may have taken more with it than there was.
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    connection.prepare_cached(sql)?.query_row([], |row| {
        Ok(CacheTotals { entries: count(row.get(0)?), bytes: count(row.get(1)?) })
    })
}

/// A row that was found: the entry, or that what it says is not what was written.
pub(super) enum Read {
    Whole(Box<Found>),
    Damaged,
}

/// The entry under a key.
pub(super) fn find(connection: &Connection, key: KeyDigest) -> rusqlite::Result<Option<Read>> {
    let sql = format!("SELECT {COLUMNS} FROM cache WHERE key = ?");
    connection.prepare_cached(&sql)?.query_row([key.0], |row| Ok(read(row))).optional()
}

/// Entries that fit, newest first. Damaged ones are left out.
pub(super) fn list(
    connection: &Connection,
    filter: &CacheFilter,
    limit: usize,
) -> rusqlite::Result<Vec<CacheRecord>> {
    let (condition, mut values) = filter.condition();
    values.push(Sql::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!("SELECT {COLUMNS} FROM cache WHERE {condition} ORDER BY id DESC LIMIT ?");
    select(connection, &sql, values)
}

/// The entry that has most in common with a call and is not its own.
pub(super) fn nearest(
    connection: &Connection,
    call: &CacheKey,
) -> rusqlite::Result<Option<Nearest>> {
    let text = |text: &str| Sql::Text(text.to_owned());
    let blob = |bytes: &[u8]| Sql::Blob(bytes.to_vec());
    let (component, arguments) = (call.component(), call.arguments_digest());
    let ways = [
        // Another key, another profile, or another component with the same arguments.
        ("task = ? AND arguments = ?", vec![text(call.task()), blob(&arguments.0)]),
        ("component = ? AND task = ?", vec![blob(component.as_bytes()), text(call.task())]),
        ("task = ?", vec![text(call.task())]),
        ("arguments = ?", vec![blob(&arguments.0)]),
    ];
    let mut nearest: Option<((u32, usize), Nearest)> = None;
    for (condition, mut values) in ways {
        values.push(Sql::Integer(COMPARED));
        let sql = format!("SELECT {COLUMNS} FROM cache WHERE {condition} ORDER BY id DESC LIMIT ?");
        for entry in select(connection, &sql, values)? {
            let differences: Vec<Difference> = differences(&entry, call);
            let distance = distance(&differences);
            let is_nearer = nearest.as_ref().is_none_or(|(least, _)| distance < *least);
            if !differences.is_empty() && is_nearer {
                nearest = Some((distance, Nearest { entry, differences }));
            }
        }
    }
    Ok(nearest.map(|(_, nearest)| nearest))
}

fn select(
    connection: &Connection,
    sql: &str,
    values: Vec<Sql>,
) -> rusqlite::Result<Vec<CacheRecord>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if let Read::Whole(entry) = read(row) {
            found.push(entry.record);
        }
    }
    Ok(found)
}

/// A row as it is, checked against its seal. A column of the wrong type is damage like any other.
fn read(row: &Row<'_>) -> Read {
    match record(row) {
        Ok(Some(found)) => Read::Whole(Box::new(found)),
        Ok(None) | Err(_) => Read::Damaged,
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Option<Found>> {
    let kept: Option<Vec<u8>> = row.get(6)?;
    let result: Option<Vec<u8>> = row.get(12)?;
    let blob = row.get::<_, Option<[u8; 32]>>(13)?.map(Digest::from);
    let record = CacheRecord {
        key: KeyDigest(row.get(0)?),
        component: Digest::from(row.get::<_, [u8; 32]>(1)?),
        task: row.get::<_, String>(2)?.into(),
        arguments_digest: KeyDigest(row.get(3)?),
        profile: row.get::<_, String>(4)?.into(),
        user_key: row.get::<_, Option<String>>(5)?.map(Into::into),
        arguments: None,
        run: RunId::from_bytes(row.get(7)?),
        flow: row.get::<_, Option<[u8; 16]>>(8)?.map(RunId::from_bytes),
        created: Timestamp::from_micros(row.get::<_, i64>(9)?.cast_unsigned()),
        expires: row
            .get::<_, Option<i64>>(10)?
            .map(|it| Timestamp::from_micros(it.cast_unsigned())),
        bytes: row.get::<_, i64>(11)?.cast_unsigned(),
    };
    if row.get::<_, i64>(14)? != seal(&record, kept.as_deref(), result.as_deref(), blob.as_ref()) {
        return Ok(None);
    }
    let arguments = match kept.map(|kept| Value::check(kept, &KEPT_BOUNDS)).transpose() {
        Ok(arguments) => arguments,
        Err(_) => return Ok(None),
    };
    let place = match (result, blob) {
        (Some(bytes), None) => Place::Row(bytes),
        (None, Some(digest)) => Place::Blob(digest),
        _ => return Ok(None),
    };
    Ok(Some(Found { record: CacheRecord { arguments, ..record }, place }))
}

fn record_of(entry: &NewCached) -> CacheRecord {
    CacheRecord {
        key: entry.key.digest(),
        component: entry.key.component(),
        task: entry.key.task().clone(),
        arguments_digest: entry.key.arguments_digest(),
        arguments: None,
        user_key: entry.key.user_key().cloned(),
        profile: entry.key.profile().clone(),
        run: entry.run,
        flow: entry.flow,
        created: entry.created,
        expires: entry.expires,
        bytes: entry.bytes(),
    }
}

fn seal(
    record: &CacheRecord,
    kept: Option<&[u8]>,
    result: Option<&[u8]>,
    blob: Option<&Digest>,
) -> i64 {
    Seal::of("cache")
        .bytes(&record.key.0)
        .bytes(record.component.as_bytes())
        .text(&record.task)
        .bytes(&record.arguments_digest.0)
        .text(&record.profile)
        .opt_text(record.user_key.as_deref())
        .opt_bytes(kept)
        .run(record.run)
        .opt_run(record.flow)
        .at(record.created)
        .opt_at(record.expires)
        .count(record.bytes)
        .opt_bytes(result)
        .opt_digest(blob)
        .finish()
}
