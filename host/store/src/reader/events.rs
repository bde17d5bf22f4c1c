//! What happened to a flow run and its runs, in order of time, a page at a time. The tables are
//! read in the order in which they were written, each row once, so that a flow of a million runs
//! is told in one go over it; what is read before its time waits in the cursor.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use rusqlite::{Connection, Row, params};
use sandmill_core::{State, StateType, Timestamp};
use sandmill_wire::RunId;
use serde::Serialize;

use super::handle::{Reader, known_flow};
use crate::StoreError;
use crate::record::RunKey;
use crate::rows::{
    CHANGE_COLUMNS, ChangeRow, FlowRow, NOTE_COLUMNS, NoteRow, RUN_COLUMNS, RunRow, fault,
};

/// Most events that one page gives.
pub const MAX_EVENT_PAGE: usize = 10_000;
/// Rows of a table that are read at a time.
const CHUNK: i64 = 1_000;
/// Rows of tables that one page looks at, those of other flows included: a page that has looked at
/// so many ends early, and the next one goes on there.
const MAX_LOOKED_AT: usize = 2_000_000;
/// Events that wait for their time, of runs under way at one moment. Beyond it they are told in
/// the order in which their runs were submitted.
const MAX_WAITING: usize = 1_000_000;

/// One thing that happened to a flow run or to one of its runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEvent {
    /// When.
    pub at: Timestamp,
    /// To which run; none: to the flow run itself.
    pub run: Option<(RunId, RunKey)>,
    /// What.
    pub kind: HistoryKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryKind {
    /// It went to this state; the message says why.
    State(State),
    /// Something else: a hook, a resume, a request to cancel.
    Note {
        /// What kind of thing, in one word.
        kind: String,
        /// What, for a person.
        message: String,
    },
}

/// A place in the events of one flow run: what comes after it is new to its holder. It holds what
/// was read and has not been told yet, so it is worth keeping and cannot be written down.
#[derive(Debug, Clone)]
pub struct EventCursor {
    flow: RunId,
    runs: Track,
    changes: Track,
    notes: Track,
    /// Runs that had not ended when they were read, and whether their start was told.
    open: BTreeSet<(i64, bool)>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Numbers what is read, so that of two things at the same time the first stays the first.
    read: u64,
}

/// How far a table was read.
#[derive(Debug, Clone, Copy)]
struct Track {
    /// The last row that was read.
    last: i64,
    /// The last row that there will ever be; none while more may come.
    end: Option<i64>,
    /// Nothing that is still to be read happened before.
    horizon: Timestamp,
}

/// An event that waits for its time.
#[derive(Debug, Clone)]
struct Waiting {
    number: u64,
    event: HistoryEvent,
}

impl Waiting {
    fn place(&self) -> (Timestamp, u64) {
        (self.event.at, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.place().cmp(&other.place())
    }
}

/// Later than everything that happens.
const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl Reader {
    /// What happened next in a flow run: every change of state of the flow run and of its runs,
    /// with its cause, and the notes, in order of time. Without a cursor it begins at the start.
    /// The cursor that comes back is where to go on, at once or, when it
    /// [is at the end](EventCursor::is_at_end), later.
    ///
    /// The order is exact for what was recorded before this was asked. What is recorded later comes
    /// later, also where it happened a moment earlier.
    ///
    /// # Errors
    /// There is no such flow run, what is recorded of it is damaged (the error names it), or the
    /// store cannot be read.
    pub fn events(
        &self,
        flow: RunId,
        after: Option<EventCursor>,
        limit: usize,
    ) -> Result<(Vec<HistoryEvent>, EventCursor), StoreError> {
        self.read(|connection| {
            let row = known_flow(connection, flow)?;
            let mut cursor = match after {
                Some(cursor) if cursor.flow == flow => cursor,
                _ => EventCursor::start(connection, &row)?,
            };
            let page = Page { connection, flow: row.rowid, limit: limit.min(MAX_EVENT_PAGE) };
            let events = page.fill(&mut cursor)?;
            Ok((events, cursor))
        })
    }
}

impl EventCursor {
    /// Whether everything was told that was recorded when the page was made which this came with.
    /// Of a flow run that had ended by then nothing more will come.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        let tracks = [self.runs, self.changes, self.notes];
        self.waiting.is_empty() && tracks.iter().all(|track| track.horizon == NEVER)
    }

