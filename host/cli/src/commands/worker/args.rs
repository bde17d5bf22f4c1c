//! The arguments of `sandmill worker`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sandmill::core::units::{parse_duration, parse_size};
use sandmill::executors::worker::MAX_WORKER_SLOTS;
use sandmill::transport::Address;

use crate::config::{Form, Setting};
use crate::engine_flags::EngineFlags;
use crate::flags::{Settings, token};

const EXAMPLES: &str = "\
Examples:
  sandmill worker                                  for this machine, at tcp://127.0.0.1:7070
  sandmill cert token --out join && sandmill worker --listen tls://0.0.0.0:7070 --token @join
  sandmill worker --listen tls://0.0.0.0:7070 --cert worker.pem --key worker.key --ca ca.pem
  sandmill worker --slots 8 --label gpu --resource gpu=2 --allow-dir /data:ro --http 7071
  sandmill worker --engine nats://queue.example:4222 --engine-nkey worker.nk

A run that asks for more than the worker allows is not given less: it goes to another worker, or waits
for one that allows it. By default nothing may be reached. On SIGTERM or Ctrl-C it takes no new runs, lets those
that it has end for --grace, and leaves; a second one leaves at once. Runs that have not started go
back, and are made elsewhere. An engine that goes away while it serves is waited for.

With `--output json` a line of JSON on stdout says where it can be reached once it is ready.

Exit codes: 0 it left with nothing undone, 1 runs were cancelled as it left, 2 usage or
configuration (an open address without certificates or token, too), 3 infrastructure (no engine, or
one that does not take it, too), 130 it was told a second time to leave.";

/// Serves slots of this host to coordinators.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    /// Where to listen: tcp://127.0.0.1:PORT or unix:/PATH for this machine alone, tls://IP:PORT with
    /// certificates or a token. Port 0 is any free one. [default: tcp://127.0.0.1:7070; nowhere with
    /// --engine]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<Address>,
    /// Runs that it makes at a time. By default one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_WORKER_SLOTS as u64))]
    slots: Option<u64>,
    /// Its name, for people. By default that of its host.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Form::Name.check(text))]
    name: Option<String>,
    /// A label that runs may ask for; may be given more than once.
    #[arg(long = "label", value_name = "LABEL", value_parser = |text: &str| Form::Name.check(text))]
    labels: Vec<String>,
    /// An amount that runs may ask for, such as gpu=2; may be given more than once.
    #[arg(long = "resource", value_name = "KEY=NUM", value_parser = |text: &str| Form::Resource.check(text))]
    resources: Vec<String>,
    /// Where /healthz and /metrics are served; a port alone is one of this machine.
    #[arg(long, value_name = "[IP:]PORT", value_parser = |text: &str| Form::Socket.check(text))]
    http: Option<String>,
    /// How long its runs may go on once it was told to leave. [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    grace: Option<Duration>,
    /// A worker of the process that started it: it allows everything, says nothing, and ends when
    /// its standard input does.
    #[arg(long, hide = true, requires = "listen")]
    pub(super) for_parent: bool,
    #[command(flatten)]
    ceiling: CeilingFlags,
    #[command(flatten)]
    identity: IdentityFlags,
    #[command(flatten)]
    engine: EngineFlags,
}

/// The most that runs may ask for.
#[derive(Debug, Args)]
#[command(next_help_heading = "What runs may ask for: nothing unless given")]
struct CeilingFlags {
    /// The real clocks.
    #[arg(long)]
    allow_clock: bool,
    /// The system's randomness.
    #[arg(long)]
    allow_random: bool,
    /// An environment variable, or `*` for any; may be given more than once.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Form::Variable.check(text))]
    allow_env: Vec<String>,
    /// A directory and what is below it; read-only unless `:rw`.
    #[arg(long, value_name = "PATH[:ro|:rw]", value_parser = directory)]
    allow_dir: Vec<String>,
    /// A TCP or UDP peer, or `*` for any.
    #[arg(long, value_name = "HOST:PORT", value_parser = |text: &str| Form::Peer.check(text))]
    allow_net: Vec<String>,
    /// A server for outgoing HTTP requests, or `*` for any.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = |text: &str| Form::Server.check(text))]
    allow_http: Vec<String>,
    /// Memory of one run. [default: 4GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
    /// Time limit of one attempt. [default: 1day]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    max_timeout: Option<Duration>,
    /// Bytes of arguments, of a result, and of logs. [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_transfer: Option<u64>,
    /// Files, sockets and other handles that a run may hold at a time. [default: 16384]
    #[arg(long, value_name = "N")]
    max_handles: Option<u32>,
}

/// How it knows coordinators, and they know it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may connect")]
struct IdentityFlags {
    /// The worker's certificate, as `sandmill cert issue --role worker` makes it.
    #[arg(long, value_name = "FILE", requires_all = ["key", "ca"])]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The authority whose coordinators are taken.
    #[arg(long, value_name = "FILE", requires = "cert")]
    ca: Option<PathBuf>,
    /// A join token in place of certificates: the text, or @FILE (`sandmill cert token`). Others on
    /// this machine can see command lines: @FILE is safer.
    #[arg(long, value_name = "TOKEN", conflicts_with = "cert", value_parser = token)]
    token: Option<String>,
}

/// A directory as it is typed: relative to the working directory.
fn directory(text: &str) -> Result<String, String> {
    let (path, access) = match text.rsplit_once(':') {
        Some((path, access @ ("ro" | "rw"))) => (path, access),
        _ => (text, "ro"),
    };
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    Form::Directory.check(&format!("{}:{access}", path.display()))
}

impl WorkerArgs {
    /// The flags that stand for settings.
    pub(crate) fn settings(&self) -> Settings {
        let list = |texts: &[String]| (!texts.is_empty()).then(|| Setting::List(texts.to_vec()));
        let flag = |is_set: bool| is_set.then_some(Setting::Flag(true));
        let path = |path: &Option<PathBuf>| path.clone().map(Setting::Path);
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        let (ceiling, identity) = (&self.ceiling, &self.identity);
        [
            ("worker.listen", list(&listen)),
            ("worker.slots", self.slots.map(Setting::Count)),
            ("worker.name", self.name.clone().map(Setting::Text)),
            ("worker.label", list(&self.labels)),
            ("worker.resource", list(&self.resources)),
            ("worker.http", self.http.clone().map(Setting::Text)),
            ("worker.grace", self.grace.map(Setting::Duration)),
            ("worker.allow_clock", flag(ceiling.allow_clock)),
            ("worker.allow_random", flag(ceiling.allow_random)),
            ("worker.allow_env", list(&ceiling.allow_env)),
            ("worker.allow_dir", list(&ceiling.allow_dir)),
            ("worker.allow_net", list(&ceiling.allow_net)),
            ("worker.allow_http", list(&ceiling.allow_http)),
            ("worker.max_memory", ceiling.max_memory.map(Setting::Size)),
            ("worker.max_timeout", ceiling.max_timeout.map(Setting::Duration)),
            ("worker.max_transfer", ceiling.max_transfer.map(Setting::Size)),
            ("worker.max_handles", ceiling.max_handles.map(|most| Setting::Count(most.into()))),
            ("worker.cert", path(&identity.cert)),
            ("worker.key", path(&identity.key)),
            ("worker.ca", path(&identity.ca)),
            ("worker.token", identity.token.clone().map(Setting::Secret)),
        ]
        .into_iter()
        .filter_map(|(path, setting)| setting.map(|setting| (path, setting)))
        .chain(self.engine.settings())
        .collect()
    }
}
