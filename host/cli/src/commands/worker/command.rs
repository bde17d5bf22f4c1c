//! A worker from its start to the moment when it is told to leave.

use std::sync::Arc;
use std::time::Duration;

use sandmill::core::Ceiling;
use sandmill::executors::worker::WorkerConfig as Settings;
use sandmill::executors::worker::engine::EngineServeConfig;
use sandmill::transport::Address;
use sandmill::transport::direct::{Notice, ServeError, ServeOptions};
use sandmill::transport::security::ServerSecurity;
use sandmill::{EngineConfig, WorkerHost, WorkerHostError, WorkerSettings};
use serde::Serialize;

use super::WorkerArgs;
use super::http::Http;
use super::leave::{Leaving, leave};
use super::watch::{EngineWatch, Log, Watch};
use crate::commands::compile_child::compile_command;
use crate::config::{Config, WorkerConfig};
use crate::engine::{self, engine_error};
use crate::error::{CliError, Result};
use crate::output::{Results, Ui};
use crate::remote::host_name;
use crate::session::host_error_hint;
use crate::text::counted;

/// How often it is looked at what the worker has taken and who has left.
const LOOK: Duration = Duration::from_millis(250);

/// Where a worker listens, in JSON: `docs/schemas/worker.json`.
#[derive(Serialize)]
struct ReadyJson<'a> {
    /// Always `ready`.
    state: &'static str,
    worker: String,
    name: &'a str,
    /// With the ports that were given.
    addresses: Vec<String>,
    /// The engine that it serves at, without passwords.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    slots: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    pid: u32,
}

/// Serves until it is told to leave.
pub(crate) fn worker(args: &WorkerArgs, ui: &Arc<Ui>, config: &Config) -> Result<u8> {
    // Before anything else, so that no signal is lost.
    let leaving = if args.for_parent { Leaving::with_parent()? } else { Leaving::on_signal() };
    let worker = &config.worker;
    let security = if args.for_parent { ServerSecurity::Plain } else { security(ui, worker)? };
    // A local worker is its parent's alone.
    let at_engine = if args.for_parent {
        None
    } else {
        engine::config(&config.engine, config.remote.connect_timeout)?
    };
    if worker.listen.is_empty() && at_engine.is_none() {
        return Err(CliError::input("nobody could reach the worker")
            .detail("`worker.listen` is empty, and no engine is named")
            .hint("name one with --engine URL, or an address with --listen"));
    }
    let settings = settings(args, worker);
    let name = settings.name.clone();
    let (cache, compile) = (config.cache.clone(), Some(compile_command()));
    let host = WorkerHost::open(WorkerSettings {
        worker: settings,
        cache,
        compile,
        ..WorkerSettings::default()
    })
    .map_err(|error| host_error(&error))?;
    let log = Arc::new(Log::new(ui, args.for_parent)?);
    let mut addresses = Vec::new();
    for address in &worker.listen {
        let security = match address {
            Address::Tls { .. } => security.clone(),
            Address::Tcp(_) | Address::Unix(_) => ServerSecurity::Plain,
        };
        let notices = Arc::clone(&log);
        let notice = move |notice: Notice| notices.notice(&notice);
        let options = ServeOptions { notices: Arc::new(notice), ..ServeOptions::default() };
        let bound = host.listen(address, security, options).map_err(|error| host_error(&error))?;
        addresses.push(bound.to_string());
    }
    let engine = at_engine.as_ref().map(|engine| engine.shown());
    let mut at_engine = at_engine.map(|at| serve_at(&host, &log, at, worker.grace)).transpose()?;
    let http = match worker.http {
        Some(address) if !args.for_parent => Some(Http::start(&host, address)?),
        _ => None,
    };
    let http = http.map(|http| http.address().to_string());
    if !args.for_parent {
        let ready = ReadyJson {
            state: "ready",
            worker: host.worker().id().to_string(),
            name: &name,
            addresses,
            engine,
            slots: worker.slots,
            http,
            pid: std::process::id(),
        };
        say_ready(ui, worker, &ready)?;
    }
    let mut watch = Watch::new(Arc::clone(&log));
    while !leaving.wait(LOOK) {
        watch.look(&host.status());
        at_engine.iter_mut().for_each(EngineWatch::look);
    }
    watch.look(&host.status());
    let grace = if args.for_parent { Duration::ZERO } else { worker.grace };
    let code = leave(host, &log, grace);
    log.flush();
    Ok(code)
}

