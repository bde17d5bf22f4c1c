//! The keys of the configuration that speak of other hosts: which ones a remote executor has, the
//! engine between them, and what a worker on this host is and allows.

use std::time::Duration;

use sandmill::core::{
    DEFAULT_CEILING_HANDLES, DEFAULT_CEILING_MEMORY, DEFAULT_CEILING_TIMEOUT,
    DEFAULT_CEILING_TRANSFER,
};
use sandmill::executors::remote::direct::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_GRACE, DEFAULT_HEARTBEAT, DEFAULT_LEASE, MAX_LOCAL_WORKERS,
};
use sandmill::executors::worker::MAX_WORKER_SLOTS;
use sandmill::scheduler::{
    DEFAULT_ADAPT_COOLDOWN, DEFAULT_ADAPT_IDLE_TIMEOUT, DEFAULT_ADAPT_INTERVAL,
};
use sandmill::transport::engine::DEFAULT_NAME;

use super::form::Form;
use super::key::{Key, Kind, Setting, cores, key};

/// Where a worker listens when nothing else is said: reached from this machine alone.
const DEFAULT_LISTEN: &str = "tcp://127.0.0.1:7070";
/// How long a worker that was told to leave lets its runs go on, by default.
const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

const fn no() -> Option<Setting> {
    Some(Setting::Flag(false))
}

const fn empty() -> Option<Setting> {
    Some(Setting::List(Vec::new()))
}

const fn unset() -> Option<Setting> {
    None
}

