//! Which hosts a remote executor has, as the configuration says: workers that are there, those of an
//! engine, or local ones that this binary makes of itself.

use sandmill::executors::remote::direct::DirectConfig;
use sandmill::transport::Address;
use sandmill::transport::security::ClientSecurity;
use sandmill::{DEFAULT_LOCAL_WORKERS, RemoteSettings, RemoteWorkers, WorkerCommand};

use crate::config::{Config, RemoteConfig};
use crate::engine;
use crate::error::{CliError, Result};

/// Where Linux tells this host's name.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The hosts of a remote executor.
pub(crate) fn settings(config: &Config) -> Result<RemoteSettings> {
    let remote = &config.remote;
    let engine = engine::config(&config.engine, remote.connect_timeout)?;
    let workers = if let Some(engine) = engine {
        RemoteWorkers::Engine(engine)
    } else if remote.hosts.is_empty() {
        local(config)?
    } else {
        let (hosts, security) = (remote.hosts.clone(), security(remote)?);
        RemoteWorkers::Listed { hosts, security }
    };
    let times = DirectConfig {
        name: format!("{} process {}", host_name(), std::process::id()),
        connect_timeout: remote.connect_timeout,
        heartbeat: remote.heartbeat,
        lease: remote.lease,
        grace: remote.grace,
        ..DirectConfig::default()
    };
    Ok(RemoteSettings { workers, times })
}

/// How this side is known to the hosts. That an address needs more is said before anything is tried.
pub(crate) fn security(remote: &RemoteConfig) -> Result<ClientSecurity> {
    let security = remote.credentials.client()?;
    let open = remote.hosts.iter().find(|host| matches!(host, Address::Tls { .. }));
    match (&security, open) {
        (ClientSecurity::Plain, Some(host)) => {
            Err(CliError::input(format!("{host} takes a certificate or a join token"))
                .hint("give --cert, --key and --ca (`sandmill cert issue --role submit`)")
                .hint("or --token @FILE with the worker's token (`sandmill cert token`)"))
        }
        _ => Ok(security),
    }
}

fn local(config: &Config) -> Result<RemoteWorkers> {
    let RemoteConfig { workers, adapt, .. } = &config.remote;
    let first = adapt.as_ref().map(|adapt| adapt.min.max(1));
    let workers = workers.or(first).unwrap_or(DEFAULT_LOCAL_WORKERS.min(config.slots.max(1)));
    let most = adapt.as_ref().map_or(workers, |adapt| adapt.max.max(1));
    let (command, adapt) = (worker_command()?, adapt.clone());
    // No more slots in all than were asked for, but at least one each.
    let slots = (config.slots / most).max(1);
    Ok(RemoteWorkers::Local { command, workers, slots, adapt })
}

/// What makes a local worker of this binary.
pub(crate) fn worker_command() -> Result<WorkerCommand> {
    let program = std::env::current_exe().map_err(|error| {
        CliError::infrastructure("local workers cannot be started: where is this program?")
            .detail(error)
    })?;
    Ok(WorkerCommand::new(program, ["--output", "quiet", "worker", "--for-parent"]))
}

/// The name of this host, for people.
pub(crate) fn host_name() -> String {
    let told = std::fs::read_to_string(HOSTNAME).ok();
    let name = told.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.chars().filter(|c| !c.is_control()).take(100).collect(),
    }
}
