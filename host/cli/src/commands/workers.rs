//! `sandmill workers`: workers that are there, and how they stand.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sandmill::EngineConfig;
use sandmill::core::units::{format_duration, format_size};
use sandmill::executors::worker::engine::list_workers;
use sandmill::transport::Address;
use sandmill::transport::direct::{LinkError, Timeouts, status};
use sandmill::transport::engine::Presence;
use sandmill::transport::message::WorkerStatusReport;
use sandmill::transport::security::ClientSecurity;
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::engine::{self, engine_error};
use crate::error::{CliError, Result};
use crate::exit_code;
use crate::flags::{HostFlags, Settings};
use crate::output::{Results, Table, Ui, escape, moment};
use crate::remote;

/// Workers that are asked at a time.
const ASKED_AT_A_TIME: usize = 64;

const EXAMPLES: &str = "\
Examples:
  sandmill workers --host tcp://127.0.0.1:7070
  sandmill workers --host tls://a:7070 --host tls://b:7070 --token @join
  sandmill workers --engine nats://queue.example:4222
  sandmill workers --output json | jq '.workers[] | select(.state != \"up\")'

Without --host and --engine it looks at `engine.url` or `remote.hosts`. The roles submit, observe and
admin may look. An engine lists the workers that it heard of within 30s; each says how it stands every
5s.

Exit codes: 0 all of them answered, or the engine did; 3 one did not.";

/// Looks at workers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    hosts: HostFlags,
    /// How long a worker, or the engine, may take to answer. [default: `remote.connect_timeout`]
    #[arg(long, value_name = "DURATION", value_parser = sandmill::core::units::parse_duration)]
    timeout: Option<Duration>,
}

impl WorkersArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        self.hosts.settings()
    }
}

/// All of them in JSON: `docs/schemas/workers.json`.
#[derive(Serialize)]
struct WorkersJson {
    workers: Vec<WorkerJson>,
}

/// One of them.
#[derive(Serialize)]
struct WorkerJson {
    address: String,
    /// `up`, `draining` or `down`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    report: Option<ReportJson>,
}

/// What it told.
#[derive(Serialize)]
struct ReportJson {
    worker: String,
    name: String,
    version: String,
    platform: String,
    slots: u32,
    running: u32,
    waiting: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u32>,
    memory: u64,
    cpu_micros: u64,
    components: Vec<String>,
    labels: BTreeSet<String>,
    resources: BTreeMap<String, f64>,
    /// When it said so, in microseconds since 1970: it was there then.
    heard: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_micros: Option<u64>,
}

/// What came of asking one.
type Answer = (Address, Duration, Result<WorkerStatusReport, LinkError>);

/// A worker as it is shown.
struct Seen {
    address: String,
    told: Result<ReportJson, String>,
    draining: bool,
    /// When it told that, for people.
    heard: String,
}

/// Asks every worker, or the engine that knows them.
pub(crate) fn workers(args: &WorkersArgs, ui: &Ui, config: &Config) -> Result<u8> {
    let patience = args.timeout.unwrap_or(config.remote.connect_timeout);
    let seen: Vec<Seen> = if let Some(engine) = engine::config(&config.engine, patience)? {
        let address = engine.shown();
        let listed = listed(engine)?;
        if listed.is_empty() {
            ui.talk(format_args!("no worker is at {address}"));
        }
        listed.into_iter().map(|presence| Seen::listed(&address, presence)).collect()
    } else if config.remote.hosts.is_empty() {
        return Err(CliError::input("no worker is named")
            .hint("name one with --host ADDR, or list them as `remote.hosts` in sandmill.toml")
            .hint("or name an engine that has some: --engine URL, or `engine.url`")
            .hint("local workers are there only as long as the command that started them"));
    } else {
        let security = remote::security(&config.remote)?;
        let answers = ask(&config.remote.hosts, security, patience)?;
        answers.into_iter().map(Seen::answered).collect()
    };
    let all_up = seen.iter().all(|one| one.told.is_ok());
    if ui.is_json() {
        let workers = seen.into_iter().map(Seen::json).collect();
        Results::new(ui).json(&WorkersJson { workers })?;
    } else {
        let lines = table(&seen).lines("");
        Results::new(ui).print(&lines.join("\n"))?;
        for one in &seen {
            if let Err(error) = &one.told {
                ui.warn(format_args!("{}: {error}", one.address), &[]);
            }
        }
    }
    Ok(if all_up { exit_code::SUCCESS } else { exit_code::INFRASTRUCTURE })
}

fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| CliError::infrastructure("no runtime to be had").detail(error))
}

/// Asks an engine for the workers that it knows.
fn listed(engine: EngineConfig) -> Result<Vec<Presence>> {
    runtime()?.block_on(list_workers(engine)).map_err(|error| engine_error(&error))
}

