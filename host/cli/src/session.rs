//! What commands that run something share: the host, opened as the configuration says, and what
//! is said when that does not work.

use std::path::Path;
use std::sync::Arc;

use sandmill::core::StartError;
use sandmill::store::Store;
use sandmill::{
    CallOptions, Component, ComponentInfo, EndKind, ExecutorKind as Kind, Failure, Grants, Host,
    HostError, Isolation, Limits, Observer, Outcome, TaskDescriptor, TrapKind,
};

use crate::commands::compile_child::compile_command;
use crate::config::{Config, ExecutorKind, IsolationChoice};
use crate::error::{CliError, Result};
use crate::output::Ui;
use crate::output::progress::Watcher;
use crate::text::nearest;
use crate::{engine, exit_code, remote, signals, trace};

/// A host to be opened, as the configuration says.
pub(crate) struct Opening<'a> {
    config: &'a Config,
    kind: ExecutorKind,
    observers: Vec<Arc<dyn Observer>>,
    store: Option<Store>,
}

impl<'a> Opening<'a> {
    /// A host that keeps nothing and is watched by nobody.
    pub(crate) fn new(config: &'a Config, kind: ExecutorKind) -> Self {
        Self { config, kind, observers: Vec::new(), store: None }
    }

    /// The same, watched.
    pub(crate) fn observed(mut self, watcher: &Watcher) -> Self {
        self.observers.push(Arc::new(watcher.clone()));
        self
    }

    /// The same with this store for its history and its cache.
    pub(crate) fn stored(mut self, store: Option<Store>) -> Self {
        self.store = store;
        self
    }

    /// Opens it.
    pub(crate) fn open(self) -> Result<Host> {
        let Self { config, kind, observers, store } = self;
        let mut builder = Host::builder()
            .executor(match kind {
                ExecutorKind::Inline => Kind::Inline,
                ExecutorKind::Pool => Kind::Pool,
                ExecutorKind::Remote => Kind::Remote,
            })
            .slots(config.slots)
            .queue(config.queue)
            .compile_command(compile_command())
            .limits(config.limits.over(&Limits::default()));
        match kind {
            ExecutorKind::Remote => builder = builder.remote(remote::settings(config)?),
            _ if config.remote.by_flag => {
                let kind = kind.name();
                return Err(CliError::input(format!("there are no other hosts with `{kind}`"))
                    .hint("leave out --host, --engine and --workers, or use --executor remote"));
            }
            ExecutorKind::Pool if config.isolation == IsolationChoice::Processes => {
                let command = remote::worker_command()?;
                builder = builder.isolation(Isolation::Processes).worker_command(command);
            }
            ExecutorKind::Pool | ExecutorKind::Inline => {}
        }
        if let Some(directory) = &config.cache {
            builder = builder.cache_dir(directory);
        }
        if let Some(store) = store {
            builder = builder.store(store);
        }
        for observer in observers {
            builder = builder.observer(observer);
        }
        let over_engine = kind == ExecutorKind::Remote && config.engine.is_named();
        builder.build().map_err(|error| match &error {
            HostError::Start(StartError::Unavailable(why)) if over_engine => {
                engine::start_error(why)
            }
            other => host_error(other),
        })
    }
}

/// What calls may use and reach.
pub(crate) fn call_options(config: &Config, grants: Grants) -> CallOptions {
    CallOptions {
        limits: config.limits.over(&Limits::default()),
        grants,
        trace: trace::from_environment(),
        ..CallOptions::default()
    }
}

/// Reads a component.
pub(crate) fn load(path: &Path) -> Result<Component> {
    sandmill::load_component(path).map_err(|error| host_error(&error))
}

/// Checks and compiles a component, and says what is in it.
pub(crate) fn inspect(host: &Host, component: &Component) -> Result<Arc<ComponentInfo>> {
    host.inspect(component).map_err(|error| host_error(&error))
}

