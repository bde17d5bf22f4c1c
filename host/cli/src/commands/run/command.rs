//! `sandmill run`: a flow, built where that is asked for, checked as a whole, then run.

use std::sync::Arc;

use sandmill::flow_file::{FlowFile, FlowRunFuture, Plan, StartOptions};
use sandmill::store::{Reader, Store};
use sandmill::{
    CodedFlow, FlowError, FlowStart, Host, PlannedFlow, ResumeOptions, RunId, StartedFlow,
};

use super::args::RunArgs;
use super::component::FlowName;
use super::drive::{Drive, Place};
use super::flow_file;
use super::same_key::Asked;
use crate::commands::runs::{end_of_past, flow_record, go_on};
use crate::config::{Config, ExecutorKind, LogChoice};
use crate::error::{CliError, Result};
use crate::output::Ui;
use crate::output::progress::Watcher;
use crate::overrides::Overrides;
use crate::overriding_executor::OverridingExecutor;
use crate::session::{Opening, host_error_hint};
use crate::signals;
use crate::stores::{self, store_error};

/// Runs the flow.
pub(crate) fn run(args: &RunArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    match FlowName::of(&args.flow) {
        Some(name) => run_code(args, ui, config, &name),
        None => run_file(args, ui, config),
    }
}

fn run_file(args: &RunArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    if !args.components.is_empty() {
        return Err(CliError::input("--component is for flows of components")
            .hint("a flow file names its components itself"));
    }
    let path = flow_file::flow_path(&args.flow)?;
    let text = flow_file::read(&path)?;
    let file = FlowFile::read(&path, &text);
    signals::listen();
    // A file that is wrong by itself is neither worth building for nor worth a history.
    let sound = file.faults().is_empty();
    if args.build && sound {
        flow_file::build(ui, &file)?;
    }
    let starting = Starting::open(args, ui, config, sound)?;
    let plan = flow_file::check(args, &file, &starting.host, config)?;
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    expect(&starting.watcher, &plan);
    starting.start(&What::File(PlannedFlow { plan, text, path }))
}

fn run_code(args: &RunArgs, ui: &Arc<Ui>, config: &Config, name: &FlowName) -> Result<u8> {
    if args.build {
        return Err(CliError::input("--build is for flow files, which say how to build")
            .hint("build the component with cargo"));
    }
    let component = name.load()?;
    signals::listen();
    let starting = Starting::open(args, ui, config, true)?;
    let flow = name.check(args, &starting.host, component)?;
    if signals::interrupted() {
        return Err(CliError::interrupted());
    }
    starting.start(&What::Code(flow))
}

fn expect(watcher: &Watcher, plan: &Plan) {
    for node in plan.nodes() {
        watcher.board().expect(node.name(), (!node.is_mapped()).then_some(1));
    }
}

/// A flow that is about to start, and all it needs.
struct Starting<'a> {
    args: &'a RunArgs,
    config: &'a Config,
    ui: &'a Arc<Ui>,
    host: Host,
    store: Option<Store>,
    watcher: Watcher,
    place: Place,
}

/// What is to be run.
enum What {
    File(PlannedFlow),
    Code(CodedFlow),
}

impl<'a> Starting<'a> {
    /// Opens the store, if one is to be kept, and the host.
    fn open(args: &'a RunArgs, ui: &'a Arc<Ui>, config: &'a Config, kept: bool) -> Result<Self> {
        let watcher = Watcher::new(config.logs.unwrap_or(LogChoice::Failed));
        let kind = config.executor.unwrap_or(ExecutorKind::Pool);
        let store = if kept && !args.history.no_history {
            Some(stores::open(config, &format!("sandmill run {}", args.flow.display()))?)
        } else {
            None
        };
        let host = Opening::new(config, kind).observed(&watcher).stored(store.clone()).open()?;
        let place = Place { kind, slots: host.executor().slots() };
        Ok(Self { args, config, ui, host, store, watcher, place })
    }

