//! `sandmill map`: one task over many inputs. Results stream out as JSON Lines, in bounded memory.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, value_parser};
use sandmill::value::{ArgumentTemplate, Bounds};
use sandmill::{
    Call, CallOptions, Component, Host, MapOptions, Outcome, TaskDescriptor, TaskFuture, Value,
};
use serde::Serialize;

use crate::arguments::{self, Arguments, Assignment};
use crate::commands::call::not_a_flow;
use crate::config::{Config, ExecutorKind, LogChoice};
use crate::error::{CliError, Result};
use crate::flags::{ExecutorFlags, GrantFlags, LimitFlags, LogFlags, Settings};
use crate::map_input::{self, Inputs, NumberRange};
use crate::need_flags::NeedFlags;
use crate::output::progress::{Counts, Screen, Show, Watcher, summary_lines};
use crate::output::{OutcomeJson, Results, Ui, cannot_write, is_broken_pipe, optional_raw};
use crate::policy_flags::PolicyFlags;
use crate::schema::{self, Parameter};
use crate::session::Opening;
use crate::{exit_code, session, signals, stores};

/// Results that may wait for one before them, or to be written. It bounds the memory of a map
/// of any length: no more results than this are held at a time.
const WINDOW: usize = 1_024;

const EXAMPLES: &str = "\
Examples:
  sandmill map montecarlo.wasm estimate --range 0..1000 --as seed -a samples=10000
  find . -name '*.rs' | sandmill map census.wasm count --each-line - --as file --dir .::/src -a directory=/src
  sandmill map resize.wasm resize --from-json jobs.jsonl --unordered --output json > results.jsonl

Results are JSON Lines in the order of the inputs. For people (and with --output quiet) a line is
the value, and `null` for a run that failed; failures are on stderr. With `--output json` a line is
an object: index, state, and value or error. A map is not written to the history of runs.

Exit codes: 0 all succeeded, 1 a run failed, 124 runs failed and all that did timed out,
2 an input is invalid (those before it were run), 3 infrastructure, 130 interrupted.";

/// Runs one task over many inputs and prints the results.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MapArgs {
    /// The component: a .wasm file.
    component: PathBuf,
    /// The task.
    task: String,
    #[command(flatten)]
    source: SourceFlags,
    /// The parameter that takes each input. By default the task's only one that `-a` leaves open.
    /// With --from-json, without it: objects are whole argument maps.
    #[arg(long = "as", value_name = "NAME")]
    name: Option<String>,
    /// An argument of every call: VALUE is JSON, else a string; `@FILE` is what is in
    /// the file: text, bytes or JSON, as the parameter takes it.
    #[arg(short = 'a', long = "arg", value_name = "NAME=VALUE", value_parser = value_parser!(Assignment))]
    arguments: Vec<Assignment>,
    /// Print results as runs end, not in the order of the inputs.
    #[arg(long)]
    unordered: bool,
    /// Stop at the first run that fails: cancel the others and start no more.
    #[arg(long)]
    fail_fast: bool,
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

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceFlags {
    /// Each line of this file (`-`: stdin) is an input, as a string.
    #[arg(long, value_name = "FILE")]
    each_line: Option<String>,
    /// Each element of the JSON array in this file (`-`: stdin) is an input, or each line of it
    /// (JSON Lines).
    #[arg(long, value_name = "FILE")]
    from_json: Option<String>,
    /// Each number of this range is an input: A..B without B, A..=B with it.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    range: Option<NumberRange>,
}

impl MapArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        [self.executor.settings(), self.limits.settings(), self.logs.settings()].concat()
    }

    fn inputs(&self) -> Result<Inputs> {
        match (&self.source.each_line, &self.source.from_json, &self.source.range) {
            (Some(path), _, _) => map_input::lines(path),
            (_, Some(path), _) => map_input::json(path),
            (_, _, Some(range)) => Ok(range.inputs()),
            (None, None, None) => Err(CliError::input("there are no inputs")),
        }
    }
}

/// One line of the results in JSON: `docs/schemas/map-line.json`.
#[derive(Serialize)]
struct LineJson<'a> {
    index: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_raw")]
    value: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<OutcomeJson<'a>>,
}

