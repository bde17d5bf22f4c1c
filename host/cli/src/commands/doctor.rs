//! `sandmill doctor`: whether this machine is ready, and what to do where it is not.

use std::path::Path;

use clap::Args;
use console::Style;
use sandmill::core::units::{format_duration, format_size};
use sandmill::sandbox::{COMPILE_CPU, COMPILE_MEMORY_BYTES, CacheDiagnosis, PoolDiagnosis};
use sandmill::store::{Reader, StoreError};
use serde::Serialize;

use crate::build::{Toolchain, WASM_TARGETS};
use crate::config::{Config, ExecutorKind, IsolationChoice, Layers};
use crate::error::Result;
use crate::exit_code;
use crate::output::{Results, Table, Ui};
use crate::session::Opening;
use crate::stores;
use crate::text::counted;

const EXAMPLES: &str = "\
Exit codes: 0 nothing essential fails, 3 something does (the engine, the configuration).";

/// Checks whether this machine is ready, and says what to do where it is not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One check: what was looked at, what was found, what to do about it.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    finding: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    treatment: Option<String>,
}

/// The diagnosis in JSON: `docs/schemas/doctor.json`.
#[derive(Serialize)]
struct DoctorJson<'a> {
    version: &'static str,
    status: Status,
    checks: &'a [Check],
}

impl Check {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, finding: finding.into(), treatment: None }
    }

    fn warn(name: &'static str, finding: impl Into<String>, treatment: impl Into<String>) -> Self {
        let treatment = Some(treatment.into());
        Self { name, status: Status::Warn, finding: finding.into(), treatment }
    }

    fn fail(name: &'static str, finding: impl Into<String>, treatment: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(name, finding, treatment) }
    }
}

/// Checks the machine.
pub(crate) fn doctor(_: &DoctorArgs, ui: &Ui, config: &Config, layers: &Layers) -> Result<u8> {
    let mut checks = engine(config);
    checks.push(slots(config));
    checks.push(history(config));
    checks.extend(many_hosts(config));
    checks.extend(tools());
    checks.push(configuration(layers));
    checks.push(terminal(ui));
    let status = if checks.iter().any(|check| check.status == Status::Fail) {
        Status::Fail
    } else if checks.iter().any(|check| check.status == Status::Warn) {
        Status::Warn
    } else {
        Status::Ok
    };
    if ui.is_json() {
        let version = env!("CARGO_PKG_VERSION");
        Results::new(ui).json(&DoctorJson { version, status, checks: &checks })?;
    } else {
        Results::new(ui).print(&text(&checks, ui.is_quiet()))?;
    }
    Ok(if status == Status::Fail { exit_code::INFRASTRUCTURE } else { exit_code::SUCCESS })
}

fn text(checks: &[Check], only_problems: bool) -> String {
    let mut table = Table::default();
    for check in checks.iter().filter(|check| !only_problems || check.status != Status::Ok) {
        let mark = match check.status {
            Status::Ok => Style::new().green().apply_to("ok"),
            Status::Warn => Style::new().yellow().apply_to("warn"),
            Status::Fail => Style::new().red().bold().apply_to("fail"),
        };
        table.row([mark.to_string(), check.name.to_owned(), check.finding.clone()]);
        if let Some(treatment) = &check.treatment {
            table.row([String::new(), String::new(), format!("→ {treatment}")]);
        }
    }
    table.lines("").join("\n")
}