/// The task of that name.
pub(crate) fn task<'a>(
    info: &'a ComponentInfo,
    component: &Component,
    name: &str,
) -> Result<&'a TaskDescriptor> {
    info.task(name).ok_or_else(|| {
        let known = || info.tasks.iter().map(|task| task.name.as_str());
        let error = CliError::input(format!("`{}` has no task `{name}`", component.origin()));
        match nearest(name, known()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if info.tasks.is_empty() => error.hint("it has no tasks at all"),
            None => error.hint(format!("it has: {}", known().collect::<Vec<_>>().join(", "))),
        }
    })
}

/// What to say of an error of the host.
pub(crate) fn host_error(error: &HostError) -> CliError {
    let cause = std::error::Error::source(error);
    let with_cause = |base: CliError| match cause {
        Some(cause) => base.caused_by(cause),
        None => base,
    };
    match error {
        HostError::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            let base = CliError::input(format!("there is no file `{}`", path.display()));
            base.hint("name a component: a .wasm file, such as `sandmill run --build` makes")
        }
        HostError::Read { .. } => with_cause(CliError::infrastructure(error.to_string())),
        HostError::Component { origin, why } => {
            CliError::input(format!("`{origin}` cannot be run")).detail(why).hint(
                "components are built with `cargo component build --release`, or with \
                 `cargo build --release --target wasm32-wasip2`",
            )
        }
        HostError::Unready { origin, why } => host_error_hint(
            CliError::infrastructure(format!("`{origin}` could not be made ready")).detail(why),
        ),
        HostError::UnknownTask { .. } => CliError::input(error.to_string()),
        HostError::Start(StartError::Unavailable(why)) => {
            CliError::infrastructure("the executor could not be opened")
                .details(why.split("; "))
                .hint("`sandmill workers --host ADDR` looks at a worker; docs/many-hosts.md")
        }
        _ => host_error_hint(with_cause(CliError::infrastructure(error.to_string()))),
    }
}

/// The same error with where to look when it is nobody's fault who can be seen from here.
pub(crate) fn host_error_hint(error: CliError) -> CliError {
    error.hint("`sandmill doctor` checks this machine")
}

/// Has the first Ctrl-C cancel everything that the host runs.
pub(crate) fn cancel_on_interrupt(ui: &Arc<Ui>, host: &Host) {
    let (ui, executor) = (Arc::clone(ui), Arc::clone(host.executor()));
    signals::on_interrupt(move || {
        ui.talk("interrupted: cancelling what is under way; press Ctrl-C again to leave at once");
        executor.abort();
    });
}

/// What the process exits with after a run that ended so.
pub(crate) fn exit_code_of(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Value(_) => exit_code::SUCCESS,
        _ if signals::interrupted() => exit_code::INTERRUPTED,
        Outcome::Failure(failure) if failure.kind == Failure::INVALID_ARGUMENTS => {
            exit_code::INVALID_INPUT
        }
        Outcome::Failure(_) => exit_code::RUN_FAILED,
        Outcome::Ended(end) => match end.kind {
            EndKind::TimedOut => exit_code::TIMED_OUT,
            EndKind::Refused => exit_code::INVALID_INPUT,
            EndKind::HostLost | EndKind::HostError => exit_code::INFRASTRUCTURE,
            _ => exit_code::RUN_FAILED,
        },
    }
}

/// What to do about a run that ended so.
pub(crate) fn hints(outcome: &Outcome) -> Vec<String> {
    let Outcome::Ended(end) = outcome else { return Vec::new() };
    let hint = match end.kind {
        EndKind::TimedOut => "give it more time with --timeout",
        EndKind::OutOfMemory => "give it more memory with --max-memory (or --max-table-elements)",
        EndKind::OutOfFuel => "give it more fuel with --fuel",
        EndKind::OutputTooLarge => "accept a larger result with --max-output",
        EndKind::Trapped(TrapKind::Handles) => "let it hold more handles with --max-handles",
        EndKind::HostError => "this is a fault of Sandmill or of the machine: `sandmill doctor`",
        _ => return Vec::new(),
    };
    vec![hint.to_owned()]
}
