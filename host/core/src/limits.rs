//! What one run may use. What it may reach is in `grants`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Memory of a run, over all its linear memories and tables together: 256 MiB.
pub const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;
/// Elements of a run, over all its tables together.
pub const DEFAULT_TABLE_ELEMENTS: u64 = 100_000;
/// Wall-clock time of one attempt: 5 minutes.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// Bytes of one argument map: 16 MiB.
pub const DEFAULT_INPUT_BYTES: u64 = 16 << 20;
/// Bytes of one result: 16 MiB.
pub const DEFAULT_OUTPUT_BYTES: u64 = 16 << 20;
/// Bytes of logs, standard output and standard error together, that are kept of a run: 1 MiB.
pub const DEFAULT_LOG_BYTES: u64 = 1 << 20;
/// Handles (files, sockets, streams, pollables, …) that a run may hold at a time.
pub const DEFAULT_HANDLES: u32 = 1_000;

/// What one run may use. Every limit is on; none can be switched off, only set high. Hitting one
/// ends the run with the outcome that is named here, and costs no other run anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes over all linear memories and tables together. Beyond: `out-of-memory`.
    #[serde(with = "units::size")]
    pub memory: u64,
    /// Elements over all tables together. Beyond: `out-of-memory`.
    pub table_elements: u64,
    /// Wall-clock time of one attempt, from instantiation. Beyond: `timed-out`.
    #[serde(with = "units::duration")]
    pub timeout: Duration,
    /// Fuel, roughly a unit an instruction. Beyond: `out-of-fuel`. Metering costs speed, so it is
    /// done only where a limit is set.
    pub fuel: Option<u64>,
    /// Bytes of the argument map. Beyond: `refused`.
    #[serde(with = "units::size")]
    pub input: u64,
    /// Bytes of the result. Beyond: `output-too-large`.
    #[serde(with = "units::size")]
    pub output: u64,
    /// Bytes of logs, standard output and standard error together. Beyond: the rest is dropped,
    /// and a last line says so.
    #[serde(with = "units::size")]
    pub logs: u64,
    /// Handles held at a time. Beyond: `trapped (too-many-handles)`.
    pub handles: u32,
    /// How long a cancelled run may go on, so that it can see `is-cancelled` and return.
    #[serde(with = "units::duration")]
    pub cancel_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: DEFAULT_MEMORY_BYTES,
            table_elements: DEFAULT_TABLE_ELEMENTS,
            timeout: DEFAULT_TIMEOUT,
            fuel: None,
            input: DEFAULT_INPUT_BYTES,
            output: DEFAULT_OUTPUT_BYTES,
            logs: DEFAULT_LOG_BYTES,
            handles: DEFAULT_HANDLES,
            cancel_grace: Duration::ZERO,
        }
    }
}

/// Some limits, set over others: by a flow over the configuration, by a task over its flow, by a
/// flag over everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOverrides {
    /// See [`Limits::memory`].
    #[serde(deserialize_with = "units::optional_size")]
    pub memory: Option<u64>,
    /// See [`Limits::table_elements`].
    pub table_elements: Option<u64>,
    /// See [`Limits::timeout`].
    #[serde(deserialize_with = "units::optional_duration")]
    pub timeout: Option<Duration>,
    /// See [`Limits::fuel`].
    pub fuel: Option<u64>,
    /// See [`Limits::input`].
    #[serde(deserialize_with = "units::optional_size")]
    pub input: Option<u64>,
    /// See [`Limits::output`].
    #[serde(deserialize_with = "units::optional_size")]
    pub output: Option<u64>,
    /// See [`Limits::logs`].
    #[serde(deserialize_with = "units::optional_size")]
    pub logs: Option<u64>,
    /// See [`Limits::handles`].
    pub handles: Option<u32>,
    /// See [`Limits::cancel_grace`].
    #[serde(deserialize_with = "units::optional_duration")]
    pub cancel_grace: Option<Duration>,
}

impl LimitOverrides {
    /// `base` with what is set here in its place.
    #[must_use]
    pub fn over(&self, base: &Limits) -> Limits {
        Limits {
            memory: self.memory.unwrap_or(base.memory),
            table_elements: self.table_elements.unwrap_or(base.table_elements),
            timeout: self.timeout.unwrap_or(base.timeout),
            fuel: self.fuel.or(base.fuel),
            input: self.input.unwrap_or(base.input),
            output: self.output.unwrap_or(base.output),
            logs: self.logs.unwrap_or(base.logs),
            handles: self.handles.unwrap_or(base.handles),
            cancel_grace: self.cancel_grace.unwrap_or(base.cancel_grace),
        }
    }
}
