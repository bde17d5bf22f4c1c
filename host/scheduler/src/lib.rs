//! Where a run is placed among hosts, as plain functions over state: an event and the time go in,
//! actions come out. No threads, no clock, no I/O, and nothing of how a message reaches a host.
#![forbid(unsafe_code)]

mod action;
mod adapt;
mod class;
mod config;
mod event;
mod host;
mod hosts;
mod keys;
mod need;
mod pace;
mod resources;
mod run;
mod scheduler;
mod verdict;
mod view;

pub use action::{Action, LostWhy, RefusedWhy};
pub use adapt::{
    Adapt, AdaptError, Adapter, DEFAULT_ADAPT_COOLDOWN, DEFAULT_ADAPT_IDLE_TIMEOUT,
    DEFAULT_ADAPT_INTERVAL, DemandSeen, MAX_ADAPT_WORKERS, Sizing, WorkerSeen,
};
pub use config::{
    DEFAULT_MAX_PREFETCH_PER_SLOT, DEFAULT_PENDING_NOTICE_AFTER, DEFAULT_PREFETCH_PER_SLOT,
    HAND_BACK_PAUSE, HAND_BACK_PAUSE_MOST, MAX_HELD_KNOWN, MAX_HOSTS, MAX_HOSTS_LOST,
    MAX_IDLE_CLASSES, MAX_PREFETCH_BYTES, MAX_WAITING, MAX_WAITING_BYTES, PREFETCH_HORIZON,
    SchedulerConfig,
};
pub use event::{Event, HandBackWhy, HeldInputs, HostSpec};
pub use keys::{HostId, LeaseId, RunNo};
pub use need::Need;
pub use resources::{
    Amount, MAX_AMOUNT, MAX_RESOURCE_KINDS, MAX_RESOURCE_NAME, ResourceError, Resources,
    parse_resource, parse_resource_tag, resources_of_tags,
};
pub use scheduler::Scheduler;
pub use verdict::{HostVerdict, MAX_LOST_SHOWN, MAX_PENDING_REASONS, Reason, Standing};
pub use view::{Counts, HostView, Placed};