/// Runs the map.
pub(crate) fn map(args: &MapArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    if args.policy.waits_in_vain() {
        return Err(CliError::input("--queue-timeout has no effect on this map")
            .detail("a map takes its next input when a slot is free, so no run waits for one")
            .hint("with --retries it bounds how long a retry waits for a slot; --timeout bounds each attempt"));
    }
    let component = session::load(&args.component)?;
    let watcher = Watcher::new(config.logs.unwrap_or(LogChoice::Failed));
    signals::listen();
    let kind = config.executor.unwrap_or(ExecutorKind::Pool);
    let store = args
        .policy
        .wants_cache()
        .then(|| stores::open(config, &format!("sandmill map {}", args.task)))
        .transpose()?;
    let host = Opening::new(config, kind).observed(&watcher).stored(store).open()?;
    let info = session::inspect(&host, &component)?;
    let task = session::task(&info, &component, &args.task)?;
    not_a_flow(&info, &args.component, &args.task)?;
    let options = session::call_options(config, args.grants.grants());
    let options = args.needs.over(args.policy.over(options));
    let max_bytes = usize::try_from(options.limits.input).unwrap_or(usize::MAX);
    let bounds = Bounds { max_bytes, ..Bounds::DEFAULT };
    let maker = Maker::new(args, task, &component, options, bounds)?;

    let Inputs { values, total, fault } = args.inputs()?;
    watcher.board().expect(&args.task, total);
    session::cancel_on_interrupt(ui, &host);
    let screen = Screen::start(ui, &watcher, Show::Everything);
    let calls = values.zip(0..).map(move |(value, index)| maker.call(value, index));
    let written = stream(args, ui, &host, calls);
    screen.stop();

    match written {
        // Whoever reads the results has seen enough: that is no failure.
        Err(error) if is_broken_pipe(&error) && !signals::interrupted() => {
            return Ok(exit_code::SUCCESS);
        }
        Err(error) if !is_broken_pipe(&error) => return Err(cannot_write(&error)),
        _ => {}
    }
    let board = watcher.board();
    let total = board.total();
    if ui.is_human() {
        summary_lines(&board).iter().for_each(|line| ui.talk(line));
    }
    drop(board);
    if let Some(fault) = fault.get() {
        return Err(CliError::input(format!("an input is invalid: {fault}"))
            .hint("the inputs before it were run, and nothing after it"));
    }
    Ok(code(total))
}

/// Takes results as they come and writes them.
fn stream(
    args: &MapArgs,
    ui: &Ui,
    host: &Host,
    calls: impl Iterator<Item = Call> + Send + 'static,
) -> io::Result<()> {
    let options = MapOptions { window: Some(WINDOW), fail_fast: args.fail_fast };
    let list = host.map(calls, options);
    let mut results = Results::new(ui);
    let futures: Box<dyn Iterator<Item = TaskFuture>> = if args.unordered {
        // Without a timeout there is always a next one until there is none.
        Box::new(list.into_as_completed(None).map_while(|future| future.ok()))
    } else {
        Box::new(list.into_ordered())
    };
    for (position, future) in futures.enumerate() {
        if !future.is_done() {
            // While one is waited for, what came before it should be on the screen.
            if results.is_due() {
                results.flush()?;
            }
            future.wait(None);
        }
        let Some(outcome) = future.outcome() else { continue };
        let index = future.map_index().unwrap_or(position as u64);
        results.line(|out| write_line(out, ui, index, &future, &outcome))?;
    }
    results.flush()
}

fn write_line(
    out: &mut Vec<u8>,
    ui: &Ui,
    index: u64,
    future: &TaskFuture,
    outcome: &Outcome,
) -> io::Result<()> {
    if ui.is_json() {
        let value = outcome.value();
        let error = value.is_none().then(|| OutcomeJson::of(outcome));
        let line = LineJson { index, state: future.state().kind.name(), value, error };
        return serde_json::to_writer(out, &line).map_err(io::Error::from);
    }
    match outcome.value() {
        Some(value) => value.write_json(out),
        // A line for each input, so that line numbers stay those of the inputs.
        None if !(ui.is_human() && ui.stdout_terminal) => out.write_all(b"null"),
        None => out.write_all(format!("null  # {} {}", future.name(), outcome.name()).as_bytes()),
    }
}

