//! Flags that several commands share: where runs happen, what they may use, what they may reach.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum as _};
use sandmill::core::units::{parse_duration, parse_size};
use sandmill::executors::MAX_SLOTS;
use sandmill::executors::remote::direct::MAX_LOCAL_WORKERS;
use sandmill::transport::Address;
use sandmill::{DirGrant, Grants, HttpGrant, NetGrant};

use crate::app::GlobalFlags;
use crate::config::{ExecutorKind, Form, IsolationChoice, LogChoice, Setting};
use crate::engine_flags::EngineFlags;

/// Flags that stand for keys of the configuration.
pub(crate) type Settings = Vec<(&'static str, Setting)>;

/// Where runs happen.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Where runs happen")]
pub(crate) struct ExecutorFlags {
    /// Where runs happen: `inline` in this thread one by one, `pool` several at a time, `remote` on
    /// other hosts (--host, --engine), or in local workers that are started for it (--workers).
    /// By default inline for `call`, pool for `run` and `map`.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) executor: Option<ExecutorKind>,
    /// Runs that go on at a time in the pool, or in local workers together. By default one for each
    /// core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_SLOTS as u64))]
    pub(crate) slots: Option<u64>,
    /// What keeps the runs of the pool apart beside the sandbox. With `processes`, one that dies
    /// costs only the runs that are in it. [default: threads]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) isolation: Option<IsolationChoice>,
    /// Local workers that are started for this command, in place of hosts. [default: 2]
    #[arg(long, value_name = "N", conflicts_with_all = ["hosts", "engine"], value_parser = clap::value_parser!(u64).range(1..=MAX_LOCAL_WORKERS as u64))]
    pub(crate) workers: Option<u64>,
    #[command(flatten)]
    pub(crate) hosts: HostFlags,
}

impl ExecutorFlags {
    /// The flags as settings.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.hosts.settings();
        let is_remote = self.workers.is_some() || self.hosts.names_some();
        let kind = self.executor.or(is_remote.then_some(ExecutorKind::Remote));
        settings.extend(kind.map(|kind| ("executor.kind", Setting::Choice(kind.name()))));
        settings.extend(self.slots.map(|slots| ("executor.slots", Setting::Count(slots))));
        settings.extend(
            self.isolation.map(|kind| ("executor.isolation", Setting::Choice(kind.name()))),
        );
        settings.extend(self.workers.map(|count| ("remote.workers", Setting::Count(count))));
        settings
    }
}

/// Which workers there are, and how this side is known to them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Other hosts")]
pub(crate) struct HostFlags {
    /// The address of a worker: tls://HOST:PORT, tcp://127.0.0.1:PORT or unix:/PATH. May be given
    /// more than once.
    #[arg(long = "host", value_name = "ADDR", conflicts_with = "engine")]
    hosts: Vec<Address>,
    /// This side's certificate for tls:// addresses, as `sandmill cert issue` makes it.
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The authority whose workers are taken.
    #[arg(long, value_name = "FILE", requires = "cert")]
    ca: Option<PathBuf>,
    /// A join token in place of certificates: the text, or @FILE (`sandmill cert token`). Others on
    /// this machine can see command lines: @FILE is safer.
    #[arg(long, value_name = "TOKEN", conflicts_with = "cert", value_parser = token)]
    token: Option<String>,
    #[command(flatten)]
    engine: EngineFlags,
}

impl HostFlags {
    /// Whether they name hosts, or an engine that has some.
    const fn names_some(&self) -> bool {
        !self.hosts.is_empty() || self.engine.engine.is_some()
    }

    /// The flags as settings.
    pub(crate) fn settings(&self) -> Settings {
        let hosts = (!self.hosts.is_empty())
            .then(|| Setting::List(self.hosts.iter().map(ToString::to_string).collect()));
        let path = |path: &Option<PathBuf>| path.clone().map(Setting::Path);
        [
            ("remote.hosts", hosts),
            ("remote.cert", path(&self.cert)),
            ("remote.key", path(&self.key)),
            ("remote.ca", path(&self.ca)),
            ("remote.token", self.token.clone().map(Setting::Secret)),
        ]
        .into_iter()
        .filter_map(|(path, setting)| setting.map(|setting| (path, setting)))
        .chain(self.engine.settings())
        .collect()
    }
}

/// Reads a token's text; what is wrong with it is said without it.
pub(crate) fn token(text: &str) -> Result<String, String> {
    Form::Token.check(text)
}

/// Which lines of guests' logs to show.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct LogFlags {
    /// Which lines that guests log or print to show on stderr: those at a level and above, the
    /// last lines of runs that `failed`, or `off`. Without a word: all of them.
    #[arg(long, value_enum, value_name = "WHICH", num_args = 0..=1, require_equals = true, default_missing_value = "trace")]
    pub(crate) logs: Option<LogChoice>,
}

