//! Reading ahead: when the runs of a map are asked for one after the other, as a flow that is taken
//! up does, many are read at a time. What a record means is in `recorded`.

use std::collections::{HashMap, VecDeque};

use rusqlite::Connection;

use crate::record::RunKey;
use crate::rows::{RUN_COLUMNS, RunRow};

/// The most rows that are read at a time.
const MAX_ROWS: usize = 1024;

/// Bytes of small results after which no more rows are read: 4 MiB.
const MAX_BYTES: usize = 4 << 20;

/// Rows of one stage that were read ahead.
///
/// Nobody but the flow's own journal writes to its runs: what was read holds for a run until
/// something is said of it, or of one after it.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// By stage: from which position on nothing was said of any run since the journal is there.
    untouched: HashMap<u32, u64>,
    /// The run that was asked for last.
    last: Option<(u32, u64)>,
    page: Option<Page>,
}

/// What is known of the runs of a stage from one position to another.
#[derive(Debug)]
struct Page {
    stage: u32,
    from: u64,
    /// The first position of which nothing is known.
    until: u64,
    /// Rows by position, in order; those of positions before `from` are gone. None: one of them is
    /// damaged, so that each has to be asked for by its place.
    rows: Option<VecDeque<RunRow>>,
}

impl Ahead {
    /// Something is said of a run.
    pub(crate) fn touch(&mut self, key: RunKey) {
        let Some(index) = key.index else { return };
        let from = self.untouched.entry(key.stage).or_default();
        *from = (*from).max(index.saturating_add(1));
    }

    /// The row of a run of the flow, where it was read ahead or is one of many that are asked for
    /// in order. None: it has to be looked for by its place. The inner none: it has no row.
    pub(crate) fn find(
        &mut self,
        reader: &Connection,
        flow: i64,
        key: RunKey,
    ) -> rusqlite::Result<Option<Option<RunRow>>> {
        let RunKey { stage, index: Some(index) } = key else { return Ok(None) };
        let follows = index.checked_sub(1).is_some_and(|last| self.last == Some((stage, last)));
        self.last = Some((stage, index));
        if self.untouched.get(&stage).is_some_and(|from| index < *from) {
            return Ok(None);
        }
        let has =
            |page: &&mut Page| page.stage == stage && (page.from..page.until).contains(&index);
        if self.page.as_mut().filter(has).is_none() {
            if !follows {
                return Ok(None);
            }
            self.page = Some(Page::read(reader, flow, stage, index)?);
        }
        Ok(self.page.as_mut().filter(has).and_then(|page| page.take(index)))
    }
}

impl Page {
    fn read(reader: &Connection, flow: i64, stage: u32, from: u64) -> rusqlite::Result<Self> {
        let sql = format!(
            "SELECT {RUN_COLUMNS} FROM runs INDEXED BY sqlite_autoindex_runs_2 \
             WHERE flow = ? AND stage = ? AND idx >= ? ORDER BY idx LIMIT {MAX_ROWS}"
        );
        let damaged = |until| Self { stage, from, until, rows: None };
        let Ok(first) = i64::try_from(from) else { return Ok(damaged(u64::MAX)) };
        let mut select = reader.prepare_cached(&sql)?;
        let mut found = select.query((flow, stage, first))?;
        let (mut rows, mut bytes, mut until) = (VecDeque::new(), 0, from);
        let mut is_whole = true;
        while let Some(row) = found.next()? {
            let index = match RunRow::read(row)? {
                Some(row) if row.flow == flow && row.key.stage == stage => {
                    let index = row.key.index.filter(|index| *index >= until);
                    bytes += row.kept.as_ref().map_or(0, crate::rows::Kept::bytes_in_row);
                    rows.push_back(row);
                    index
                }
                _ => None,
            };
            let Some(index) = index else {
                is_whole = false;
                break;
            };
            until = index.saturating_add(1);
            if bytes > MAX_BYTES {
                return Ok(Self { stage, from, until, rows: Some(rows) });
            }
        }
        if !is_whole {
            // Until there is somebody whom it does not concern.
            return Ok(damaged(from.saturating_add(MAX_ROWS as u64)));
        }
        if rows.len() < MAX_ROWS {
            // There are no others.
            until = u64::MAX;
        }
        Ok(Self { stage, from, until, rows: Some(rows) })
    }

    /// Takes what is known of a run, and lets go of what is known of those before it.
    fn take(&mut self, index: u64) -> Option<Option<RunRow>> {
        let rows = self.rows.as_mut()?;
        self.from = index.saturating_add(1);
        while rows.front().is_some_and(|row| row.key.index < Some(index)) {
            rows.pop_front();
        }
        let is_it = rows.front().is_some_and(|row| row.key.index == Some(index));
        Some(if is_it { rows.pop_front() } else { None })
    }
}
