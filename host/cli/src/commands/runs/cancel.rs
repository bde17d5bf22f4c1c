//! `sandmill runs cancel`: ends a flow run for good, or one run of it, also when another process
//! runs it.

use std::path::Path;
use std::time::{Duration, Instant};

use sandmill::flow_file::FlowFile;
use sandmill::store::{FlowRecord, FlowSource, Reader, RunKey, Store, StoreError};
use sandmill::{CancelledFlow, FlowError, RunId, State, StateType};
use serde::Serialize;

use super::args::CancelArgs;
use super::find::{self, Found};
use super::json::{flow_record, is_live};
use super::resume::Ready;
use super::words;
use crate::commands::run::{flow_error, under};
use crate::config::Config;
use crate::error::{CliError, Result};
use crate::flags::Settings;
use crate::output::progress::HookEnd;
use crate::output::{Results, StateJson, Ui, moment};
use crate::stores::{self, store_error};
use crate::{exit_code, signals};

/// How often the flow run is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// What the history says of a flow that was cancelled while nobody ran it.
const WHY: &str = "cancelled by `sandmill runs cancel`";

/// What became of the request, in JSON: `docs/schemas/runs-cancel.json`.
#[derive(Serialize)]
struct CancelJson {
    run_id: String,
    state: StateJson,
    ended: bool,
}

/// Cancels a flow run.
pub(super) fn cancel(args: &CancelArgs, ui: &Ui, config: &Config, reader: &Reader) -> Result<u8> {
    let flow = match find::any(reader, &args.id)? {
        Found::Flow(flow) => flow,
        Found::Run(flow, key) => return cancel_run(args, ui, config, reader, (flow, key)),
    };
    let record = flow_record(reader, flow)?;
    if record.state.is_final() {
        return Err(store_error(&StoreError::Ended { flow, state: record.state.kind }));
    }
    signals::listen();
    let asked = if is_live(&record) {
        Store::request_cancel(stores::directory(config)?, flow).map_err(|e| store_error(&e))?;
        true
    } else {
        take_and_cancel(ui, config, reader, flow)?
    };
    let record = if asked && !args.no_wait {
        wait(args, ui, config, reader, flow)?
    } else {
        flow_record(reader, flow)?
    };
    if !record.state.is_final() && signals::interrupted() {
        return Err(CliError::interrupted());
    }
    say(ui, "flow run", record.run, &record.state)
}

/// Cancels a flow run that nobody runs. Whether somebody else was asked to, because the store is
/// theirs.
fn take_and_cancel(ui: &Ui, config: &Config, reader: &Reader, flow: RunId) -> Result<bool> {
    match stores::try_open(config, "sandmill runs cancel", Duration::ZERO)? {
        Ok(store) => {
            let ended = match reader.source(flow) {
                Ok(source) if has_on_exit(&source) => with_hook(ui, config, &store, &source, flow),
                _ => match store.cancel_flow(flow, WHY, moment::now()) {
                    // What was over a moment before is as good.
                    Ok(()) | Err(StoreError::Ended { .. }) => Ok(()),
                    Err(error) => Err(store_error(&error)),
                },
            };
            store.close();
            ended.map(|()| false)
        }
        Err(StoreError::Held { .. }) => {
            Store::request_cancel(stores::directory(config)?, flow)
                .map_err(|error| store_error(&error))?;
            Ok(true)
        }
        Err(error) => Err(store_error(&error)),
    }
}

fn has_on_exit(source: &FlowSource) -> bool {
    let read = |text: &String| FlowFile::read(Path::new(&source.path), text).has_on_exit();
    source.text.as_ref().is_some_and(read)
}