/// Asks all of them, many at a time, and gives the answers in the order of the hosts.
fn ask(hosts: &[Address], security: ClientSecurity, patience: Duration) -> Result<Vec<Answer>> {
    let runtime = runtime()?;
    let timeouts = Timeouts { connect: patience, handshake: patience, ..Timeouts::default() };
    let security = Arc::new(security);
    Ok(runtime.block_on(async {
        let mut answers = Vec::with_capacity(hosts.len());
        for some in hosts.chunks(ASKED_AT_A_TIME) {
            let asked: Vec<_> = some
                .iter()
                .cloned()
                .map(|address| {
                    let security = Arc::clone(&security);
                    tokio::spawn(async move {
                        let began = Instant::now();
                        let answer = status(&address, &security, timeouts).await;
                        (address, began.elapsed(), answer)
                    })
                })
                .collect();
            for (one, address) in asked.into_iter().zip(some) {
                answers.push(one.await.unwrap_or_else(|_| {
                    let error = LinkError::Lost("it could not be asked".to_owned());
                    (address.clone(), Duration::ZERO, Err(error))
                }));
            }
        }
        answers
    }))
}

impl Seen {
    /// One that was asked.
    fn answered((address, took, answer): Answer) -> Self {
        let draining = matches!(&answer, Ok(report) if report.draining);
        let told = answer.map_err(|error| error.to_string()).map(|report| ReportJson {
            worker: report.worker.to_string(),
            name: report.name,
            version: report.program,
            platform: report.platform,
            slots: report.slots,
            running: report.load.running,
            waiting: report.load.waiting,
            kept: Some(report.kept),
            sessions: Some(report.sessions),
            memory: report.load.memory,
            cpu_micros: report.load.cpu_micros,
            components: report.holds.iter().map(ToString::to_string).collect(),
            labels: report.labels,
            resources: report.resources,
            heard: moment::now().as_micros(),
            answered_micros: Some(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        });
        let heard = format!("now, in {}", format_duration(took));
        Self { address: address.to_string(), told, draining, heard }
    }

    /// One that an engine has listed.
    fn listed(engine: &str, presence: Presence) -> Self {
        let Presence { welcome, load, draining, at } = presence;
        let told = ReportJson {
            worker: welcome.worker.to_string(),
            name: welcome.name,
            version: welcome.program,
            platform: welcome.platform,
            slots: welcome.slots,
            running: load.running,
            waiting: load.waiting,
            kept: None,
            sessions: None,
            memory: load.memory,
            cpu_micros: load.cpu_micros,
            components: welcome.holds.iter().map(ToString::to_string).collect(),
            labels: welcome.labels,
            resources: welcome.resources,
            heard: at.as_micros(),
            answered_micros: None,
        };
        let heard = moment::ago(at, moment::now());
        Self { address: engine.to_owned(), told: Ok(told), draining, heard }
    }

    const fn state(&self) -> &'static str {
        match (&self.told, self.draining) {
            (Err(_), _) => "down",
            (Ok(_), true) => "draining",
            (Ok(_), false) => "up",
        }
    }

    fn json(self) -> WorkerJson {
        let state = self.state();
        let (report, error) = match self.told {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(error)),
        };
        WorkerJson { address: self.address, state, error, report }
    }
}

fn table(seen: &[Seen]) -> Table {
    let mut table = Table::right_aligned([3, 4, 5, 6, 9]);
    table.row([
        "NAME",
        "ADDRESS",
        "STATE",
        "SLOTS",
        "RUNNING",
        "WAITING",
        "MEMORY",
        "VERSION",
        "PLATFORM",
        "COMPONENTS",
        "LABELS",
        "RESOURCES",
        "HEARD",
    ]);
    for one in seen {
        let (state, address) = (one.state(), one.address.clone());
        let Ok(report) = &one.told else {
            table.row(["-".to_owned(), address, state.to_owned()]);
            continue;
        };
        let shown = |text: &str| escape::line(text).into_owned();
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { shown(&text) };
        let labels: Vec<&str> = report.labels.iter().map(String::as_str).collect();
        let resources: Vec<String> =
            report.resources.iter().map(|(key, amount)| format!("{key}={amount}")).collect();
        table.row([
            shown(&report.name),
            address,
            state.to_owned(),
            report.slots.to_string(),
            report.running.to_string(),
            report.waiting.to_string(),
            format_size(report.memory),
            shown(&report.version),
            shown(&report.platform),
            report.components.len().to_string(),
            or_dash(labels.join(",")),
            or_dash(resources.join(",")),
            one.heard.clone(),
        ]);
    }
    table
}
