//! `sandmill call`: one task, once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, value_parser};
use sandmill::core::LogLine;
use sandmill::value::Bounds;
use sandmill::{Call, ComponentInfo, Outcome, TaskFuture, Value};
use serde::Serialize;

use crate::arguments::{self, Arguments, Assignment};
use crate::config::{Config, ExecutorKind, LogChoice};
use crate::error::{CliError, Result};
use crate::flags::{ExecutorFlags, GrantFlags, LimitFlags, LogFlags, Settings};
use crate::need_flags::NeedFlags;
use crate::output::progress::{Screen, Show, Watcher};
use crate::output::{
    OutcomeJson, Results, StateJson, Ui, describe_outcome, optional_raw, value_for_people,
};
use crate::policy_flags::PolicyFlags;
use crate::session::Opening;
use crate::{schema, session, signals, stores};

const EXAMPLES: &str = "\
Examples:
  sandmill call thumbnails.wasm resize -a image=@photo.jpg -a width=128 --raw small.png
  sandmill call montecarlo.wasm estimate '{\"seed\": 7, \"samples\": 10000}'
  sandmill call census.wasm count --dir .::/src -a directory=/src -a file=main.rs
  sandmill call odd.wasm spin --timeout 1s; echo $?     124: it timed out
  sandmill call montecarlo.wasm estimate -a seed=7 --cache=7days   the second time at once

With `--output json` the answer is one object: run_id, component, task, state, outcome, value,
cached_from, usage, logs. Otherwise it is the value alone, as JSON. Calls are not written to the
history of runs. Exit codes: 0 it returned a value, 1 it did not, 2 the arguments do not fit,
3 something around it failed, 124 it timed out, 130 interrupted.";

/// Runs one task once and prints its result.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CallArgs {
    /// The component: a .wasm file.
    component: PathBuf,
    /// The task.
    task: String,
    /// Arguments as one JSON object by parameter name.
    json: Option<String>,
    /// An argument: VALUE is JSON, else a string; `@FILE` is what is in the file, `@-` what is
    /// in stdin: text, bytes or JSON, as the parameter takes it; `@@` stands for a leading `@`.
    #[arg(short = 'a', long = "arg", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    arguments: Vec<Assignment>,
    /// Write the bytes of a binary result, or the text of a string, to this file (`-`: stdout)
    /// in place of JSON.
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    #[command(flatten)]
    executor: ExecutorFlags,
    #[command(flatten)]
    needs: NeedFlags,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    limits: LimitFlags,
    #[command(flatten)]
    grants: GrantFlags,
    #[command(flatten)]
    logs: LogFlags,
}

impl CallArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        [self.executor.settings(), self.limits.settings(), self.logs.settings()].concat()
    }
}

/// The answer in JSON: `docs/schemas/call.json`.
#[derive(Serialize)]
struct CallJson<'a> {
    run_id: String,
    component: ComponentJson<'a>,
    task: &'a str,
    state: StateJson,
    outcome: OutcomeJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    value: Option<&'a Value>,
    /// The earlier run that made the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_from: Option<String>,
    usage: sandmill::core::Usage,
    logs: Vec<LogLine>,
}

#[derive(Serialize)]
struct ComponentJson<'a> {
    origin: &'a str,
    digest: String,
}

