//! `sandmill workers`: workers that are there, and how they stand.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sandmill::core::units::{format_duration, format_size};
use sandmill::transport::Address;
use sandmill::transport::direct::{LinkError, Timeouts, status};
use sandmill::transport::message::WorkerStatusReport;
use sandmill::transport::security::ClientSecurity;
use serde::Serialize;

use crate::config::Config;
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
  sandmill workers --output json | jq '.workers[] | select(.state != \"up\")'

Without --host it looks at `remote.hosts`. The roles submit, observe and admin may look.

Exit codes: 0 all of them answered, 3 one did not.";

/// Looks at workers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    hosts: HostFlags,
    /// How long a worker may take to answer. [default: `remote.connect_timeout`]
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
    kept: u32,
    sessions: u32,
    memory: u64,
    cpu_micros: u64,
    components: Vec<String>,
    labels: BTreeSet<String>,
    resources: BTreeMap<String, f64>,
    /// When it answered, in microseconds since 1970: it was there then.
    heard: u64,
    answered_micros: u64,
}

/// What came of asking one.
type Answer = (Address, Duration, Result<WorkerStatusReport, LinkError>);

/// Asks every worker.
pub(crate) fn workers(args: &WorkersArgs, ui: &Ui, config: &Config) -> Result<u8> {
    if config.remote.hosts.is_empty() {
        return Err(CliError::input("no worker is named")
            .hint("name one with --host ADDR, or list them as `remote.hosts` in sandmill.toml")
            .hint("local workers are there only as long as the command that started them"));
    }
    let security = remote::security(&config.remote)?;
    let patience = args.timeout.unwrap_or(config.remote.connect_timeout);
    let answers = ask(&config.remote.hosts, security, patience)?;
    let all_up = answers.iter().all(|(_, _, answer)| answer.is_ok());
    if ui.is_json() {
        let workers = answers.into_iter().map(json).collect();
        Results::new(ui).json(&WorkersJson { workers })?;
    } else {
        let lines = table(&answers).lines("");
        Results::new(ui).print(&lines.join("\n"))?;
        for (address, _, answer) in &answers {
            if let Err(error) = answer {
                ui.warn(format_args!("{address}: {error}"), &[]);
            }
        }
    }
    Ok(if all_up { exit_code::SUCCESS } else { exit_code::INFRASTRUCTURE })
}

/// Asks all of them, many at a time, and gives the answers in the order of the hosts.
fn ask(hosts: &[Address], security: ClientSecurity, patience: Duration) -> Result<Vec<Answer>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::infrastructure("no runtime to be had").detail(error))?;
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

fn state(answer: &Result<WorkerStatusReport, LinkError>) -> &'static str {
    match answer {
        Ok(report) if report.draining => "draining",
        Ok(_) => "up",
        Err(_) => "down",
    }
}

fn json((address, took, answer): Answer) -> WorkerJson {
    let (state, address) = (state(&answer), address.to_string());
    match answer {
        Err(error) => WorkerJson { address, state, error: Some(error.to_string()), report: None },
        Ok(report) => {
            let report = ReportJson {
                worker: report.worker.to_string(),
                name: report.name,
                version: report.program,
                platform: report.platform,
                slots: report.slots,
                running: report.load.running,
                waiting: report.load.waiting,
                kept: report.kept,
                sessions: report.sessions,
                memory: report.load.memory,
                cpu_micros: report.load.cpu_micros,
                components: report.holds.iter().map(ToString::to_string).collect(),
                labels: report.labels,
                resources: report.resources,
                heard: moment::now().as_micros(),
                answered_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            };
            WorkerJson { address, state, error: None, report: Some(report) }
        }
    }
}

fn table(answers: &[Answer]) -> Table {
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
    for (address, took, answer) in answers {
        let (state, address) = (state(answer), address.to_string());
        let Ok(report) = answer else {
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
            report.load.running.to_string(),
            report.load.waiting.to_string(),
            format_size(report.load.memory),
            shown(&report.program),
            shown(&report.platform),
            report.holds.len().to_string(),
            or_dash(labels.join(",")),
            or_dash(resources.join(",")),
            format!("now, in {}", format_duration(*took)),
        ]);
    }
    table
}
