//! `sandmill runs result`: the value that a flow run or a run came to.

use sandmill::store::Reader;
use sandmill::{Outcome, State, Value};
use serde::Serialize;

use super::args::ResultArgs;
use super::find::{self, Found};
use super::json::{flow_record, run_record};
use super::names::Names;
use crate::commands::call::write_raw;
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::output::{
    OutcomeJson, Results, StateJson, Ui, describe_outcome, escape, optional_raw, value_for_people,
};
use crate::session;
use crate::stores::store_error;

/// A result in JSON: `docs/schemas/runs-result.json`.
#[derive(Serialize)]
struct ResultJson<'a> {
    run_id: String,
    name: &'a str,
    state: StateJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    value: Option<&'a Value>,
}

/// Prints a result.
pub(super) fn result(args: &ResultArgs, ui: &Ui, reader: &Reader) -> Result<u8> {
    let (id, name, state, outcome): (_, String, State, Option<Outcome>) =
        match find::any(reader, &args.id)? {
            Found::Flow(flow) => {
                let record = flow_record(reader, flow)?;
                let outcome = reader.flow_outcome(flow).map_err(|error| store_error(&error))?;
                (flow, record.name.to_string(), record.state, outcome)
            }
            Found::Run(flow, key) => {
                let record = run_record(reader, flow, key)?;
                let outcome = reader.outcome(flow, key).map_err(|error| store_error(&error))?;
                (record.run, Names::read(reader, flow)?.run(key), record.state, outcome)
            }
        };
    if ui.is_json() {
        Results::new(ui).json(&ResultJson {
            run_id: id.to_string(),
            name: &name,
            state: StateJson::of(&state),
            outcome: outcome.as_ref().map(OutcomeJson::of),
            value: outcome.as_ref().and_then(Outcome::value),
        })?;
    }
    match &outcome {
        Some(Outcome::Value(value)) => {
            if let Some(path) = &args.raw {
                write_raw(ui, path, value)?;
            } else if !ui.is_json() {
                let pretty = ui.is_human() && ui.stdout_terminal;
                Results::new(ui).print(&value_for_people(value, pretty))?;
            }
        }
        _ if ui.is_json() => {}
        Some(outcome) => {
            let (first, rest) = describe_outcome(outcome);
            let error = CliError::infrastructure(format!("`{}` {first}", escape::line(&name)));
            ui.error(&error.details(rest).hint(format!("`sandmill runs explain {id}` says why")));
        }
        None => {
            return Err(CliError::input(format!(
                "`{}` has no result: it is {}",
                escape::line(&name),
                super::words::state_name(&state)
            ))
            .hint(format!("`sandmill runs explain {id}` says why")));
        }
    }
    Ok(match &outcome {
        Some(outcome) => session::exit_code_of(outcome),
        None => exit_code::INVALID_INPUT,
    })
}
