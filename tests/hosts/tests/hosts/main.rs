//! Three hosts with workers, and what may happen to them while a flow runs. What was seen is printed,
//! for whoever wants to know how long things took.
#![expect(clippy::print_stdout, reason = "what was seen is for whoever reads it")]

mod coordinators;
mod links;
mod network;
mod strangers;
mod transfers;
mod workers;

use sandmill_test_hosts::{MANY, Trial};

/// Leaves a test that cannot be made here.
macro_rules! needs_networks {
    () => {
        if !sandmill_test_hosts::may_make_networks() {
            println!("skipped: only root can make network namespaces");
            return;
        }
    };
}
pub(crate) use needs_networks;

/// Runs that all workers of a trial have made.
pub(crate) fn made_by_all(trial: &Trial) -> u64 {
    (0..trial.network.hosts()).map(|host| trial.made(host)).sum()
}

/// Of so many runs that were made for a map of [`MANY`], those that had been made before.
pub(crate) fn redone(made: u64) -> u64 {
    made.checked_sub(MANY).expect("no run was left out")
}
