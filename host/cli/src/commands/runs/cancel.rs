//! `sandmill runs cancel`: ends a flow run for good, also one that another process runs.

use std::time::{Duration, Instant};

use sandmill::store::{FlowRecord, Reader, Store, StoreError};
use sandmill::{RunId, StateType};
use serde::Serialize;

use super::args::CancelArgs;
use super::find;
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
    let flow = find::flow(reader, &args.id)?;
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
    say(ui, &record)
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

fn say(ui: &Ui, record: &FlowRecord) -> Result<u8> {
    let ended = record.state.is_final();
    if ui.is_json() {
        let (run_id, state) = (record.run.to_string(), StateJson::of(&record.state));
        Results::new(ui).json(&CancelJson { run_id, state, ended })?;
    } else if ended {
        let (name, state) = (words::state_name(&record.state), words::because(&record.state));
        ui.talk(format_args!("flow run {} has ended: {name}{state}", record.run));
    } else {
        ui.talk(format_args!("asked for flow run {} to be cancelled", record.run));
    }
    Ok(exit_code::SUCCESS)
}
