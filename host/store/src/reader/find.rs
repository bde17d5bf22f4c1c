//! Finding flow runs and runs by what people call them.

use rusqlite::{Connection, OptionalExtension as _, params};
use sandmill_wire::RunId;

use super::handle::{Reader, known_flow};
use crate::StoreError;
use crate::record::RunKey;
use crate::rows::{StageRow, fault, idx, run_id};

/// Fewest characters of an id by which something is found.
const LEAST_PREFIX: usize = 4;
/// Candidates that an error names.
const CANDIDATES: i64 = 8;
/// Words for the flow run that was made last.
const LATEST: [&str; 2] = ["latest", "@"];
/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

const HINT: &str = "it takes an id, the first four or more characters of one, or `latest`";

impl Reader {
    /// The flow run that people call so: its id, a beginning of it that no other has (of four
    /// characters or more), or `latest` or `@` for the one that was made last and is not part of
    /// another.
    ///
    /// # Errors
    /// There is none, or several begin so (the error names some), or the store cannot be read.
    pub fn find_flow(&self, text: &str) -> Result<RunId, StoreError> {
        self.read(|connection| find_flow(connection, text))
    }

    /// The run that people call so, and the flow run it is part of: its id, a beginning of it that
    /// no other has, or `FLOW/name` or `FLOW/name[3]` with what [`Reader::find_flow`] takes.
    ///
    /// # Errors
    /// There is none, or several begin so (the error names some), or the store cannot be read.
    pub fn find_run(&self, text: &str) -> Result<(RunId, RunKey), StoreError> {
        self.read(|connection| match text.split_once('/') {
            Some((flow, name)) => find_by_name(connection, flow, name, text),
            None => find_by_id(connection, text),
        })
    }
}

fn unknown(what: &'static str, text: &str, hint: impl Into<String>) -> StoreError {
    let text = text.chars().take(200).collect();
    StoreError::Unknown { what, text, hint: hint.into() }
}

