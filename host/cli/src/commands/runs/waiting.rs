//! Why a run waits that has not started: what was said of it, host by host, or of another run that
//! needs the same.

use sandmill::StateType;
use sandmill::store::{FlowRecord, Reader, RunFilter, RunRecord};

use super::names::Names;
use crate::error::Result;
use crate::output::moment;
use crate::stores::store_error;
use crate::text::counted;

/// What to do about runs that hosts do not take.
pub(super) const HINT: &str =
    "`sandmill workers` shows what workers there are, and what each carries and has";

/// Why a run waits, and whether that is known of hosts.
pub(super) fn of_run(
    reader: &Reader,
    flow: &FlowRecord,
    run: &RunRecord,
    names: &Names,
) -> Result<(String, bool)> {
    if let Some(why) = said(run) {
        return Ok((format!("it waits: {why}"), true));
    }
    // It is said of the first of those that need the same, and runs of a stage do.
    let filter = RunFilter {
        stage: Some(names.stage(run.key).to_owned()),
        states: vec![StateType::Pending],
        ..RunFilter::default()
    };
    let alike = reader.runs(flow.run, &filter).map_err(|error| store_error(&error))?;
    let first = alike.iter().find_map(|other| Some((other, said(other)?)));
    Ok(match first {
        Some((other, why)) => (format!("it waits as {} does: {why}", names.run(other.key)), true),
        None => ("it waits for a slot: the runs before it use all of them".to_owned(), false),
    })
}

/// Why runs of a flow wait, for the first `most` reasons: each with the first run that it is said of.
pub(super) fn of_flow(reader: &Reader, flow: &FlowRecord, most: usize) -> Result<Vec<String>> {
    let filter = RunFilter { states: vec![StateType::Pending], ..RunFilter::default() };
    let pending = reader.runs(flow.run, &filter).map_err(|error| store_error(&error))?;
    let mut told: Vec<(&RunRecord, u64)> = Vec::new();
    for run in pending.iter().filter(|run| run.state.message.is_some()) {
        let same = |(first, _): &(&RunRecord, u64)| first.state.message == run.state.message;
        match told.iter().position(same) {
            Some(at) => told[at].1 += 1,
            None if told.len() < most => told.push((run, 0)),
            None => {}
        }
    }
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let names = Names::read(reader, flow.run)?;
    let line = |(run, others): &(&RunRecord, u64)| {
        let (name, why) = (names.run(run.key), said(run)?);
        Some(match others {
            0 => format!("{name} waits: {why}"),
            others => format!("{name} and {} wait: {why}", counted(*others, "other")),
        })
    };
    Ok(told.iter().filter_map(line).collect())
}

/// What was said of it, and when.
fn said(run: &RunRecord) -> Option<String> {
    let why = run.state.message.as_deref()?;
    let when = moment::ago(run.state.at, moment::now());
    Some(format!("{why} (said {when})"))
}