    fn start(connection: &Connection, flow: &FlowRow) -> Result<Self, StoreError> {
        // What has ended gets no more rows, so that those of later flow runs need not be looked
        // at; and those of earlier ones never.
        let has_ended = flow.state.is_final();
        let track = |table: &str| -> Result<Track, StoreError> {
            let sql = ends_sql(table);
            let (first, last): (Option<i64>, Option<i64>) = connection
                .query_row(&sql, [flow.rowid], |row| Ok((row.get(0)?, row.get(1)?)))
                .map_err(|error| fault(connection, error))?;
            Ok(Track {
                last: first.map_or(0, |first| first - 1),
                end: has_ended.then_some(last.unwrap_or(0)),
                horizon: Timestamp::default(),
            })
        };
        Ok(Self {
            flow: flow.run,
            runs: track("runs")?,
            changes: track("changes")?,
            notes: track("notes")?,
            open: BTreeSet::new(),
            waiting: BinaryHeap::new(),
            read: 0,
        })
    }

    fn wait(&mut self, at: Timestamp, run: Option<(RunId, RunKey)>, kind: HistoryKind) {
        let number = self.read;
        self.read += 1;
        self.waiting.push(Reverse(Waiting { number, event: HistoryEvent { at, run, kind } }));
    }

    /// Takes in what a run's row says that was not told before. Whether its start was told.
    fn take_run(&mut self, row: &RunRow, started_told: bool, is_new: bool) -> bool {
        let run = Some((row.run, row.key));
        let state = |kind, name: &'static str, at| {
            HistoryKind::State(State { kind, name: name.into(), message: None, at })
        };
        if is_new {
            self.wait(row.created, run, state(StateType::Pending, "Pending", row.created));
        }
        if let Some(started) = row.started.filter(|_| !started_told) {
            self.wait(started, run, state(StateType::Running, "Running", started));
        }
        if row.state.is_final() {
            self.wait(row.state.at, run, HistoryKind::State(row.state.clone()));
        }
        started_told || row.started.is_some()
    }
}

/// The first and the last row of a flow run in a table.
pub(super) fn ends_sql(table: &str) -> String {
    format!("SELECT min(id), max(id) FROM {table} WHERE flow = ?")
}

pub(super) fn next_runs_sql() -> String {
    format!("SELECT {RUN_COLUMNS} FROM runs WHERE id > ? ORDER BY id LIMIT ?")
}

/// One page in the making.
struct Page<'a> {
    connection: &'a Connection,
    flow: i64,
    limit: usize,
}

