//! What a worker serves to coordinators, over any link: slots for any invoker.

mod attending;
mod backlog;
mod components;
mod config;
mod drain;
mod ending;
pub mod engine;
mod intake;
mod link;
mod outbox;
mod pace;
mod partials;
mod process;
mod receiving;
mod report;
mod sender;
mod serve;
mod session;
mod sessions;
mod shared;
mod slots;
mod spec;
mod state;
mod status;
mod timer;
mod values;
#[expect(clippy::module_inception, reason = "the module is named for the noun in it")]
mod worker;

pub use config::{
    ASKED_SHARE, BACKLOG_LEAST, CANCEL_PATIENCE, DEFAULT_COMPONENT_BYTES, DEFAULT_COMPONENTS_BYTES,
    DEFAULT_KEPT, DEFAULT_KEPT_BYTES, DEFAULT_MAX_GRACE, DEFAULT_NEED_PATIENCE, DEFAULT_SESSIONS,
    DEFAULT_VALUES_BYTES, DEFAULT_WAITING_A_SLOT, DEFAULT_WAITING_BASE, DEFAULT_WAITING_BYTES,
    HEARTBEAT_BOUNDS, HEARTBEATS_MISSED, LAST_BYTES, LAST_BYTES_PATIENCE, LAST_WORDS, LOG_PATIENCE,
    MAX_COMPONENTS, MAX_LINE_BYTES, MAX_NOTE_BYTES, MAX_PARTIALS, MAX_REFUSAL_BYTES, MAX_SENDERS,
    MAX_SPEC_BYTES, MAX_SPECS, MAX_SPECS_BYTES, MAX_VALUES, MAX_WORKER_SLOTS, OTHERS_SHARE,
    PARTIAL_BYTES, PARTIAL_PATIENCE, REPORT_DELAY_MOST, REPORTS_TOGETHER, ROOM_PATIENCE,
    STARTED_AFTER, WorkerConfig,
};
pub use link::WorkerSession;
pub use receiving::Receiving;
pub use serve::{CHUNK_PATIENCE, serve};
pub use status::{SessionStatus, WorkerStatus};
pub use worker::Worker;