impl LogFlags {
    /// The flags as settings.
    pub(crate) fn settings(&self) -> Settings {
        let word = self.logs.and_then(|logs| logs.to_possible_value());
        let known = ["off", "failed", "error", "warn", "info", "debug", "trace"];
        known
            .into_iter()
            .filter(|known| word.as_ref().is_some_and(|word| word.get_name() == *known))
            .map(|word| ("output.logs", Setting::Choice(word)))
            .collect()
    }
}

/// What each run may use.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits of each run")]
pub(crate) struct LimitFlags {
    /// Memory over all memories and tables; beyond: out-of-memory. [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
    /// Elements over all tables; beyond: out-of-memory. [default: 100000]
    #[arg(long, value_name = "N")]
    max_table_elements: Option<u64>,
    /// Wall-clock time; beyond: timed-out. [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Fuel, about a unit an instruction; beyond: out-of-fuel. Not metered unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    fuel: Option<u64>,
    /// Bytes of the arguments; beyond: refused. [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_input: Option<u64>,
    /// Bytes of the result; beyond: output-too-large. [default: 16MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_output: Option<u64>,
    /// Bytes of logs, stdout and stderr that are kept; the rest is dropped. [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_logs: Option<u64>,
    /// Files, sockets and other handles held at a time; beyond: trapped. [default: 1000]
    #[arg(long, value_name = "N")]
    max_handles: Option<u32>,
    /// How long a cancelled run may go on to return by itself. [default: 0]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    cancel_grace: Option<Duration>,
}

impl LimitFlags {
    /// The flags as settings.
    pub(crate) fn settings(&self) -> Settings {
        [
            ("limits.memory", self.max_memory.map(Setting::Size)),
            ("limits.table_elements", self.max_table_elements.map(Setting::Count)),
            ("limits.timeout", self.timeout.map(Setting::Duration)),
            ("limits.fuel", self.fuel.map(Setting::Count)),
            ("limits.input", self.max_input.map(Setting::Size)),
            ("limits.output", self.max_output.map(Setting::Size)),
            ("limits.logs", self.max_logs.map(Setting::Size)),
            ("limits.handles", self.max_handles.map(|count| Setting::Count(u64::from(count)))),
            ("limits.cancel_grace", self.cancel_grace.map(Setting::Duration)),
        ]
        .into_iter()
        .filter_map(|(path, setting)| setting.map(|setting| (path, setting)))
        .collect()
    }
}

/// What each run may reach. Nothing unless given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Grants: what each run may reach")]
pub(crate) struct GrantFlags {
    /// A directory, under the name that the guest sees; read-only unless `:rw`.
    #[arg(long = "dir", value_name = "HOST::GUEST[:ro|:rw]")]
    dirs: Vec<DirGrant>,
    /// An environment variable.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = environment_variable)]
    env: Vec<(String, String)>,
    /// A TCP or UDP peer; `*` for any port.
    #[arg(long = "allow-net", value_name = "HOST:PORT")]
    net: Vec<NetGrant>,
    /// A server for outgoing HTTP requests.
    #[arg(long = "allow-http", value_name = "HOST[:PORT]")]
    http: Vec<HttpGrant>,
    /// The real clocks, in place of ones that stand still.
    #[arg(long)]
    allow_clock: bool,
    /// The system's randomness, in place of a stream that follows from the call.
    #[arg(long)]
    allow_random: bool,
}

impl GrantFlags {
    /// What is granted. Directories are made absolute, so that they mean the same to everyone.
    pub(crate) fn grants(&self) -> Grants {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Grants {
            clock: self.allow_clock,
            random: self.allow_random,
            env: self.env.iter().cloned().collect(),
            dirs: self
                .dirs
                .iter()
                .map(|dir| DirGrant { host: absolute(&dir.host), ..dir.clone() })
                .collect(),
            net: self.net.clone(),
            http: self.http.clone(),
        }
    }
}

fn environment_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// The global flags as settings.
pub(crate) fn global_settings(global: &GlobalFlags) -> Settings {
    use crate::app::{ColorChoice, OutputFormat};
    let mut settings = Settings::new();
    if let Some(format) = global.output {
        let word = match format {
            OutputFormat::Human => "human",
            OutputFormat::Json => "json",
            OutputFormat::Quiet => "quiet",
        };
        settings.push(("output.format", Setting::Choice(word)));
    }
    if let Some(color) = global.color {
        let word = match color {
            ColorChoice::Auto => "auto",
            ColorChoice::Always => "always",
            ColorChoice::Never => "never",
        };
        settings.push(("output.color", Setting::Choice(word)));
    }
    if let Some(directory) = &global.data_dir {
        settings.push(("store.dir", Setting::Path(directory.clone())));
    }
    settings
}