fn find_flow(connection: &Connection, text: &str) -> Result<RunId, StoreError> {
    let failed = |error| fault(connection, error);
    if LATEST.contains(&text) {
        let sql = "SELECT run FROM flows WHERE deleted = 0 AND parent IS NULL
                   ORDER BY id DESC LIMIT 1";
        let latest = connection
            .prepare_cached(sql)
            .and_then(|mut select| select.query_row([], |row| run_id(row, 0)).optional())
            .map_err(failed)?;
        return latest.ok_or_else(|| unknown("flow run", text, "no flow was run yet"));
    }
    let (low, high) = range(text).ok_or_else(|| unknown("flow run", text, HINT))?;
    let sql = "SELECT run, name, state_name FROM flows
               WHERE run BETWEEN ? AND ? AND deleted = 0 ORDER BY run LIMIT ?";
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut select| {
            let rows = select.query_map(params![low, high, CANDIDATES], |row| {
                let (name, state): (String, String) = (row.get(1)?, row.get(2)?);
                Ok((run_id(row, 0)?, format!("{name}, {state}")))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(failed)?;
    one("flow run", text, found)
}

fn find_by_id(connection: &Connection, text: &str) -> Result<(RunId, RunKey), StoreError> {
    const HINT: &str = "it takes an id, the first four or more characters of one, or \
                        `FLOW/name[3]`";
    let (low, high) = range(text).ok_or_else(|| unknown("run", text, HINT))?;
    let sql = "SELECT runs.run, flows.run, runs.stage, runs.idx, runs.state_name FROM runs
               JOIN flows ON flows.id = runs.flow
               WHERE runs.run BETWEEN ? AND ? AND flows.deleted = 0 ORDER BY runs.run LIMIT ?";
    let found = connection
        .prepare_cached(sql)
        .and_then(|mut select| {
            let rows = select.query_map(params![low, high, CANDIDATES], |row| {
                let index: i64 = row.get(3)?;
                let key = RunKey { stage: row.get(2)?, index: u64::try_from(index).ok() };
                let flow = run_id(row, 1)?;
                let words = format!("{} of flow run {flow}", row.get::<_, String>(4)?);
                Ok(((run_id(row, 0)?, (flow, key)), words))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(|error| fault(connection, error))?;
    let named = found.iter().map(|((run, _), words)| (*run, words.clone())).collect();
    let run = one("run", text, named)?;
    let place = found.into_iter().find_map(|((id, place), _)| (id == run).then_some(place));
    place.ok_or_else(|| unknown("run", text, HINT))
}

/// The only one of those that were found.
fn one(what: &'static str, text: &str, found: Vec<(RunId, String)>) -> Result<RunId, StoreError> {
    match &*found {
        [] => Err(unknown(what, text, if what == "run" { "no run has such an id" } else { HINT })),
        [(run, _)] => Ok(*run),
        several => {
            let candidates =
                several.iter().map(|(run, words)| format!("{run} ({words})")).collect();
            Err(StoreError::Ambiguous { what, text: text.to_owned(), candidates })
        }
    }
}

fn find_by_name(
    connection: &Connection,
    flow: &str,
    name: &str,
    text: &str,
) -> Result<(RunId, RunKey), StoreError> {
    let failed = |error| fault(connection, error);
    let flow = known_flow(connection, find_flow(connection, flow)?)?;
    let (stage_name, index) = split_index(name);
    let rows = StageRow::all(connection, flow.rowid).map_err(failed)?;
    let stages = rows.into_iter().flatten().map(|row| row.stage).collect::<Vec<_>>();
    let stage = stages.iter().find(|stage| &*stage.name == stage_name).ok_or_else(|| {
        let names: Vec<&str> = stages.iter().take(20).map(|stage| &*stage.name).collect();
        let hint = match &*names {
            [] => format!("flow run {} has no tasks yet", flow.run),
            names => format!("the tasks of flow run {} are {}", flow.run, names.join(", ")),
        };
        unknown("run", text, hint)
    })?;
    match (stage.mapped, index) {
        (true, None) => {
            let hint = format!("`{stage_name}` is a map: name one of its runs, as {stage_name}[0]");
            return Err(unknown("run", text, hint));
        }
        (false, Some(_)) => {
            let hint = format!("`{stage_name}` is no map: its run is {stage_name}");
            return Err(unknown("run", text, hint));
        }
        _ => {}
    }
    let key = RunKey { stage: stage.stage, index };
    let sql = "SELECT 1 FROM runs WHERE flow = ? AND stage = ? AND idx = ?";
    let there = connection
        .prepare_cached(sql)
        .and_then(|mut select| select.exists(params![flow.rowid, key.stage, idx(key)]))
        .map_err(failed)?;
    if there { Ok((flow.run, key)) } else { Err(unknown("run", text, "it was not submitted yet")) }
}

/// `count[3]` as `count` and 3.
fn split_index(name: &str) -> (&str, Option<u64>) {
    let split = || {
        let (stage, index) = name.strip_suffix(']')?.rsplit_once('[')?;
        Some((stage, Some(index.parse().ok()?)))
    };
    split().unwrap_or((name, None))
}

/// The least and the greatest id that begin so; none when no id does, or it is too short to say.
fn range(text: &str) -> Option<([u8; 16], [u8; 16])> {
    if text.len() > 36 || !text.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return None;
    }
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    if digits.len() < LEAST_PREFIX || digits.len() > DIGITS {
        return None;
    }
    let fill = |with: char| -> Option<[u8; 16]> {
        let all: String = digits.chars().chain(std::iter::repeat(with)).take(DIGITS).collect();
        u128::from_str_radix(&all, 16).ok().map(u128::to_be_bytes)
    };
    Some((fill('0')?, fill('f')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_ranges_of_ids() {
        let id: RunId = "01939f3e-6c2a-7000-8000-0123456789ab".parse().unwrap();
        let bytes = *id.as_uuid().as_bytes();
        for text in ["0193", "01939F3E", "01939f3e-6", "01939f3e-6c2a-7000-8000-0123456789ab"] {
            let (low, high) = range(text).unwrap();
            assert!(low <= bytes && bytes <= high, "{text}");
        }
        let (low, high) = range(&id.to_string()).unwrap();
        assert_eq!((low, high), (bytes, bytes));
        let (low, high) = range("01939f3f").unwrap();
        assert!(bytes < low && low < high);
        for wrong in ["", "019", "--", "019x", "né01", "0193 ", &"0".repeat(33), &"-".repeat(40)] {
            assert!(range(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn positions_are_read_only_where_they_are_numbers() {
        assert_eq!(split_index("count[3]"), ("count", Some(3)));
        assert_eq!(split_index("a[1][2]"), ("a[1]", Some(2)));
        for whole in
            ["count", "count[]", "count[x]", "count[-1]", "count3]", "[99999999999999999999]"]
        {
            assert_eq!(split_index(whole), (whole, None));
        }
    }
}