fn code(total: Counts) -> u8 {
    if signals::interrupted() {
        exit_code::INTERRUPTED
    } else if total.bad() > 0 && total.bad() == total.timed_out {
        exit_code::TIMED_OUT
    } else if total.bad() > 0 || total.cancelled > 0 {
        exit_code::RUN_FAILED
    } else {
        exit_code::SUCCESS
    }
}

/// Makes calls of inputs.
struct Maker {
    component: Component,
    task: Arc<str>,
    options: Arc<CallOptions>,
    fixed: Vec<(String, Value)>,
    template: Option<ArgumentTemplate>,
    bounds: Bounds,
}

impl Maker {
    fn new(
        args: &MapArgs,
        task: &TaskDescriptor,
        component: &Component,
        options: CallOptions,
        bounds: Bounds,
    ) -> Result<Self> {
        let parameters = schema::parameters(&task.parameters);
        let mut given = Arguments::of(&args.arguments, parameters.as_deref(), &bounds);
        let varying = varying(args, parameters.as_deref(), &given)?;
        match (&parameters, &varying) {
            (Some(parameters), Some(name)) => given.check(parameters, Some(name)),
            // What the inputs give is only known when they are read: the guest checks it.
            (Some(parameters), None) => given.check_known(parameters),
            (None, _) => {}
        }
        let fixed = given.checked(&args.task)?;
        let template = varying.map(|name| {
            let fixed = fixed.iter().map(|(name, value)| (name.as_str(), value));
            ArgumentTemplate::within(fixed, [name.as_str()], bounds)
        });
        let template = template.transpose().map_err(|error| {
            CliError::input("the arguments are too large").detail(error).hint("raise --max-input")
        })?;
        let (component, options) = (component.clone(), Arc::new(options));
        let task = Arc::from(args.task.as_str());
        Ok(Self { component, task, options, fixed, template, bounds })
    }

    fn call(&self, input: Value, index: u64) -> Call {
        let make = |arguments| {
            Call::new(&self.component, Arc::clone(&self.task), arguments)
                .with_options(Arc::clone(&self.options))
                .at_index(index)
        };
        let arguments = match &self.template {
            Some(template) => template.render(&[&input]).map_err(|error| error.to_string()),
            None => self.whole(&input),
        };
        match arguments {
            Ok(arguments) => make(arguments),
            Err(why) => make(Value::default()).refused(format!("the input does not fit: {why}")),
        }
    }

    /// The input as an argument map, beside the fixed arguments.
    fn whole(&self, input: &Value) -> Result<Value, String> {
        let entries = input.entries().map_err(|_| {
            format!(
                "it is {} and not an object of arguments; name a parameter with --as",
                input.kind()
            )
        })?;
        let mut values = self.fixed.clone();
        for (name, value) in entries {
            let name = name.as_str().unwrap_or_default().to_owned();
            if values.iter().any(|(other, _)| *other == name) {
                return Err(format!("argument `{name}` is given by `-a` and by the input"));
            }
            values.push((name, value));
        }
        arguments::map_of(&values, self.bounds).map_err(|error| error.details.join(": "))
    }
}

/// The parameter that takes each input; none where inputs are whole argument maps.
fn varying(
    args: &MapArgs,
    parameters: Option<&[Parameter]>,
    given: &Arguments,
) -> Result<Option<String>> {
    if args.name.is_some() {
        return Ok(args.name.clone());
    }
    let json = args.source.from_json.is_some();
    let open: Vec<&Parameter> = parameters
        .unwrap_or_default()
        .iter()
        .filter(|parameter| given.values.iter().all(|(name, _)| *name != parameter.name))
        .collect();
    let required: Vec<&Parameter> =
        open.iter().copied().filter(|parameter| parameter.required).collect();
    match (&open[..], &required[..]) {
        // With --from-json an object could be meant either way: it is what it says it is.
        _ if json => Ok(None),
        ([only], _) | (_, [only]) => Ok(Some(only.name.clone())),
        ([], _) => {
            Err(CliError::input(format!("task `{}` has no parameter for the inputs", args.task))
                .hint("`sandmill inspect` lists the parameters"))
        }
        _ => {
            let names: Vec<String> =
                open.iter().map(|parameter| format!("`{}`", parameter.name)).collect();
            Err(CliError::input(format!(
                "it is not clear which parameter of `{}` takes the inputs",
                args.task
            ))
            .hint(format!("name one with --as: {}", names.join(", "))))
        }
    }
}
