//! `sandmill runs logs`: what the guests logged.

use std::collections::HashMap;
use std::io::{self, Write as _};

use sandmill::RunId;
use sandmill::core::LogLine;
use sandmill::store::{LogQuery, LogReader, LogRecord, LogScope, Reader};
use serde::Serialize;

use super::args::LogsArgs;
use super::events::FOLLOW_PERIOD;
use super::find::{self, Found};
use super::json::{flow_record, is_live, run_record};
use super::names::Names;
use crate::error::{CliError, Result};
use crate::output::progress::log_line;
use crate::output::{Results, Ui, cannot_write, is_broken_pipe, moment};
use crate::stores::store_error;
use crate::{exit_code, signals};

/// Names of runs that are remembered; more are looked up again.
const REMEMBERED: usize = 10_000;

/// A line in JSON: `docs/schemas/runs-log.json`.
#[derive(Serialize)]
struct LogJson<'a> {
    at_micros: u64,
    run_id: String,
    name: &'a str,
    #[serde(flatten)]
    line: &'a LogLine,
}

/// Who a run is: its name, and the name of its stage.
#[derive(Clone)]
struct Who {
    name: String,
    stage: String,
}

/// Prints log lines.
pub(super) fn logs(args: &LogsArgs, ui: &Ui, reader: &Reader, lines: &LogReader) -> Result<u8> {
    let found = find::any(reader, &args.id)?;
    let flow = found.flow();
    let scope = match found {
        Found::Flow(flow) => LogScope::Flow(flow),
        Found::Run(flow, key) => {
            let record = run_record(reader, flow, key)?;
            if let Some(from) = record.value_of {
                ui.talk(format_args!("it did not run: its value is that of run {from}"));
            }
            LogScope::Run(record.run)
        }
    };
    if let Some(task) = &args.task {
        let stages = reader.stages(flow).map_err(|error| store_error(&error))?;
        if stages.iter().all(|stage| &*stage.stage.name != task) {
            return Err(CliError::input(format!("the flow run has no task `{task}`")));
        }
    }
    if args.follow {
        signals::listen();
    }
    let own = (flow, flow_record(reader, flow)?.name.to_string());
    let mut printer =
        Printer { ui, reader, own, flow, known: HashMap::new(), names: Names::read(reader, flow)? };
    let mut results = Results::new(ui);
    let mut query = LogQuery { level: args.level.level(), ..LogQuery::new(scope) };
    loop {
        // Asked before the lines are read, so that none of the last ones is missed.
        let live = is_live(&flow_record(reader, flow)?);
        let (page, next) = lines.lines(&query).map_err(|error| store_error(&error))?;
        query.after = next;
        for record in &page {
            let who = printer.who(record.run)?;
            if args.task.as_ref().is_some_and(|task| *task != who.stage) {
                continue;
            }
            let written = results.line(|out| printer.write(out, record, &who));
            if let Err(error) = written {
                return if is_broken_pipe(&error) {
                    Ok(exit_code::SUCCESS)
                } else {
                    Err(cannot_write(&error))
                };
            }
        }
        if !page.is_empty() {
            continue;
        }
        match results.flush() {
            Err(error) if is_broken_pipe(&error) => return Ok(exit_code::SUCCESS),
            flushed => flushed.map_err(|error| cannot_write(&error))?,
        }
        if !args.follow || !live {
            return Ok(exit_code::SUCCESS);
        }
        if signals::interrupted() {
            return Ok(exit_code::INTERRUPTED);
        }
        std::thread::sleep(FOLLOW_PERIOD);
    }
}

struct Printer<'a> {
    ui: &'a Ui,
    reader: &'a Reader,
    /// The flow run that is shown, and its name.
    own: (RunId, String),
    /// The flow run that `names` is of.
    flow: RunId,
    known: HashMap<RunId, Who>,
    names: Names,
}

impl Printer<'_> {
    fn who(&mut self, run: RunId) -> Result<Who> {
        if let Some(who) = self.known.get(&run) {
            return Ok(who.clone());
        }
        let who = match self.reader.find_run(&run.to_string()) {
            Ok((flow, key)) => {
                if flow != self.flow || self.names.stage(key) == "?" {
                    self.names = Names::read(self.reader, flow)?;
                    self.flow = flow;
                }
                Who { name: self.names.run(key), stage: self.names.stage(key).to_owned() }
            }
            // What a hook that is a command wrote is the flow's own.
            Err(_) if run == self.own.0 => Who { name: self.own.1.clone(), stage: String::new() },
            // One of a run that is not written down yet.
            Err(_) => Who { name: run.to_string(), stage: String::new() },
        };
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(run, who.clone());
        Ok(who)
    }

    fn write(&self, out: &mut Vec<u8>, record: &LogRecord, who: &Who) -> io::Result<()> {
        if self.ui.is_json() {
            let json = LogJson {
                at_micros: record.at.as_micros(),
                run_id: record.run.to_string(),
                name: &who.name,
                line: &record.line,
            };
            return serde_json::to_writer(out, &json).map_err(io::Error::from);
        }
        let at = console::Style::new().dim().apply_to(moment::utc_millis(record.at));
        write!(out, "{at}  {}", log_line(&who.name, &record.line))
    }
}
