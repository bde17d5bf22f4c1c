//! `sandmill run`: a flow, built where that is asked for, checked as a whole, then run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use sandmill::core::units::format_duration;
use sandmill::flow_file::{
    Build, ComponentSpec, FlowFile, FlowRunFuture, FlowRunner, Given, ParameterType, Plan,
};
use sandmill::value::Bounds;
use sandmill::{Host, LimitOverrides, Limits, Outcome, Value};

use super::run_report::{self, Run};
use crate::arguments::Assignment;
use crate::build::{Toolchain, build_crate, run_command};
use crate::config::{Config, ExecutorKind, LogChoice};
use crate::error::{CliError, Result};
use crate::flags::{ExecutorFlags, GrantFlags, LimitFlags, LogFlags, Settings};
use crate::output::Ui;
use crate::output::progress::{Screen, Show, Watcher};
use crate::overrides::Overrides;
use crate::text::counted;
use crate::{session, signals};

/// The name of a flow file in its folder.
const FLOW_FILE: &str = "flow.toml";

const EXAMPLES: &str = "\
Examples:
  sandmill run --build examples/census             build what the flow names, then run it
  sandmill run examples/census -p root=./src -p top=5
  sandmill run flow.toml --executor inline --logs  one run at a time, with all it logs
  sandmill run flow.toml --output json | jq .result

The whole file is checked first: all faults are printed with line and column, and nothing runs.
Limits and grants given as flags stand over those in the file.

Exit codes: 0 all succeeded, 1 a run failed, 2 the flow or a parameter is invalid,
3 infrastructure, 124 runs failed and all that did timed out, 130 interrupted.";

/// Runs a flow and prints its result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// The flow: a flow.toml, or a folder that holds one.
    flow: PathBuf,
    /// Build the components that the flow says how to build: with `cargo component` where it is
    /// installed, else with plain cargo. Adds a missing wasm target through rustup.
    #[arg(long)]
    build: bool,
    /// A parameter of the flow: VALUE is text, or JSON, by the parameter's type; `@FILE` is the
    /// file's bytes; `@@` stands for a leading `@`.
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    parameters: Vec<Assignment>,
    #[command(flatten)]
    executor: ExecutorFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    logs: LogFlags,
}

impl RunArgs {
    /// The flags that stand for settings; limits do not: they stand over the flow's own.
    pub(crate) fn settings(&self) -> Settings {
        [self.executor.settings(), self.logs.settings()].concat()
    }
}

/// Runs the flow.
pub(crate) fn run(args: &RunArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    let path = flow_path(&args.flow)?;
    let file = FlowFile::read(&path, &read(&path)?);
    signals::listen();
    // A file that is wrong by itself is not worth building for.
    let sound = file.faults().is_empty();
    if args.build && sound {
        build(ui, &file)?;
    }
    let watcher = Watcher::new(config.logs.unwrap_or(LogChoice::Failed));
    let kind = config.executor.unwrap_or(ExecutorKind::Pool);
    let host = session::open_host(config, kind, vec![Arc::new(watcher.clone())])?;
    let plan = check(args, &file, &host, config)?;
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    for node in plan.nodes() {
        watcher.board().expect(node.name(), (!node.is_mapped()).then_some(1));
    }
    let grants = args.grants.grants();
    let executor = Overrides::over(host.executor(), &args.limits.overrides(), &grants);
    let slots = executor.slots();
    if ui.is_human() {
        let where_ = match kind {
            ExecutorKind::Inline => "inline".to_owned(),
            ExecutorKind::Pool => format!("in a pool of {}", counted(slots as u64, "slot")),
        };
        ui.step("Running", format_args!("{} {where_}", plan.name()));
    }
    let started = Instant::now();
    let screen = Screen::start(ui, &watcher, Show::Everything);
    let future = FlowRunner::new(executor, host.events().clone()).start(plan);
    cancel_on_interrupt(ui, &future, &host);
    future.wait(None);
    screen.stop();
    let outcome = future.outcome().unwrap_or_else(lost);
    let run = Run { future: &future, outcome: &outcome, took: started.elapsed(), kind, slots };
    let board = watcher.board();
    run_report::report(ui, &run, &board)
}

fn lost() -> Outcome {
    sandmill::End::new(sandmill::EndKind::HostError, "the flow's run did not end").into()
}

fn cancel_on_interrupt(ui: &Arc<Ui>, future: &FlowRunFuture, host: &Host) {
    let (ui, future) = (Arc::clone(ui), future.clone());
    let executor = Arc::clone(host.executor());
    signals::on_interrupt(move || {
        ui.talk("interrupted: cancelling what is under way; press Ctrl-C again to leave at once");
        future.cancel();
        // A run that is not the flow's to cancel yet, because it is being submitted.
        executor.abort();
    });
}