fn engine(config: &Config) -> Vec<Check> {
    let host = match Opening::new(config, ExecutorKind::Pool).open() {
        Ok(host) => host,
        Err(error) => {
            let finding = std::iter::once(error.message).chain(error.details);
            let finding = finding.collect::<Vec<_>>().join(": ");
            let treatment = "Sandmill runs on 64-bit Linux, macOS and Windows; raise the limit of \
                             address space (`ulimit -v unlimited`) where there is one";
            return vec![Check::fail("engine", finding, treatment)];
        }
    };
    let diagnosis = host.sandbox().diagnosis();
    let mut checks = vec![Check::ok(
        "engine",
        format!(
            "wasmtime {}, busy guests are looked at every {:?}",
            diagnosis.wasmtime, diagnosis.epoch_tick
        ),
    )];
    checks.push(match &diagnosis.pool {
        PoolDiagnosis::On { slots } => {
            Check::ok("instance pool", format!("on, room for {}", counted(*slots as u64, "instance")))
        }
        PoolDiagnosis::Off { reason } => Check::warn(
            "instance pool",
            format!("off: {reason}"),
            "runs start several times slower; allow more address space (`ulimit -v unlimited`) or use fewer --slots",
        ),
    });
    checks.push(if diagnosis.pagemap_scan {
        Check::ok("memory reset", "by pagemap_scan")
    } else {
        Check::warn(
            "memory reset",
            "the kernel has no pagemap_scan",
            "runs start about three times slower; Linux 6.7 and later have it",
        )
    });
    checks.push(match host.sandbox().try_compiler() {
        Ok(()) => Check::ok(
            "compiler",
            format!(
                "works in processes of its own, with {} of CPU time and {}",
                format_duration(COMPILE_CPU),
                format_size(COMPILE_MEMORY_BYTES)
            ),
        ),
        Err(end) => Check::fail(
            "compiler",
            end.message,
            "components that are not in the compile cache cannot be run; allow processes, threads and \
             address space (`ulimit -a`), and start this program anew where it was replaced",
        ),
    });
    checks.push(match &diagnosis.cache {
        CacheDiagnosis::On { directory, entries, bytes, .. } => Check::ok(
            "compile cache",
            format!("{}, {}, {}", directory.display(), counted(*entries, "component"), format_size(*bytes)),
        ),
        CacheDiagnosis::Off { reason } if config.cache.is_none() => {
            Check::ok("compile cache", format!("off: {reason}"))
        }
        CacheDiagnosis::Off { reason } => Check::warn(
            "compile cache",
            format!("cannot be used: {reason}"),
            "components are compiled by each process; set `cache.directory` to a folder that only you can write to",
        ),
    });
    checks
}

fn slots(config: &Config) -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let finding =
        format!("{} for {}", counted(config.slots as u64, "slot"), counted(cores as u64, "core"));
    if config.slots > cores.saturating_mul(4) {
        return Check::warn(
            "slots",
            finding,
            "computing guests only get in each other's way; set `executor.slots` near the number of cores",
        );
    }
    Check::ok("slots", finding)
}

fn tools() -> Vec<Check> {
    let here = Path::new(".");
    let found = Toolchain::find(here);
    let mut checks = Vec::new();
    checks.push(match &found.cargo {
        Some(version) => Check::ok("cargo", version),
        None => {
            Check::warn("cargo", "not found", "to build tasks, install Rust: https://rustup.rs")
        }
    });
    checks.push(match &found.rustup {
        Some(version) => Check::ok("rustup", version),
        None => Check::warn(
            "rustup",
            "not found",
            "wasm targets cannot be added by `run --build`; install rustup: https://rustup.rs",
        ),
    });
    checks.push(match &found.component {
        Some(version) => Check::ok("cargo-component", version),
        None => Check::ok("cargo-component", "not found; plain cargo builds components too"),
    });
    if found.cargo.is_some() {
        // The one that `run --build` would use has to be there, or rustup to add it.
        let target = if found.component.is_some() { WASM_TARGETS[1] } else { WASM_TARGETS[0] };
        for name in WASM_TARGETS {
            checks.push(match Toolchain::has_target(here, name) {
                Some(true) => Check::ok(label(name), "installed"),
                _ if name == target => Check::warn(
                    label(name),
                    "not installed",
                    format!("`rustup target add {name}`, or let `sandmill run --build` do it"),
                ),
                _ => Check::ok(label(name), "not installed, and not needed"),
            });
        }
    }
    checks
}

/// Below so many free bytes there is not enough room to write a history for long.
const LITTLE_ROOM: u64 = 256 << 20;