    fn start(self, what: &What) -> Result<u8> {
        let overrides = self.args.overrides();
        let options = under(&self.host, &overrides);
        let Some(store) = &self.store else {
            let future = match what {
                What::File(flow) => run_unkept(&self.host, Arc::clone(&flow.plan), options),
                What::Code(flow) => {
                    self.host.run_coded_flow(flow, &options).map_err(|error| flow_error(&error))?
                }
            };
            return self.drive().to_end(&future);
        };
        let start = FlowStart {
            idempotency_key: self.args.history.idempotency_key.clone(),
            labels: self.args.history.labels.clone(),
            overrides: overrides.to_json(),
            resume: options,
            ..FlowStart::default()
        };
        let started = match what {
            What::File(flow) => self.host.start_flow(flow, start),
            What::Code(flow) => self.host.start_coded_flow(flow, start),
        };
        match started.map_err(|error| flow_error(&error))? {
            StartedFlow::New(future) => {
                let code = self.drive().to_end(&future);
                drop(future);
                self.close();
                code
            }
            StartedFlow::Exists(run) => {
                let reader = Reader::open(store.dir()).map_err(|error| store_error(&error))?;
                self.there_already(&reader, run, what)
            }
        }
    }

    /// Lets go of the data directory, so that nothing but the history is left in it.
    fn close(self) {
        // First: it may write until it has gone.
        drop(self.host);
        if let Some(store) = self.store {
            store.close();
        }
    }

    fn drive(&self) -> Drive<'_> {
        Drive {
            ui: self.ui,
            watcher: &self.watcher,
            host: &self.host,
            store: self.store.as_ref(),
            place: self.place,
            verb: "Running",
        }
    }

    /// There is a flow run with this idempotency key: if it is the same one, its end is shown, or it
    /// goes on.
    fn there_already(self, reader: &Reader, run: RunId, what: &What) -> Result<u8> {
        let Self { args, config, ui, host, store, .. } = self;
        let record = flow_record(reader, run)?;
        let source = reader.source(run).map_err(|error| store_error(&error))?;
        let asked = match what {
            What::File(flow) => Asked::file(flow),
            What::Code(flow) => Asked::code(flow),
        };
        let key = args.history.idempotency_key.as_deref().unwrap_or_default();
        let changed = asked.check(key, &record, &source)?;
        let ended = record.state.is_final();
        let then = if ended { "this is what became of it" } else { "it goes on" };
        ui.talk(format_args!("flow run {run} has this idempotency key already: {then}"));
        if let Some(words) = changed.words() {
            ui.warn(format_args!("{words}: that flow run is one of what it was"), &[]);
        }
        // Whoever goes on takes the data directory anew.
        drop(host);
        if let Some(store) = store {
            store.close();
        }
        if ended {
            end_of_past(ui, reader, run)
        } else {
            go_on(ui, config, reader, run, &args.settings())
        }
    }
}

/// Runs a flow without writing it down.
fn run_unkept(host: &Host, plan: Arc<Plan>, options: ResumeOptions) -> FlowRunFuture {
    let ResumeOptions { executor, granted, timeout, deadline, limits: _ } = options;
    let runner = match executor {
        Some(executor) => host.flow_runner().on(executor),
        None => host.flow_runner().clone(),
    };
    let options = StartOptions { timeout, deadline, granted, ..StartOptions::default() };
    runner.start_with(plan, options)
}

/// How a flow is run under what the command line says over it.
pub(crate) fn under(host: &Host, overrides: &Overrides) -> ResumeOptions {
    let executor = overrides
        .touch_calls()
        .then(|| OverridingExecutor::over(Arc::clone(host.executor()), overrides));
    ResumeOptions {
        executor,
        granted: !overrides.grants.is_empty(),
        timeout: overrides.flow_timeout,
        // For what is not called on the executor: a flow's own instance.
        limits: Some(overrides.apply(host.options()).limits),
        ..ResumeOptions::default()
    }
}

/// What to say of a flow that cannot be run.
pub(crate) fn flow_error(error: &FlowError) -> CliError {
    match error {
        FlowError::Store(error) => store_error(error),
        FlowError::Faults(faults) => {
            CliError::input("the flow has faults; nothing was run").detail(faults)
        }
        FlowError::Read { source, .. } => CliError::input(error.to_string()).detail(source),
        FlowError::Parameters { flow, faults } => {
            CliError::input(format!("the parameters do not fit flow `{flow}`; nothing was run"))
                .details(faults)
                .hint("give parameters as `-p NAME=VALUE`; `sandmill inspect` lists them")
        }
        FlowError::Refused(end) => CliError::input(end.message.clone()),
        FlowError::Source { .. } => CliError::infrastructure(error.to_string())
            .hint("a flow that was changed is run anew: sandmill run"),
        _ => host_error_hint(CliError::infrastructure(error.to_string())),
    }
}
