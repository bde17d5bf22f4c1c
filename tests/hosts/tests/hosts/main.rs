//! Three hosts with workers, and what may happen to them while a flow runs. What was seen is printed,
//! for whoever wants to know how long things took.
#![expect(clippy::print_stdout, reason = "what was seen is for whoever reads it")]

mod network;

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
