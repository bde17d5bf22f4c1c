//! Finding flow runs and runs by what people call them.

use rusqlite::{Connection, OptionalExtension as _, params};
use sandmill_wire::RunId;

use super::handle::{Reader, known_flow};
use crate::StoreError;
use crate::record::RunKey;
use crate::rows::{FlowRow, fault, idx, run_id};

/// Fewest characters of an id by which something is found.
const LEAST_PREFIX: usize = 4;
/// Candidates that an error names.
const CANDIDATES: i64 = 8;
/// Words for the flow run that was made last.
const LATEST: [&str; 2] = ["latest", "@"];
/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

const HINT: &str = "it takes an id, the first four or more characters of one, or `latest`";

pub(super) const NEWEST_FLOW: &str =
    "SELECT run FROM flows WHERE deleted = 0 AND parent IS NULL ORDER BY id DESC LIMIT 1";
pub(super) const FLOWS_BETWEEN: &str = "SELECT run, name, state_name FROM flows
     WHERE run BETWEEN ? AND ? AND deleted = 0 ORDER BY run LIMIT ?";
pub(super) const RUNS_BETWEEN: &str =
    "SELECT runs.run, flows.run, runs.stage, runs.idx, runs.state_name FROM runs
     JOIN flows ON flows.id = runs.flow
     WHERE runs.run BETWEEN ? AND ? AND flows.deleted = 0 ORDER BY runs.run LIMIT ?";

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
        let latest = connection
            .prepare_cached(NEWEST_FLOW)
            .and_then(|mut select| select.query_row([], |row| run_id(row, 0)).optional())
            .map_err(failed)?;
        return latest.ok_or_else(|| unknown("flow run", text, "no flow was run yet"));
    }
    let (low, high) = range(text).ok_or_else(|| unknown("flow run", text, HINT))?;
    let found = connection
        .prepare_cached(FLOWS_BETWEEN)
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
    let found = connection
        .prepare_cached(RUNS_BETWEEN)
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

/// Runs by the name of their stage and their position.
pub(super) const BY_NAME: &str =
    "SELECT runs.run, runs.stage, runs.idx, runs.state_name FROM stages
     JOIN runs ON runs.flow = stages.flow AND runs.stage = stages.stage AND runs.idx = ?3
     WHERE stages.flow = ?1 AND stages.name = ?2 ORDER BY stages.stage LIMIT ?4";

fn find_by_name(
    connection: &Connection,
    flow: &str,
    name: &str,
    text: &str,
) -> Result<(RunId, RunKey), StoreError> {
    let flow = known_flow(connection, find_flow(connection, flow)?)?;
    let (stage_name, index) = split_index(name);
    let place = idx(RunKey { stage: 0, index });
    let found = connection
        .prepare_cached(BY_NAME)
        .and_then(|mut select| {
            let wanted = params![flow.rowid, stage_name, place, CANDIDATES];
            let rows = select.query_map(wanted, |row| {
                let key = RunKey { stage: row.get(1)?, index };
                Ok((key, (run_id(row, 0)?, row.get::<_, String>(3)?)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .map_err(|error| fault(connection, error))?;
    match &*found {
        [(key, _)] => Ok((flow.run, *key)),
        [] => Err(unknown("run", text, why_not(connection, &flow, stage_name, index)?)),
        // A flow component may submit a task many times.
        several => {
            let candidates =
                several.iter().map(|(_, (run, state))| format!("{run} ({state})")).collect();
            Err(StoreError::Ambiguous { what: "run", text: text.to_owned(), candidates })
        }
    }
}

/// Why a flow run has no run by this name, for a person.
fn why_not(
    connection: &Connection,
    flow: &FlowRow,
    name: &str,
    index: Option<u64>,
) -> Result<String, StoreError> {
    let look = || -> rusqlite::Result<String> {
        let sql = "SELECT mapped FROM stages WHERE flow = ? AND name = ? LIMIT 1";
        let mapped: Option<bool> = connection
            .prepare_cached(sql)?
            .query_row(params![flow.rowid, name], |row| row.get(0))
            .optional()?;
        Ok(match (mapped, index) {
            (Some(true), None) => {
                format!("`{name}` is a map: name one of its runs, as {name}[0]")
            }
            (Some(false), Some(_)) => format!("`{name}` is no map: its run is {name}"),
            (Some(_), _) => "it was not submitted yet".to_owned(),
            (None, _) => {
                let sql = "SELECT DISTINCT name FROM stages WHERE flow = ? LIMIT 20";
                let mut select = connection.prepare_cached(sql)?;
                let names = select.query_map([flow.rowid], |row| row.get(0))?;
                let names = names.collect::<rusqlite::Result<Vec<String>>>()?;
                match &*names {
                    [] => format!("flow run {} has no tasks yet", flow.run),
                    names => format!("the tasks of flow run {} are {}", flow.run, names.join(", ")),
                }
            }
        })
    };
    look().map_err(|error| fault(connection, error))
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