/// Serves at an engine, and sees how the connection to it stands.
fn serve_at(
    host: &WorkerHost,
    log: &Arc<Log>,
    engine: EngineConfig,
    grace: Duration,
) -> Result<EngineWatch> {
    let shown = engine.shown();
    let config = EngineServeConfig { grace, ..EngineServeConfig::default() };
    let link = host.engine(engine, config).map_err(|error| host_error(&error))?;
    Ok(EngineWatch::new(Arc::clone(log), shown, link))
}

/// How coordinators are known. That an address needs more is said before anybody could connect.
fn security(ui: &Ui, worker: &WorkerConfig) -> Result<ServerSecurity> {
    let security = worker.credentials.server()?;
    let open = worker.listen.iter().find(|address| matches!(address, Address::Tls { .. }));
    match (&security, open) {
        (ServerSecurity::Plain, Some(address)) => {
            Err(serve_error(&ServeError::Open(address.to_string())))
        }
        (ServerSecurity::Tls(_), None) => {
            let what = "certificates and tokens are for tls:// addresses, and there is none";
            let open = "whoever can use this machine can give runs to the worker";
            let faults = if worker.listen.is_empty() { Vec::new() } else { vec![open.to_owned()] };
            ui.warn(what, &faults);
            Ok(security)
        }
        _ => Ok(security),
    }
}

fn settings(args: &WorkerArgs, worker: &WorkerConfig) -> Settings {
    let name = worker.name.clone().unwrap_or_else(host_name);
    let name = if args.for_parent { format!("local {}", std::process::id()) } else { name };
    Settings {
        labels: worker.labels.iter().cloned().collect(),
        resources: worker.resources.iter().cloned().collect(),
        ceiling: if args.for_parent { Ceiling::unbounded() } else { worker.ceiling.clone() },
        ..Settings::new(name, worker.slots)
    }
}

fn say_ready(ui: &Ui, worker: &WorkerConfig, ready: &ReadyJson<'_>) -> Result<()> {
    if ui.is_json() {
        Results::new(ui).json(ready)?;
    }
    let slots = counted(worker.slots as u64, "slot");
    let places: Vec<&str> =
        ready.addresses.iter().chain(&ready.engine).map(String::as_str).collect();
    ui.step("Ready", format_args!("{} at {} with {slots}", ready.name, places.join(", ")));
    if let Some(http) = &ready.http {
        ui.talk(format_args!("http://{http}/healthz, http://{http}/metrics"));
    }
    Ok(())
}

/// What to say of a worker that cannot be had.
fn host_error(error: &WorkerHostError) -> CliError {
    match error {
        WorkerHostError::Serve(error) => serve_error(error),
        WorkerHostError::Engine(error) => engine_error(error),
        other => {
            let base = CliError::infrastructure(other.to_string());
            let cause = std::error::Error::source(other);
            host_error_hint(match cause {
                Some(cause) => base.caused_by(cause),
                None => base,
            })
        }
    }
}

fn serve_error(error: &ServeError) -> CliError {
    match error {
        ServeError::Open(address) => {
            CliError::input(format!("{address} can be reached from other machines"))
                .detail("without certificates or a join token, anybody there could run code here")
                .hint("`sandmill cert token --out join`, then `--token @join` on both sides")
                .hint(
                    "or certificates: `sandmill cert init` and `sandmill cert issue --role worker`",
                )
                .hint("or listen for this machine alone: --listen tcp://127.0.0.1:7070")
        }
        ServeError::NotTls(_) | ServeError::Security(_) => CliError::input(error.to_string()),
        _ => CliError::infrastructure(error.to_string()),
    }
}