/// The keys of other hosts, section by section.
pub(super) const HOST_KEYS: &[Key] = &[
    key(
        "remote.hosts",
        Kind::List(Form::Address),
        empty,
        "addresses of workers that are there; without any, local workers are started",
    ),
    key(
        "remote.workers",
        Kind::Count(1, MAX_LOCAL_WORKERS as u64),
        unset,
        "local workers that are started for the time of a command, in place of hosts; by default 2",
    ),
    key("remote.cert", Kind::Path, unset, "this side's certificate, with the role submit"),
    key("remote.key", Kind::Path, unset, "its key"),
    key("remote.ca", Kind::Path, unset, "the authority whose workers are taken"),
    key(
        "remote.token",
        Kind::Secret(Form::Token),
        unset,
        "a join token in place of certificates; @FILE for one that is in a file",
    ),
    key(
        "remote.connect_timeout",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_CONNECT_TIMEOUT)),
        "how long a start waits for the first host, or for the engine",
    ),
    key(
        "remote.heartbeat",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_HEARTBEAT)),
        "how often both sides of a link say that they are there",
    ),
    key(
        "remote.lease",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_LEASE)),
        "how long a host that is not heard of keeps its runs; at least three heartbeats",
    ),
    key(
        "remote.grace",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_GRACE)),
        "how long a worker goes on after its link broke",
    ),
    key(
        "engine.url",
        Kind::Engine,
        unset,
        "an engine between coordinators and workers; a remote executor and a worker use it",
    ),
    key(
        "engine.name",
        Kind::Text(Form::EnginePart),
        || Some(Setting::Text(DEFAULT_NAME.to_owned())),
        "what everything in the engine is named by: whoever has the same name shares the same work",
    ),
    key(
        "engine.tenant",
        Kind::Text(Form::EnginePart),
        unset,
        "a further part of that, so that several share one account",
    ),
    key(
        "engine.replicas",
        Kind::Count(1, 5),
        unset,
        "on how many servers each thing is kept; by default as it is there, or on one",
    ),
    key(
        "engine.credentials",
        Kind::Path,
        unset,
        "a file with a user's JWT and seed, by which the engine knows this side",
    ),
    key("engine.nkey", Kind::Path, unset, "a file with the seed of an NKey, for the same"),
    key(
        "engine.ca",
        Kind::Path,
        unset,
        "the authority whose servers are taken, besides those of the system",
    ),
    key("engine.cert", Kind::Path, unset, "the certificate that is shown to the engine"),
    key("engine.key", Kind::Path, unset, "its key"),
    key(
        "adapt.min",
        Kind::Count(0, MAX_LOCAL_WORKERS as u64),
        unset,
        "local workers that there are at least; with it or `adapt.max` their number follows the load",
    ),
    key(
        "adapt.max",
        Kind::Count(1, MAX_LOCAL_WORKERS as u64),
        unset,
        "local workers that there are at most; by default as many as there are slots",
    ),
    key(
        "adapt.interval",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_ADAPT_INTERVAL)),
        "how often the load is looked at",
    ),
    key(
        "adapt.idle_timeout",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_ADAPT_IDLE_TIMEOUT)),
        "how long a worker has nothing to do before it is stopped",
    ),
    key(
        "adapt.cooldown",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_ADAPT_COOLDOWN)),
        "how long after workers were started or stopped no others are stopped",
    ),
    key(
        "worker.listen",
        Kind::List(Form::Address),
        || Some(Setting::List(vec![DEFAULT_LISTEN.to_owned()])),
        "where a worker listens; with an engine nowhere else, unless it is said",
    ),
    key(
        "worker.slots",
        Kind::Count(1, MAX_WORKER_SLOTS as u64),
        || Some(Setting::Count(cores())),
        "runs that a worker makes at a time; by default one for each core",
    ),
    key("worker.name", Kind::Text(Form::Name), unset, "its name; by default that of its host"),
    key("worker.label", Kind::List(Form::Name), empty, "labels that runs may ask for"),
    key("worker.resource", Kind::List(Form::Resource), empty, "amounts that runs may ask for"),
    key("worker.allow_clock", Kind::Flag, no, "whether runs may be granted the clock"),
    key("worker.allow_random", Kind::Flag, no, "whether runs may be granted randomness"),
    key(
        "worker.allow_env",
        Kind::List(Form::Variable),
        empty,
        "environment variables that runs may be granted",
    ),
    key(
        "worker.allow_dir",
        Kind::List(Form::Directory),
        empty,
        "directories that runs may be granted, or what is below them; read-only unless `:rw`",
    ),
    key("worker.allow_net", Kind::List(Form::Peer), empty, "peers that runs may be granted"),
    key(
        "worker.allow_http",
        Kind::List(Form::Server),
        empty,
        "servers that runs may be granted for HTTP",
    ),
    key(
        "worker.max_memory",
        Kind::Size,
        || Some(Setting::Size(DEFAULT_CEILING_MEMORY)),
        "most memory that a run may ask for",
    ),
    key(
        "worker.max_timeout",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_CEILING_TIMEOUT)),
        "longest time that an attempt may ask for",
    ),
    key(
        "worker.max_transfer",
        Kind::Size,
        || Some(Setting::Size(DEFAULT_CEILING_TRANSFER)),
        "most bytes of arguments, of a result or of logs that a run may ask for",
    ),
    key(
        "worker.max_handles",
        Kind::Count(0, u32::MAX as u64),
        || Some(Setting::Count(u64::from(DEFAULT_CEILING_HANDLES))),
        "most handles that a run may ask for",
    ),
    key("worker.cert", Kind::Path, unset, "the worker's certificate, for tls:// addresses"),
    key("worker.key", Kind::Path, unset, "its key"),
    key("worker.ca", Kind::Path, unset, "the authority whose coordinators are taken"),
    key(
        "worker.token",
        Kind::Secret(Form::Token),
        unset,
        "a join token in place of certificates; @FILE for one that is in a file",
    ),
    key(
        "worker.http",
        Kind::Text(Form::Socket),
        unset,
        "where /healthz and /metrics are served; a port alone is one of this machine",
    ),
    key(
        "worker.grace",
        Kind::Duration,
        || Some(Setting::Duration(DEFAULT_DRAIN)),
        "how long a worker that is told to leave lets its runs go on",
    ),
];