impl Page<'_> {
    fn fill(&self, cursor: &mut EventCursor) -> Result<Vec<HistoryEvent>, StoreError> {
        self.look_at_open(cursor)?;
        // What was the end the last time may have been moved on.
        for track in [&mut cursor.runs, &mut cursor.changes, &mut cursor.notes] {
            if track.end.is_none() && track.horizon == NEVER {
                track.horizon = Timestamp::default();
            }
        }
        let mut events = Vec::new();
        let mut looked_at = 0;
        while events.len() < self.limit {
            let tracks = [cursor.runs, cursor.changes, cursor.notes];
            let (which, horizon) = tracks
                .iter()
                .map(|track| track.horizon)
                .enumerate()
                .min_by_key(|(_, horizon)| *horizon)
                .unwrap_or((0, NEVER));
            let is_due = cursor
                .waiting
                .peek()
                .is_some_and(|Reverse(first)| first.event.at < horizon || horizon == NEVER);
            if is_due || cursor.waiting.len() > MAX_WAITING {
                events.extend(cursor.waiting.pop().map(|Reverse(first)| first.event));
            } else if horizon == NEVER || looked_at >= MAX_LOOKED_AT {
                break;
            } else {
                looked_at += match which {
                    0 => self.read_runs(cursor)?,
                    1 => self.read_changes(cursor)?,
                    _ => self.read_notes(cursor)?,
                };
            }
        }
        Ok(events)
    }

    /// Runs that were under way when they were read may have gone on since.
    fn look_at_open(&self, cursor: &mut EventCursor) -> Result<(), StoreError> {
        for (rowid, started_told) in std::mem::take(&mut cursor.open) {
            let row = self.run(rowid)?;
            let started_told = cursor.take_run(&row, started_told, false);
            if !row.state.is_final() {
                cursor.open.insert((rowid, started_told));
            }
        }
        Ok(())
    }

    fn run(&self, rowid: i64) -> Result<RunRow, StoreError> {
        let found =
            RunRow::get(self.connection, rowid).map_err(|error| fault(self.connection, error))?;
        found
            .flatten()
            .filter(|row| row.flow == self.flow)
            .ok_or_else(|| StoreError::corrupt(format!("run number {rowid}")))
    }

    fn read_runs(&self, cursor: &mut EventCursor) -> Result<usize, StoreError> {
        let sql = next_runs_sql();
        // Its first columns are the row's id and the flow.
        let rows = self.chunk(&sql, (0, 1), &mut cursor.runs, RunRow::read)?;
        let looked_at = rows.looked_at;
        for (rowid, row) in rows.found {
            let row = row.filter(|row: &RunRow| row.rowid == Some(rowid));
            let row = row.ok_or_else(|| StoreError::corrupt(format!("run number {rowid}")))?;
            // Rows come in the order in which runs were submitted.
            cursor.runs.horizon = cursor.runs.horizon.max(row.created);
            let started_told = cursor.take_run(&row, false, true);
            if !row.state.is_final() {
                cursor.open.insert((rowid, started_told));
            }
        }
        Ok(looked_at)
    }

    fn read_changes(&self, cursor: &mut EventCursor) -> Result<usize, StoreError> {
        let sql =
            format!("SELECT {CHANGE_COLUMNS}, id FROM changes WHERE id > ? ORDER BY id LIMIT ?");
        let rows =
            self.chunk(&sql, (after(CHANGE_COLUMNS), 0), &mut cursor.changes, ChangeRow::read)?;
        let looked_at = rows.looked_at;
        for (rowid, row) in rows.found {
            let row: ChangeRow =
                row.ok_or_else(|| StoreError::corrupt(format!("change of state number {rowid}")))?;
            let run = match row.run {
                Some(run) => Some(self.run(run)).transpose()?.map(|run| (run.run, run.key)),
                None => None,
            };
            cursor.changes.horizon = cursor.changes.horizon.max(row.state.at);
            cursor.wait(row.state.at, run, HistoryKind::State(row.state));
        }
        Ok(looked_at)
    }

    fn read_notes(&self, cursor: &mut EventCursor) -> Result<usize, StoreError> {
        let sql = format!("SELECT {NOTE_COLUMNS}, id FROM notes WHERE id > ? ORDER BY id LIMIT ?");
        let rows = self.chunk(&sql, (after(NOTE_COLUMNS), 0), &mut cursor.notes, NoteRow::read)?;
        let looked_at = rows.looked_at;
        for (rowid, row) in rows.found {
            let NoteRow { at, kind, message, .. } =
                row.ok_or_else(|| StoreError::corrupt(format!("note number {rowid}")))?;
            cursor.notes.horizon = cursor.notes.horizon.max(at);
            cursor.wait(at, None, HistoryKind::Note { kind, message });
        }
        Ok(looked_at)
    }

    /// The next rows of a table, those of other flows left out, and how far the table was read
    /// with them. `places` are the columns of the row's id and of the flow.
    fn chunk<T>(
        &self,
        sql: &str,
        places: (usize, usize),
        track: &mut Track,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<Option<T>>,
    ) -> Result<Chunk<T>, StoreError> {
        let mut chunk = Chunk { looked_at: 0, found: Vec::new() };
        let mut look = || -> rusqlite::Result<()> {
            let mut select = self.connection.prepare_cached(sql)?;
            let mut rows = select.query(params![track.last, CHUNK])?;
            while let Some(row) = rows.next()? {
                let rowid = row.get(places.0)?;
                if track.end.is_some_and(|end| rowid > end) {
                    break;
                }
                track.last = rowid;
                chunk.looked_at += 1;
                if row.get::<_, i64>(places.1)? == self.flow {
                    chunk.found.push((rowid, read(row)?));
                }
            }
            Ok(())
        };
        look().map_err(|error| fault(self.connection, error))?;
        if chunk.looked_at == 0 {
            track.horizon = NEVER;
        }
        Ok(chunk)
    }
}

/// The place of a column that is selected after these.
fn after(columns: &str) -> usize {
    columns.split(',').count()
}

/// Some rows of a table.
struct Chunk<T> {
    looked_at: usize,
    /// By their ids; none for one that is damaged.
    found: Vec<(i64, Option<T>)>,
}
