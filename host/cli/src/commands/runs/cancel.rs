//! `sandmill runs cancel`: ends a flow run for good, or one run of it, also when another process
//! runs it.

use std::time::{Duration, Instant};

use sandmill::store::{FlowRecord, Reader, RunKey, Store, StoreError};
use sandmill::{RunId, State, StateType};
use serde::Serialize;

use super::args::CancelArgs;
use super::find::{self, Found};
use super::json::{flow_record, is_live};
use super::words;
use crate::config::Config;
use crate::error::{CliError, Result};
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
        take_and_cancel(config, flow)?
    };
    let record = if asked && !args.no_wait {
        wait(args, config, reader, flow)?
    } else {
        flow_record(reader, flow)?
    };
    say(ui, "flow run", record.run, &record.state)
}

/// Cancels a flow run that nobody runs. Whether somebody else was asked to, because the store is
/// theirs.
fn take_and_cancel(config: &Config, flow: RunId) -> Result<bool> {
    match stores::try_open(config, "sandmill runs cancel", Duration::ZERO)? {
        Ok(store) => {
            let ended = store.cancel_flow(flow, WHY, moment::now());
            store.close();
            match ended {
                // What was over a moment before is as good.
                Ok(()) | Err(StoreError::Ended { .. }) => Ok(false),
                Err(error) => Err(store_error(&error)),
            }
        }
        Err(StoreError::Held { .. }) => {
            Store::request_cancel(stores::directory(config)?, flow)
                .map_err(|error| store_error(&error))?;
            Ok(true)
        }
        Err(error) => Err(store_error(&error)),
    }
}

/// Waits until the flow run has ended.
fn wait(args: &CancelArgs, config: &Config, reader: &Reader, flow: RunId) -> Result<FlowRecord> {
    let asked = Instant::now();
    loop {
        let record = flow_record(reader, flow)?;
        if record.state.is_final() {
            return Ok(record);
        }
        // Whoever ran it has gone without ending it.
        if record.state.kind == StateType::Paused && reader.holder().is_none() {
            take_and_cancel(config, flow)?;
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
