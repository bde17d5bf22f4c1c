//! `sandmill runs events`: what happened, in order.

use std::io::Write as _;
use std::time::Duration;

use sandmill::RunId;
use sandmill::store::{HistoryEvent, HistoryKind, Reader};
use serde::Serialize;

use super::args::EventsArgs;
use super::find::{self, Found};
use super::json::{NoteJson, flow_record, is_live};
use super::names::Names;
use super::words;
use crate::error::Result;
use crate::output::{Results, StateJson, Ui, cannot_write, escape, is_broken_pipe, moment, short};
use crate::stores::store_error;
use crate::{exit_code, signals};

/// Events that are read at a time.
const PAGE: usize = 2_000;
/// How often a flow run that goes on is looked at again.
pub(super) const FOLLOW_PERIOD: Duration = Duration::from_millis(200);

/// An event in JSON: `docs/schemas/runs-event.json`.
#[derive(Serialize)]
struct EventJson {
    at_micros: u64,
    run_id: String,
    name: String,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StateJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<NoteJson>,
}

/// Prints the events of a flow run, or those of one of its runs.
pub(super) fn events(args: &EventsArgs, ui: &Ui, reader: &Reader) -> Result<u8> {
    let found = find::any(reader, &args.id)?;
    let flow = found.flow();
    let record = flow_record(reader, flow)?;
    let mut names = Names::read(reader, flow)?;
    let mut results = Results::new(ui);
    let mut cursor = None;
    if args.follow {
        signals::listen();
    }
    loop {
        // Asked before the events are read, so that none of the last ones is missed.
        let live = is_live(&flow_record(reader, flow)?);
        let (page, next) =
            reader.events(flow, cursor.take(), PAGE).map_err(|error| store_error(&error))?;
        let is_end = next.is_at_end();
        cursor = Some(next);
        let unknown =
            |event: &HistoryEvent| event.run.is_some_and(|(_, key)| names.stage(key) == "?");
        if page.iter().any(unknown) {
            names = Names::read(reader, flow)?;
        }
        let none = page.is_empty();
        for event in page.iter().filter(|event| is_of(event, found)) {
            let line = line(ui, flow, &record.name, &names, event);
            match results.line(|out| out.write_all(line.as_bytes())) {
                Err(error) if is_broken_pipe(&error) => return Ok(exit_code::SUCCESS),
                written => written.map_err(|error| cannot_write(&error))?,
            }
        }
        if none && is_end && (!args.follow || !live) {
            break;
        }
        if none {
            if !args.follow {
                break;
            }
            if let Err(error) = results.flush() {
                return if is_broken_pipe(&error) {
                    Ok(exit_code::SUCCESS)
                } else {
                    Err(cannot_write(&error))
                };
            }
            if signals::interrupted() {
                return Ok(exit_code::INTERRUPTED);
            }
            std::thread::sleep(FOLLOW_PERIOD);
        }
    }
    match results.flush() {
        Err(error) if !is_broken_pipe(&error) => Err(cannot_write(&error)),
        _ => Ok(exit_code::SUCCESS),
    }
}

fn is_of(event: &HistoryEvent, found: Found) -> bool {
    match found {
        Found::Flow(_) => true,
        Found::Run(_, key) => event.run.is_some_and(|(_, of)| of == key),
    }
}

fn line(ui: &Ui, flow: RunId, flow_name: &str, names: &Names, event: &HistoryEvent) -> String {
    let (run, name) = match event.run {
        Some((run, key)) => (run, names.run(key)),
        None => (flow, flow_name.to_owned()),
    };
    if ui.is_json() {
        let (kind, state, note) = match &event.kind {
            HistoryKind::State(state) => ("state", Some(StateJson::of(state)), None),
            HistoryKind::Note { kind, message } => {
                let at_micros = event.at.as_micros();
                let (kind, message) = (kind.clone(), message.clone());
                ("note", None, Some(NoteJson { at_micros, kind, message }))
            }
        };
        let (run_id, at_micros) = (run.to_string(), event.at.as_micros());
        let json = EventJson { at_micros, run_id, name, kind, state, note };
        // Text and numbers always have a JSON form.
        return serde_json::to_string(&json).unwrap_or_default();
    }
    let what = match &event.kind {
        HistoryKind::State(state) => {
            format!("{}{}", words::state_cell(state), words::because(state))
        }
        HistoryKind::Note { kind, message } => format!("{}: {}", short(kind), short(message)),
    };
    let at = console::Style::new().dim().apply_to(moment::utc_millis(event.at));
    format!("{at}  {}  {what}", escape::line(&name))
}
