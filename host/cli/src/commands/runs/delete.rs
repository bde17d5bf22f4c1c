//! `sandmill runs delete` and `prune`: flow runs go, with their results and logs.

use std::time::Duration;

use sandmill::core::Timestamp;
use sandmill::core::units::format_size;
use sandmill::store::{FlowFilter, FlowRecord, LogStore, MAX_LIST, Pruned, Reader, Store};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::{DeleteArgs, PruneArgs};
use super::find;
use crate::config::Config;
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Ui, moment};
use crate::stores::{self, store_error};
use crate::text::counted;

/// How long the deletion of log lines may take before the command ends.
const LOGS_TIME: Duration = Duration::from_secs(60);

/// What was deleted, in JSON: `docs/schemas/runs-delete.json`.
#[derive(Debug, Default, Serialize)]
struct DeleteJson {
    flows: Vec<String>,
    runs: u64,
    cached: u64,
    blobs: u64,
    blob_bytes: u64,
    log_lines: u64,
    dry_run: bool,
}

/// Deletes flow runs.
pub(super) fn delete(args: &DeleteArgs, ui: &Ui, config: &Config, reader: &Reader) -> Result<u8> {
    let mut flows = Vec::with_capacity(args.ids.len());
    for id in &args.ids {
        let flow = find::flow(reader, id)?;
        if !flows.contains(&flow) {
            flows.push(flow);
        }
    }
    let store = stores::open(config, "sandmill runs delete")?;
    let mut deleted = DeleteJson::default();
    remove(&store, reader, &flows, &mut deleted)?;
    store.close();
    say(ui, &deleted)
}

/// Deletes flow runs that ended long ago.
pub(super) fn prune(args: &PruneArgs, ui: &Ui, config: &Config, reader: &Reader) -> Result<u8> {
    let now = moment::now();
    let back = u64::try_from(args.older_than.as_micros()).unwrap_or(u64::MAX);
    let before = Timestamp::from_micros(now.as_micros().saturating_sub(back));
    let states: Vec<StateType> = args.state.iter().map(|word| word.kind()).collect();
    let mut deleted = DeleteJson { dry_run: args.dry_run, ..DeleteJson::default() };
    if args.dry_run {
        for flow in &old(reader, &states, before)? {
            deleted.flows.push(flow.run.to_string());
            let stages = reader.stages(flow.run).map_err(|error| store_error(&error))?;
            deleted.runs += stages.iter().map(|stage| stage.counts.all()).sum::<u64>();
        }
        return say(ui, &deleted);
    }
    let store = stores::open(config, "sandmill runs prune")?;
    // A list has an end; what it did not hold comes with the next one.
    loop {
        let flows: Vec<RunId> = old(reader, &states, before)?.iter().map(|flow| flow.run).collect();
        if flows.is_empty() {
            break;
        }
        remove(&store, reader, &flows, &mut deleted)?;
    }
    // What has expired, and files that nothing names, whoever named them.
    let nothing = Timestamp::from_micros(0);
    let pruned = store.prune(nothing, now).map_err(|error| store_error(&error))?;
    deleted.count(&pruned);
    store.close();
    say(ui, &deleted)
}

/// Flow runs that ended before, in one of these states, and are not part of another.
fn old(reader: &Reader, states: &[StateType], before: Timestamp) -> Result<Vec<FlowRecord>> {
    let ended = [StateType::Completed, StateType::Failed, StateType::Crashed, StateType::Cancelled];
    let states = match states {
        [] => ended.to_vec(),
        states => states.iter().copied().filter(|state| state.is_final()).collect(),
    };
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let filter =
        FlowFilter { states, until: Some(before), limit: MAX_LIST, ..FlowFilter::default() };
    let mut flows = reader.flows(&filter).map_err(|error| store_error(&error))?;
    flows.retain(|flow| flow.parent.is_none() && flow.ended.is_some_and(|at| at < before));
    Ok(flows)
}

impl DeleteJson {
    fn count(&mut self, pruned: &Pruned) {
        self.runs += pruned.runs;
        self.cached += pruned.cached;
        self.blobs += pruned.blobs;
        self.blob_bytes += pruned.blob_bytes;
    }
}

/// Deletes these flow runs with everything below them, and what they logged.
fn remove(store: &Store, reader: &Reader, flows: &[RunId], deleted: &mut DeleteJson) -> Result<()> {
    let mut all = Vec::new();
    for flow in flows {
        with_parts(reader, *flow, &mut all)?;
    }
    let pruned = store.delete_flows(flows).map_err(|error| store_error(&error))?;
    deleted.count(&pruned);
    deleted.flows.extend(flows.iter().map(ToString::to_string));
    let logs = LogStore::open(store.dir());
    deleted.log_lines += logs.delete(&all).map_err(|error| store_error(&error))?;
    logs.flush(LOGS_TIME);
    Ok(())
}

/// A flow run and the sub-flows below it.
fn with_parts(reader: &Reader, flow: RunId, all: &mut Vec<RunId>) -> Result<()> {
    all.push(flow);
    let filter = FlowFilter { parent: Some(flow), limit: MAX_LIST, ..FlowFilter::default() };
    for part in reader.flows(&filter).map_err(|error| store_error(&error))? {
        with_parts(reader, part.run, all)?;
    }
    Ok(())
}

fn say(ui: &Ui, deleted: &DeleteJson) -> Result<u8> {
    if ui.is_json() {
        Results::new(ui).json(deleted)?;
        return Ok(exit_code::SUCCESS);
    }
    let flows = counted(deleted.flows.len() as u64, "flow run");
    let runs = counted(deleted.runs, "run");
    if deleted.dry_run {
        if !deleted.flows.is_empty() {
            Results::new(ui).print(&deleted.flows.join("\n"))?;
        }
        ui.talk(format_args!("would delete {flows} with {runs}"));
        return Ok(exit_code::SUCCESS);
    }
    let mut text = format!("deleted {flows} with {runs}");
    if deleted.blobs > 0 {
        let files = counted(deleted.blobs, "file");
        text.push_str(&format!(", {files} of {}", format_size(deleted.blob_bytes)));
    }
    if deleted.cached > 0 {
        text.push_str(&format!(", {}", counted(deleted.cached, "expired result")));
    }
    if deleted.log_lines > 0 {
        text.push_str(&format!(", {}", counted(deleted.log_lines, "line")));
        text.push_str(" of logs");
    }
    ui.talk(text);
    Ok(exit_code::SUCCESS)
}
