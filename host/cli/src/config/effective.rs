//! What comes of the configuration: typed, for the commands. Its text form is in `key`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use sandmill::LimitOverrides;
use sandmill::core::LogLevel;

use super::engine::EngineSettings;
use super::key::{Key, Setting};
use super::layers::Layers;
use super::remote::{RemoteConfig, WorkerConfig};
use crate::app::{ColorChoice, OutputFormat};

/// Where runs happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecutorKind {
    /// In this thread, one at a time, in order.
    Inline,
    /// In slots, several at a time.
    Pool,
    /// On other hosts, or in local workers that are started for it.
    Remote,
}

impl ExecutorKind {
    /// The name by which users see it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Pool => "pool",
            Self::Remote => "remote",
        }
    }

    /// The one of that name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

/// What keeps the runs of the pool apart beside the sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationChoice {
    /// Threads of this process.
    #[default]
    Threads,
    /// Processes: one that dies costs only the runs that are in it.
    Processes,
}

impl IsolationChoice {
    /// The name by which users see it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
        }
    }

    /// The one of that name.
    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

/// Which lines of guests' logs to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogChoice {
    /// None.
    Off,
    /// The last lines of each run that failed.
    Failed,
    /// Errors, as they come.
    Error,
    /// Warnings and errors, as they come.
    Warn,
    /// Everything but debugging, as it comes.
    Info,
    /// Everything but traces, as it comes.
    Debug,
    /// Everything, as it comes.
    Trace,
}

impl LogChoice {
    /// The level from which lines are shown as they come; none where they are not.
    pub(crate) const fn live(self) -> Option<LogLevel> {
        match self {
            Self::Off | Self::Failed => None,
            Self::Error => Some(LogLevel::Error),
            Self::Warn => Some(LogLevel::Warn),
            Self::Info => Some(LogLevel::Info),
            Self::Debug => Some(LogLevel::Debug),
            Self::Trace => Some(LogLevel::Trace),
        }
    }
}

/// The configuration in force.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where runs happen, where something says so.
    pub(crate) executor: Option<ExecutorKind>,
    /// Slots of the pool.
    pub(crate) slots: usize,
    /// What keeps the runs of the pool apart.
    pub(crate) isolation: IsolationChoice,
    /// Calls that may wait for a slot.
    pub(crate) queue: usize,
    /// Which hosts a remote executor has.
    pub(crate) remote: RemoteConfig,
    /// The engine between coordinators and workers.
    pub(crate) engine: EngineSettings,
    /// What a worker on this host is.
    pub(crate) worker: WorkerConfig,
    /// Limits that something sets.
    pub(crate) limits: LimitOverrides,
    /// Where compiled code is kept; none for nowhere.
    pub(crate) cache: Option<PathBuf>,
    /// Where the history of runs is kept; none where the system has no place for it.
    pub(crate) data_dir: Option<PathBuf>,
    /// How long to wait while another process writes there.
    pub(crate) store_wait: Duration,
    /// How to speak.
    pub(crate) format: OutputFormat,
    /// When to use colours.
    pub(crate) color: ColorChoice,
    /// Which log lines to show, where something says so.
    pub(crate) logs: Option<LogChoice>,
}

impl Config {
    /// What the layers come to.
    pub(crate) fn of(layers: &Layers) -> Self {
        let value = |path: &str| Key::find(path).and_then(|key| layers.get(key).0);
        let count = |path: &str| match value(path) {
            Some(Setting::Count(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => 1,
        };
        let cache = match (value("cache.enabled"), value("cache.directory")) {
            (Some(Setting::Flag(true)), Some(Setting::Path(path))) => Some(path),
            _ => None,
        };
        Self {
            executor: choice(value("executor.kind")),
            slots: count("executor.slots"),
            isolation: choice(value("executor.isolation")).unwrap_or_default(),
            queue: count("executor.queue"),
            remote: RemoteConfig::of(layers),
            engine: EngineSettings::of(layers),
            worker: WorkerConfig::of(layers),
            limits: limits(layers),
            cache,
            data_dir: match value("store.dir") {
                Some(Setting::Path(path)) => Some(path),
                _ => None,
            },
            store_wait: match value("store.wait") {
                Some(Setting::Duration(wait)) => wait,
                _ => Duration::ZERO,
            },
            format: choice(value("output.format")).unwrap_or_default(),
            color: choice(value("output.color")).unwrap_or_default(),
            logs: choice(value("output.logs")),
        }
    }
}

fn choice<T: ValueEnum>(setting: Option<Setting>) -> Option<T> {
    match setting {
        Some(Setting::Choice(word)) => T::from_str(word, false).ok(),
        _ => None,
    }
}

/// The limits that something other than the default sets: a flow may set the others.
fn limits(layers: &Layers) -> LimitOverrides {
    let number = |path: &str| match layers.explicit(path) {
        Some(Setting::Count(number) | Setting::Size(number)) => Some(*number),
        _ => None,
    };
    let duration = |path: &str| match layers.explicit(path) {
        Some(Setting::Duration(duration)) => Some(*duration),
        _ => None,
    };
    LimitOverrides {
        memory: number("limits.memory"),
        table_elements: number("limits.table_elements"),
        timeout: duration("limits.timeout"),
        fuel: number("limits.fuel"),
        input: number("limits.input"),
        output: number("limits.output"),
        logs: number("limits.logs"),
        handles: number("limits.handles").and_then(|number| u32::try_from(number).ok()),
        cancel_grace: duration("limits.cancel_grace"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::{Kind, keys};
    use super::*;

    #[test]
    fn every_word_of_a_choice_is_understood() {
        for key in keys() {
            let Kind::Choice(words) = key.kind else { continue };
            for word in words {
                let setting = Some(Setting::Choice(word));
                let understood = match key.path {
                    "executor.kind" => choice::<ExecutorKind>(setting).is_some(),
                    "executor.isolation" => choice::<IsolationChoice>(setting).is_some(),
                    "output.format" => choice::<OutputFormat>(setting).is_some(),
                    "output.color" => choice::<ColorChoice>(setting).is_some(),
                    "output.logs" => choice::<LogChoice>(setting).is_some(),
                    other => panic!("{other} is read by nothing"),
                };
                assert!(understood, "{} = {word}", key.path);
            }
        }
    }
}
