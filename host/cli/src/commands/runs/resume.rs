//! `sandmill runs resume` and `rerun`: flow runs that go on, and flow runs of what was run before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill::flow_file::FlowFile;
use sandmill::store::{FlowSource, Reader, Store, StoreError};
use sandmill::{FlowStart, Host, RerunOptions, RunId, StartedFlow, Value};

use super::args::{RerunArgs, ResumeArgs};
use super::find;
use super::json::flow_record;
use crate::commands::run::{Drive, Place, flow_error, parameters, under};
use crate::config::{Config, ExecutorKind, LogChoice};
use crate::error::{CliError, Result};
use crate::flags::Settings;
use crate::output::Ui;
use crate::output::progress::Watcher;
use crate::overrides::Overrides;
use crate::session::Opening;
use crate::stores::{self, store_error};
use crate::{exit_code, signals, trace};

/// Goes on with a flow run.
pub(super) fn resume(
    args: &ResumeArgs,
    ui: &Arc<Ui>,
    config: &Config,
    reader: &Reader,
) -> Result<u8> {
    let flow = find::flow(reader, &args.id)?;
    go_on(ui, config, reader, flow, &args.executor.settings())
}

/// Goes on with this flow run. `flags` say where its runs happen.
pub(crate) fn go_on(
    ui: &Arc<Ui>,
    config: &Config,
    reader: &Reader,
    flow: RunId,
    flags: &Settings,
) -> Result<u8> {
    let record = flow_record(reader, flow)?;
    if record.state.is_final() {
        return Err(store_error(&StoreError::Ended { flow, state: record.state.kind }));
    }
    if let Some(parent) = record.parent {
        return Err(CliError::input(format!("flow run {flow} is part of flow run {parent}"))
            .hint(format!("resume that one: sandmill runs resume {parent}")));
    }
    signals::listen();
    let store = stores::open(config, &format!("sandmill runs resume {}", record.name))?;
    let source = reader.source(flow).map_err(|error| store_error(&error))?;
    let ready = Ready::open(config, store, &source, flags)?;
    for stage in reader.stages(flow).map_err(|error| store_error(&error))? {
        ready.watcher.board().expect(&stage.stage.name, stage.stage.total);
    }
    let options = under(&ready.host, &ready.overrides);
    let future = ready.host.resume(flow, options).map_err(|error| flow_error(&error))?;
    ready.drive(ui, "Resuming").to_end(&future)
}

/// Runs a flow again.
pub(super) fn rerun(
    args: &RerunArgs,
    ui: &Arc<Ui>,
    config: &Config,
    reader: &Reader,
) -> Result<u8> {
    let flow = find::flow(reader, &args.id)?;
    let record = flow_record(reader, flow)?;
    let source = reader.source(flow).map_err(|error| store_error(&error))?;
    let parameters = changed(args, &source)?;
    let RerunArgs { failed: only_failed, fresh, updated, .. } = *args;
    signals::listen();
    let store = stores::open(config, &format!("sandmill runs rerun {}", record.name))?;
    let ready = Ready::open(config, store, &source, &args.executor.settings())?;
    let start = FlowStart {
        labels: args.labels.clone(),
        resume: under(&ready.host, &ready.overrides),
        ..FlowStart::default()
    };
    let options = RerunOptions { only_failed, fresh, updated, parameters, start };
    match ready.host.rerun(flow, options).map_err(|error| flow_error(&error))? {
        StartedFlow::New(future) => ready.drive(ui, "Running").to_end(&future),
        StartedFlow::Exists(other) => {
            ui.talk(format_args!("flow run {other} is that already"));
            Ok(exit_code::SUCCESS)
        }
    }
}

/// The parameters that are changed, by the types that the flow's text gives them.
fn changed(args: &RerunArgs, source: &FlowSource) -> Result<BTreeMap<String, Value>> {
    let text = match &source.text {
        Some(_) if args.updated => {
            Some(std::fs::read_to_string(&source.path).map_err(|error| {
                CliError::input(format!("the flow file `{}` cannot be read", source.path))
                    .detail(error)
                    .hint("without --updated the flow is run as the history has it")
            })?)
        }
        text => text.clone(),
    };
    let file = text.map(|text| FlowFile::read(Path::new(&source.path), &text));
    let specs = file.as_ref().map_or(&[][..], |file| file.parameters());
    let (values, mut faults) = parameters(&args.parameters, specs);
    if file.is_some() {
        let known = |name: &str| specs.iter().any(|spec| spec.name.value == name);
        let unknown = args.parameters.iter().filter(|given| !known(&given.name));
        faults.extend(unknown.map(|given| format!("the flow has no parameter `{}`", given.name)));
    }
    if faults.is_empty() {
        return Ok(values);
    }
    Err(CliError::input("the parameters are not right; nothing was run").details(faults))
}

/// A host that is open, as a flow run was started with.
pub(super) struct Ready {
    pub(super) host: Host,
    store: Store,
    watcher: Watcher,
    pub(super) overrides: Overrides,
    place: Place,
}

impl Ready {
    pub(super) fn open(
        config: &Config,
        store: Store,
        source: &FlowSource,
        flags: &Settings,
    ) -> Result<Self> {
        let mut overrides = match source.overrides.as_str() {
            "" => Overrides::default(),
            text => Overrides::from_json(text).map_err(|why| {
                CliError::infrastructure("what the flow run was started with cannot be read")
                    .detail(why)
            })?,
        };
        // Who goes on with it may be part of another trace.
        overrides.trace = trace::from_environment().or(overrides.trace);
        let mut config = config.clone();
        overrides.place(&mut config, flags);
        let watcher = Watcher::new(config.logs.unwrap_or(LogChoice::Failed));
        let kind = config.executor.unwrap_or(ExecutorKind::Pool);
        let host =
            Opening::new(&config, kind).observed(&watcher).stored(Some(store.clone())).open()?;
        let place = Place { kind, slots: host.executor().slots() };
        Ok(Self { host, store, watcher, overrides, place })
    }

    fn drive<'a>(&'a self, ui: &'a Arc<Ui>, verb: &'a str) -> Drive<'a> {
        Drive {
            ui,
            watcher: &self.watcher,
            host: &self.host,
            store: Some(&self.store),
            place: self.place,
            verb,
        }
    }
}
