//! `sandmill runs delete` and `prune`: flow runs go, with their results and logs.

use std::collections::HashSet;
use std::time::Duration;

use sandmill::core::Timestamp;
use sandmill::core::units::format_size;
use sandmill::store::{FlowFilter, FlowList, LogStore, MAX_LIST, Pruned, Reader, Store};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::{DeleteArgs, PruneArgs};
use super::find;
use crate::config::Config;
use crate::error::{CliError, Result};
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
    /// What may have been meant and could not be read.
    damaged: Vec<String>,
}

/// Deletes flow runs.
pub(super) fn delete(args: &DeleteArgs, ui: &Ui, config: &Config, reader: &Reader) -> Result<u8> {
    let mut flows = Vec::with_capacity(args.ids.len());
    let mut wrong = Vec::new();
    for id in &args.ids {
        match find::flow(reader, id) {
            Ok(flow) if flows.contains(&flow) => {}
            Ok(flow) => flows.push(flow),
            Err(error) => wrong.push(error),
        }
    }
    if let Some(error) = all_of(wrong) {
        return Err(error);
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
    let Old { flows, damaged } = old(reader, &states, before)?;
    deleted.damaged = damaged;
    if args.dry_run {
        for flow in flows {
            let stages = reader.stages(flow).map_err(|error| store_error(&error))?;
            deleted.flows.push(flow.to_string());
            deleted.runs += stages.iter().map(|stage| stage.counts.all()).sum::<u64>();
        }
        return say(ui, &deleted);
    }
    let store = stores::open(config, "sandmill runs prune")?;
    remove(&store, reader, &flows, &mut deleted)?;
    // What has expired, and files that nothing names, whoever named them.
    let nothing = Timestamp::from_micros(0);
    let pruned = store.prune(nothing, now).map_err(|error| store_error(&error))?;
    deleted.count(&pruned);
    store.close();
    say(ui, &deleted)
}

/// Flow runs that are to be pruned.
#[derive(Default)]
struct Old {
    flows: Vec<RunId>,
    /// Words about those of which is not known whether they are.
    damaged: Vec<String>,
}

/// Flow runs that ended before, in one of these states, and are not part of another.
fn old(reader: &Reader, states: &[StateType], before: Timestamp) -> Result<Old> {
    let ended = [StateType::Completed, StateType::Failed, StateType::Crashed, StateType::Cancelled];
    let states: Vec<StateType> = match states {
        [] => ended.to_vec(),
        states => states.iter().copied().filter(|state| state.is_final()).collect(),
    };
    let mut old = Old::default();
    if states.is_empty() {
        return Ok(old);
    }
    let (mut until, mut seen, mut told) = (before, HashSet::new(), HashSet::new());
    loop {
        let filter = FlowFilter {
            states: states.clone(),
            until: Some(until),
            limit: MAX_LIST,
            ..FlowFilter::default()
        };
        let FlowList { flows, damaged } =
            reader.list_flows(&filter).map_err(|error| store_error(&error))?;
        let is_last = flows.len() + damaged.len() < MAX_LIST;
        let words = damaged.iter().map(ToString::to_string);
        old.damaged.extend(words.filter(|words| told.insert(words.clone())));
        // A list has an end, and the newest come first: the next one goes on with those that were
        // made when the last of this one was, or before.
        let next = flows.iter().map(|flow| flow.created).min().map_or(until, just_after);
        for flow in flows.into_iter().filter(|flow| seen.insert(flow.run)) {
            if flow.parent.is_none() && flow.ended.is_some_and(|at| at < before) {
                old.flows.push(flow.run);
            }
        }
        if is_last || next >= until {
            return Ok(old);
        }
        until = next;
    }
}

fn just_after(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(1))
}

/// One error for all of them.
fn all_of(errors: Vec<CliError>) -> Option<CliError> {
    let mut errors = errors.into_iter();
    let mut all = errors.next()?;
    for error in errors {
        all.details.push(error.message);
        all.details.extend(error.details);
        all.hints.extend(
            error.hints.into_iter().filter(|hint| !all.hints.contains(hint)).collect::<Vec<_>>(),
        );
    }
    Some(all)
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
        all.extend(reader.flow_tree(*flow).map_err(|error| store_error(&error))?);
    }
    let pruned = store.delete_flows(flows).map_err(|error| store_error(&error))?;
    deleted.count(&pruned);
    deleted.flows.extend(flows.iter().map(ToString::to_string));
    let logs = LogStore::open(store.dir());
    deleted.log_lines += logs.delete(&all).map_err(|error| store_error(&error))?;
    logs.flush(LOGS_TIME);
    Ok(())
}

fn say(ui: &Ui, deleted: &DeleteJson) -> Result<u8> {
    for what in &deleted.damaged {
        ui.warn(format_args!("{what}: `sandmill runs delete` with its id deletes it"), &[]);
    }
    // Not everything was done that was asked for.
    let code = match &*deleted.damaged {
        [] => exit_code::SUCCESS,
        _ => exit_code::INFRASTRUCTURE,
    };
    if ui.is_json() {
        Results::new(ui).json(deleted)?;
        return Ok(code);
    }
    let flows = counted(deleted.flows.len() as u64, "flow run");
    let runs = counted(deleted.runs, "run");
    if deleted.dry_run {
        if !deleted.flows.is_empty() {
            Results::new(ui).print(&deleted.flows.join("\n"))?;
        }
        ui.talk(format_args!("would delete {flows} with {runs}"));
        return Ok(code);
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
    Ok(code)
}