/// Runs the task.
pub(crate) fn call(args: &CallArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    let component = session::load(&args.component)?;
    let watcher = Watcher::new(if ui.is_json() {
        // The lines go into the answer, all of them.
        config.logs.unwrap_or(LogChoice::Trace)
    } else {
        config.logs.unwrap_or(LogChoice::Info)
    });
    signals::listen();
    let kind = config.executor.unwrap_or(ExecutorKind::Inline);
    let store = args
        .policy
        .wants_cache()
        .then(|| stores::open(config, &format!("sandmill call {}", args.task)))
        .transpose()?;
    let host = Opening::new(config, kind).observed(&watcher).stored(store).open()?;
    let info = session::inspect(&host, &component)?;
    let task = session::task(&info, &component, &args.task)?;
    not_a_flow(&info, &args.component, &args.task)?;

    let options = session::call_options(config, args.grants.grants());
    let options = args.needs.over(args.policy.over(options));
    let max_bytes = usize::try_from(options.limits.input).unwrap_or(usize::MAX);
    let bounds = Bounds { max_bytes, ..Bounds::DEFAULT };
    let parameters = schema::parameters(&task.parameters);
    let mut given = Arguments::of(&args.arguments, parameters.as_deref(), &bounds);
    if let Some(json) = &args.json {
        given.add_json(json);
    }
    if let Some(parameters) = &parameters {
        given.check(parameters, None);
    }
    let given = given.checked(&args.task)?;
    let call = Call::new(&component, args.task.as_str(), arguments::map_of(&given, bounds)?)
        .with_options(options);

    session::cancel_on_interrupt(ui, &host);
    // In JSON the log lines are part of the answer, and a display would take them off the board.
    let screen = (!ui.is_json()).then(|| Screen::start(ui, &watcher, Show::OneRun));
    let future = host.submit(call);
    future.wait(None);
    drop(screen);
    answer(args, ui, &future, &watcher, &component)
}

/// Refuses a flow by name: it is run, and not called.
pub(crate) fn not_a_flow(info: &ComponentInfo, component: &Path, name: &str) -> Result<()> {
    if !info.is_flow(name) {
        return Ok(());
    }
    let shown = component.display();
    Err(CliError::input(format!("`{name}` is a flow of `{shown}`, and no task"))
        .hint(format!("run it: sandmill run '{shown}#{name}' -p NAME=VALUE")))
}

fn answer(
    args: &CallArgs,
    ui: &Ui,
    future: &TaskFuture,
    watcher: &Watcher,
    component: &sandmill::Component,
) -> Result<u8> {
    let outcome =
        future.outcome().ok_or_else(|| CliError::infrastructure("the run did not end"))?;
    if ui.is_json() {
        let (logs, _) = watcher.board().take_lines();
        let json = CallJson {
            run_id: future.id().to_string(),
            component: ComponentJson {
                origin: component.origin(),
                digest: component.digest().to_string(),
            },
            task: &args.task,
            state: StateJson::of(&future.state()),
            outcome: OutcomeJson::of(&outcome),
            value: outcome.value(),
            cached_from: future.cached_from().map(|run| run.to_string()),
            usage: future.usage().unwrap_or_default(),
            logs: logs.into_iter().map(|(_, line)| line).collect(),
        };
        Results::new(ui).json(&json)?;
    }
    match &outcome {
        Outcome::Value(value) => {
            if let Some(path) = &args.raw {
                write_raw(ui, path, value)?;
            } else if !ui.is_json() {
                let pretty = ui.is_human() && ui.stdout_terminal;
                Results::new(ui).print(&value_for_people(value, pretty))?;
            }
        }
        _ if ui.is_json() => {}
        _ => {
            let (first, rest) = describe_outcome(&outcome);
            let error = CliError::infrastructure(format!("`{}` {first}", args.task)).details(rest);
            let hints = session::hints(&outcome);
            ui.error(&hints.into_iter().fold(error, CliError::hint));
        }
    }
    Ok(session::exit_code_of(&outcome))
}

/// Writes the bytes of a binary value, or the text of a string.
pub(crate) fn write_raw(ui: &Ui, path: &PathBuf, value: &Value) -> Result<()> {
    let content = arguments::content(value).ok_or_else(|| {
        CliError::input(format!("the result is {} and has no raw bytes", value.kind()))
            .hint("leave out --raw to see it as JSON")
    })?;
    if path.as_os_str() == "-" {
        return Results::new(ui).bytes(content);
    }
    std::fs::write(path, content).map_err(|error| {
        CliError::infrastructure(format!("`{}` cannot be written", path.display())).detail(error)
    })
}
