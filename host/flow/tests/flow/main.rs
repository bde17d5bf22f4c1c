//! Flows from their journals: run, stopped, killed, taken up again, over a history that may fail.

mod component_flows;
mod component_replay;
mod component_unreadable;
mod faults;
mod flow_keys;
mod guest;
mod hooks;
mod journal;
mod killed;
mod oracle;
mod random_flows;
mod runner;
mod schedule;
mod stopping;
mod store_faults;
mod support;
mod taken_up;
mod triggers;