/// The flow file that is meant.
fn flow_path(flow: &Path) -> Result<PathBuf> {
    let path = if flow.is_dir() { flow.join(FLOW_FILE) } else { flow.to_owned() };
    if path.is_file() {
        return Ok(path);
    }
    let error = CliError::input(format!("there is no flow file `{}`", path.display()));
    Err(error.hint(
        "name a flow.toml or a folder that holds one; `sandmill new flow NAME` writes a first one",
    ))
}

fn read(path: &Path) -> Result<String> {
    let error = |what: String| {
        CliError::input(format!("the flow file `{}` cannot be read", path.display())).detail(what)
    };
    let most = sandmill::flow_file::MAX_FILE_BYTES as u64;
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > most => {
            Err(error(format!("it has {} bytes; a flow file has at most {most}", metadata.len())))
        }
        Ok(_) => std::fs::read_to_string(path).map_err(|why| error(why.to_string())),
        Err(why) => Err(error(why.to_string())),
    }
}

/// Builds what the flow says how to build.
fn build(ui: &Ui, file: &FlowFile) -> Result<()> {
    let started = Instant::now();
    let mut changed = Vec::new();
    for component in file.components() {
        let Some(build) = &component.build else { continue };
        let (name, path) = (&component.name.value, &component.path.value);
        match &build.value {
            Build::Crate(directory) => {
                let toolchain = Toolchain::find(directory);
                if build_crate(ui, &toolchain, name, directory, path)? {
                    changed.push(path.display().to_string());
                }
            }
            Build::Command { command, directory } => {
                run_command(ui, name, command, directory, path)?
            }
        }
    }
    if !changed.is_empty() && started.elapsed() > Duration::from_millis(1) {
        let took = format_duration(started.elapsed());
        ui.step("Built", format_args!("{} in {took}", changed.join(", ")));
    }
    Ok(())
}

/// Checks the file and what it was given as a whole: all faults at once.
fn check(args: &RunArgs, file: &FlowFile, host: &Host, config: &Config) -> Result<Arc<Plan>> {
    let (parameters, faults) = parameters(args, file);
    let base = config.limits.over(&Limits::default());
    let given = Given::new().parameters(parameters).limits(base);
    let load = |spec: &ComponentSpec| {
        let path = &spec.path.value;
        if !path.is_file() {
            return Err(missing(args.build, spec, path));
        }
        let component = sandmill::load_component(path).map_err(|error| error.to_string())?;
        let info = host.inspect(&component).map_err(|error| error.to_string())?;
        Ok((component, info))
    };
    let checked = file.check(&load, &given);
    let (found, count) = match (checked, faults.is_empty()) {
        (Ok(plan), true) => return Ok(plan),
        (Ok(_), false) => (String::new(), 0),
        (Err(found), _) => (found.to_string(), found.len()),
    };
    let count = count + faults.len();
    let mut error = CliError::input(format!(
        "the flow `{}` has {}; nothing was run",
        file.path().display(),
        counted(count as u64, "fault")
    ));
    error.details.extend((!found.is_empty()).then_some(found));
    error.details.extend(faults.into_iter().map(|fault| format!("error: {fault}")));
    let unbuilt =
        file.components().iter().any(|spec| spec.build.is_some() && !spec.path.value.is_file());
    if unbuilt && !args.build {
        error = error.hint("the flow says how to build its components: add --build");
    }
    Err(error)
}

fn missing(build: bool, spec: &ComponentSpec, path: &Path) -> String {
    let file = format!("there is no file `{}`", path.display());
    match (&spec.build, build) {
        (Some(_), false) => format!("{file}; build it with --build"),
        (Some(_), true) => format!("{file}; it was not built, because of the other faults"),
        (None, _) => file,
    }
}

/// The parameters that were given, and what is wrong with them.
fn parameters(args: &RunArgs, file: &FlowFile) -> (BTreeMap<String, Value>, Vec<String>) {
    let (mut values, mut faults) = (BTreeMap::new(), Vec::new());
    for assignment in &args.parameters {
        let name = &assignment.name;
        let spec = file.parameters().iter().find(|spec| spec.name.value == *name);
        let kind = spec.map_or(ParameterType::Any, |spec| spec.kind);
        let value = match assignment.text() {
            Some(text) => kind.read(text),
            None => assignment.value(kind == ParameterType::String, &Bounds::DEFAULT),
        };
        match value {
            Ok(value) if values.contains_key(name) => {
                drop(value);
                faults.push(format!("parameter `{name}` is given twice"));
            }
            Ok(value) => {
                values.insert(name.clone(), value);
            }
            Err(fault) => faults.push(format!("parameter `{name}`: {fault}")),
        }
    }
    (values, faults)
}

impl LimitFlags {
    /// The limits that flags set.
    fn overrides(&self) -> LimitOverrides {
        Config::of(&crate::config::Layers::of_flags(self.settings())).limits
    }
}