/// The data directory: whether it can be used, by whom it is, and whether there is room.
fn history(config: &Config) -> Check {
    const NAME: &str = "data directory";
    const ELSEWHERE: &str = "use another one with --data-dir";
    let dir = match stores::directory(config) {
        Ok(dir) => dir,
        Err(error) => return Check::warn(NAME, error.message, error.hints.join("; ")),
    };
    let shown = dir.display();
    if !dir.exists() {
        return Check::ok(NAME, format!("{shown}, made when the first flow is run"));
    }
    let reader = match Reader::open(dir) {
        Ok(reader) => Some(reader),
        Err(StoreError::NoStore { .. }) => None,
        Err(error) => return Check::fail(NAME, format!("{shown}: {error}"), ELSEWHERE),
    };
    match reader.as_ref().map_or_else(|| Ok(Vec::new()), Reader::damage) {
        Err(error) => return Check::fail(NAME, format!("{shown}: {error}"), ELSEWHERE),
        Ok(damage) => {
            if let Some(first) = damage.first() {
                let more = match damage.len() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                let treatment = "`sandmill runs delete ID` deletes a flow run whose record is \
                                 damaged; where more is, save what can be read with sqlite3's \
                                 `.recover`, or use another directory with --data-dir";
                return Check::warn(NAME, format!("{shown}: {first}{more}"), treatment);
            }
        }
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(why) = rustix::fs::access(dir, access) {
        let finding = format!("{shown} cannot be written: {why}");
        return Check::fail(NAME, finding, ELSEWHERE);
    }
    let free = stores::free_bytes(dir);
    let room = free.map_or_else(String::new, |free| format!(", {} free", format_size(free)));
    if free.is_some_and(|free| free < LITTLE_ROOM) {
        return Check::warn(
            NAME,
            format!("{shown}{room}"),
            "make room: flows wait while the disk is full; `sandmill runs prune --older-than 30d`",
        );
    }
    let holder = match reader.as_ref().and_then(Reader::holder) {
        Some(holder) => format!("process {} ({}) writes to it", holder.pid, holder.holder),
        None => "nobody writes to it now".to_owned(),
    };
    Check::ok(NAME, format!("{shown}{room}, {holder}"))
}

/// Whether runs can be made elsewhere: in processes of this machine, and on the hosts that are named.
fn many_hosts(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let local = Config { slots: 1, isolation: IsolationChoice::Processes, ..config.clone() };
    checks.push(match Opening::new(&local, ExecutorKind::Pool).open() {
        Ok(host) => match host.hosts().first() {
            Some(worker) => Check::ok(
                "local workers",
                format!("can be started: {}", worker.platform.as_deref().unwrap_or("this machine")),
            ),
            None => Check::ok("local workers", "can be started"),
        },
        Err(error) => Check::warn(
            "local workers",
            std::iter::once(error.message).chain(error.details).collect::<Vec<_>>().join(": "),
            "`--executor remote` without hosts and `--isolation processes` need processes, and \
             Unix sockets in the temporary directory (TMPDIR)",
        ),
    });
    let hosts = &config.remote.hosts;
    let credentials = config.remote.credentials.client();
    checks.push(match credentials {
        Err(error) => Check::warn(
            "remote hosts",
            std::iter::once(error.message).chain(error.details).collect::<Vec<_>>().join(": "),
            "`sandmill cert` makes certificates and tokens; see `remote.cert` and `remote.token`",
        ),
        Ok(_) if hosts.is_empty() => {
            Check::ok("remote hosts", "none are named: `--executor remote` starts local workers")
        }
        Ok(_) => {
            let named = counted(hosts.len() as u64, "host");
            Check::ok("remote hosts", format!("{named} named; `sandmill workers` looks at them"))
        }
    });
    checks
}

fn label(target: &str) -> &'static str {
    if target == WASM_TARGETS[0] { "target wasm32-wasip2" } else { "target wasm32-wasip1" }
}

fn configuration(layers: &Layers) -> Check {
    if !layers.faults.is_empty() {
        let finding = layers.faults.join("; ");
        return Check::fail("configuration", finding, "`sandmill config check` lists the faults");
    }
    let read: Vec<String> = layers
        .files
        .iter()
        .filter(|(_, found)| *found)
        .map(|(path, _)| path.display().to_string())
        .collect();
    let finding = if read.is_empty() { "no file; defaults".to_owned() } else { read.join(", ") };
    Check::ok("configuration", finding)
}

fn terminal(ui: &Ui) -> Check {
    let term = console::Term::stderr();
    let finding = if ui.stderr_terminal {
        let (height, width) = term.size();
        let colours = if console::colors_enabled_stderr() { "colours" } else { "no colours" };
        format!("{width}×{height}, {colours}: live display")
    } else {
        "stderr is no terminal: plain lines".to_owned()
    };
    Check::ok("terminal", finding)
}
