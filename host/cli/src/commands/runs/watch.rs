//! `sandmill runs watch`: the live display of a flow run that another process runs, made from what
//! is in the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandmill::store::{Reader, RunFilter, RunKey, RunRecord, StageSummary};
use sandmill::{End, EndKind, Outcome, RunId, StateType};

use super::args::WatchArgs;
use super::counts::{in_order, instant, view};
use super::find;
use super::json::{flow_record, is_live, is_resumable};
use super::list::time_taken;
use super::names::Names;
use crate::commands::run::{FlowEnd, report};
use crate::config::{Config, LogChoice};
use crate::error::Result;
use crate::output::progress::{Board, Failed, HookEnd, Running, Screen, Show, Watcher, is_hook};
use crate::output::{Ui, escape, moment};
use crate::stores::{self, store_error};
use crate::{exit_code, signals};

/// How often the store is looked at.
const PERIOD: Duration = Duration::from_millis(250);
/// Runs that are listed while they run.
const LISTED: usize = 9;
/// Failures that are told of.
const TOLD: usize = 20;

/// Shows a flow run until it ends.
pub(super) fn watch(
    args: &WatchArgs,
    ui: &Arc<Ui>,
    config: &Config,
    reader: &Reader,
) -> Result<u8> {
    let flow = find::flow(reader, &args.id)?;
    let record = flow_record(reader, flow)?;
    let watcher = Watcher::new(LogChoice::Off);
    if is_live(&record) {
        signals::listen();
        if ui.is_human() {
            ui.step("Watching", format_args!("{} {flow}", escape::line(&record.name)));
        }
        let mut mirror = Mirror::new(stores::reader(config)?, flow, record.based_on.is_some());
        let refresh = Box::new(move |board: &mut Board| mirror.refresh(board));
        let screen = Screen::refreshed(ui, &watcher, Show::Everything, refresh);
        while is_live(&flow_record(reader, flow)?) {
            if signals::interrupted() {
                drop(screen);
                ui.talk("not watching any more; the flow goes on");
                return Ok(exit_code::INTERRUPTED);
            }
            std::thread::sleep(PERIOD);
        }
        screen.stop();
    }
    end(ui, reader, flow, &watcher)
}

/// Says what became of a flow run that is not under way, and with what code to exit.
pub(crate) fn end_of_past(ui: &Ui, reader: &Reader, flow: RunId) -> Result<u8> {
    end(ui, reader, flow, &Watcher::new(LogChoice::Off))
}

fn end(ui: &Ui, reader: &Reader, flow: RunId, watcher: &Watcher) -> Result<u8> {
    let record = flow_record(reader, flow)?;
    let stages = in_order(reader, flow)?;
    let rerun = record.based_on.is_some();
    let mut board = watcher.board();
    if is_resumable(&record) {
        board.interrupted();
    }
    board.mirror(stages.iter().map(|stage| view(stage, rerun)).collect(), Vec::new());
    board.tell_hooks(hooks(reader, flow, &stages)?);
    if board.failures.is_empty() {
        let names = Names::of(&stages);
        for failure in failures(reader, flow, &names)? {
            board.tell_failure(failure);
        }
    }
    let outcome = reader.flow_outcome(flow).map_err(|error| store_error(&error))?;
    let outcome = outcome.unwrap_or_else(|| {
        let why = record.state.message.as_deref().unwrap_or("it has not ended");
        Outcome::Ended(End::new(EndKind::Cancelled, why))
    });
    let end = FlowEnd {
        run: flow,
        name: &record.name,
        state: record.state.clone(),
        outcome: &outcome,
        took: time_taken(&record, &stages, moment::now()),
        place: None,
        kept: true,
        late_reports: None,
    };
    report(ui, &end, &board)
}

/// The hooks of a flow run that have ended.
pub(super) fn hooks(reader: &Reader, flow: RunId, stages: &[StageSummary]) -> Result<Vec<HookEnd>> {
    let mut ended = Vec::new();
    for stage in stages.iter().filter(|stage| is_hook(stage.stage.stage)) {
        let key = RunKey { stage: stage.stage.stage, index: None };
        let run = reader.run(flow, key).map_err(|error| store_error(&error))?;
        let name = Arc::clone(&stage.stage.name);
        let ended_run = run.filter(|run| run.state.is_final());
        ended.extend(ended_run.map(|run| HookEnd { name, run: run.run, state: run.state }));
    }
    Ok(ended)
}

fn failures(reader: &Reader, flow: RunId, names: &Names) -> Result<Vec<Failed>> {
    let states = vec![StateType::Failed, StateType::Crashed];
    let filter = RunFilter { states, limit: TOLD, ..RunFilter::default() };
    let found = reader.runs(flow, &filter).map_err(|error| store_error(&error))?;
    Ok(found.into_iter().map(|run| failed(run, names)).collect())
}

fn failed(run: RunRecord, names: &Names) -> Failed {
    let name = names.run(run.key).into();
    Failed { run: run.run, name, state: run.state, lines: Vec::new() }
}

/// What is known of a flow run in another process, looked at again and again.
struct Mirror {
    reader: Reader,
    flow: RunId,
    rerun: bool,
    looked: Option<Instant>,
    told: HashSet<RunId>,
}

impl Mirror {
    fn new(reader: Reader, flow: RunId, rerun: bool) -> Self {
        Self { reader, flow, rerun, looked: None, told: HashSet::new() }
    }

    /// Puts on the board what is known by now. Where the store cannot be read for a moment, what is
    /// on it stays.
    fn refresh(&mut self, board: &mut Board) {
        if self.looked.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.looked = Some(Instant::now());
        let Ok(stages) = in_order(&self.reader, self.flow) else { return };
        let names = Names::of(&stages);
        let running = self.running(&names);
        self.tell_failures(board, &stages, &names);
        board.mirror(stages.iter().map(|stage| view(stage, self.rerun)).collect(), running);
    }

    fn running(&self, names: &Names) -> Vec<Running> {
        let states = vec![StateType::Running];
        let filter = RunFilter { states, limit: LISTED, ..RunFilter::default() };
        let found = self.reader.runs(self.flow, &filter).unwrap_or_default();
        let running = |run: RunRecord| Running {
            name: names.run(run.key).into(),
            elapsed: instant(run.started.unwrap_or(run.created)).elapsed(),
            progress: None,
        };
        found.into_iter().map(running).collect()
    }

    fn tell_failures(&mut self, board: &mut Board, stages: &[StageSummary], names: &Names) {
        let bad: u64 = stages.iter().map(|stage| stage.counts.failed + stage.counts.crashed).sum();
        if self.told.len() as u64 >= bad.min(TOLD as u64) {
            return;
        }
        for failure in failures(&self.reader, self.flow, names).unwrap_or_default() {
            if self.told.insert(failure.run) {
                board.tell_failure(failure);
            }
        }
    }
}