/// Cancels a flow run that nobody runs and that has a hook on exit, which is called before it ends.
/// Ctrl-C stops the hook, and leaves the flow run as it was.
fn with_hook(
    ui: &Ui,
    config: &Config,
    store: &Store,
    source: &FlowSource,
    flow: RunId,
) -> Result<()> {
    let ready = Ready::open(config, store.clone(), source, &Settings::new())?;
    let options = under(&ready.host, &ready.overrides);
    match ready.host.cancel_interrupted(flow, WHY, &options) {
        Ok(CancelledFlow::Ended { hook_lost: None }) => {}
        Ok(CancelledFlow::Ended { hook_lost: Some(why) }) => {
            ui.warn("hook on_exit could not be called", &[why]);
        }
        Ok(CancelledFlow::Ending(future)) => {
            let stopper = future.stopper();
            signals::on_interrupt(move || stopper.interrupt("by Ctrl-C while its hook ran"));
            future.wait(None);
            for hook in future.report().hooks.iter().filter(|_| !signals::interrupted()) {
                let (name, run, state) = (hook.hook.into(), hook.run, hook.state.clone());
                let hook = HookEnd { name, run, state };
                if !hook.is_good() {
                    let (first, more) = hook.words();
                    ui.warn(format_args!("hook {} {first}", hook.name), &more);
                }
            }
        }
        Err(FlowError::Store(StoreError::Ended { .. })) => {}
        Err(error) => return Err(flow_error(&error)),
    }
    Ok(())
}

/// Waits until the flow run has ended.
fn wait(
    args: &CancelArgs,
    ui: &Ui,
    config: &Config,
    reader: &Reader,
    flow: RunId,
) -> Result<FlowRecord> {
    let asked = Instant::now();
    loop {
        let record = flow_record(reader, flow)?;
        if record.state.is_final() {
            return Ok(record);
        }
        // Whoever ran it has gone without ending it.
        if record.state.kind == StateType::Paused && reader.holder().is_none() {
            take_and_cancel(ui, config, reader, flow)?;
            if signals::interrupted() {
                return Err(CliError::interrupted());
            }
            continue;
        }
        if signals::interrupted() {
            return Err(CliError::interrupted());
        }
        if asked.elapsed() >= args.wait {
            let mut error = CliError::infrastructure(format!("flow run {flow} has not ended yet"))
                .hint(format!("`sandmill runs watch {flow}` goes on waiting"));
            error.code = exit_code::TIMED_OUT;
            return Err(error);
        }
        std::thread::sleep(PERIOD);
    }
}

/// Cancels one run of a task, which only the process that runs its flow can do.
fn cancel_run(
    args: &CancelArgs,
    ui: &Ui,
    config: &Config,
    reader: &Reader,
    (flow, key): (RunId, RunKey),
) -> Result<u8> {
    let find = || match reader.run(flow, key).map_err(|error| store_error(&error))? {
        Some(record) => Ok(record),
        None => Err(store_error(&StoreError::NoSuchFlow { flow })),
    };
    let run = find()?;
    if run.state.is_final() {
        let state = words::state_name(&run.state);
        return Err(CliError::input(format!("run {} has ended already: {state}", run.run)));
    }
    if !is_live(&flow_record(reader, flow)?) {
        let error =
            CliError::input(format!("nobody runs flow run {flow}, so its runs stand still"));
        return Err(error.hint(format!("`sandmill runs cancel {flow}` ends it for good")));
    }
    signals::listen();
    Store::request_cancel(stores::directory(config)?, run.run).map_err(|e| store_error(&e))?;
    let asked = Instant::now();
    let mut record = run;
    while !args.no_wait && !record.state.is_final() {
        if signals::interrupted() {
            return Err(CliError::interrupted());
        }
        if asked.elapsed() >= args.wait {
            let words = format!("run {} has not ended yet", record.run);
            let mut error = CliError::infrastructure(words)
                .hint(format!("`sandmill runs show {}` says where it stands", record.run));
            error.code = exit_code::TIMED_OUT;
            return Err(error);
        }
        std::thread::sleep(PERIOD);
        record = find()?;
    }
    say(ui, "run", record.run, &record.state)
}

fn say(ui: &Ui, what: &str, run: RunId, state: &State) -> Result<u8> {
    let ended = state.is_final();
    if ui.is_json() {
        let (run_id, state) = (run.to_string(), StateJson::of(state));
        Results::new(ui).json(&CancelJson { run_id, state, ended })?;
    } else if ended {
        let (name, why) = (words::state_name(state), words::because(state));
        ui.talk(format_args!("{what} {run} has ended: {name}{why}"));
    } else {
        ui.talk(format_args!("asked for {what} {run} to be cancelled"));
    }
    Ok(exit_code::SUCCESS)
}
