//! What Prefect 3 documents, as one table: each scenario names where Prefect says it, and is
//! played on every executor. Sources are paths in the repository `PrefectHQ/prefect` and a name to
//! look for there. What Sandmill does otherwise on purpose is marked so in the table, and listed in
//! `docs/parity.md`, which is held to the tests that there are.
//!
//! Run with a part of a name to play only some: `pool::retries`.

mod as_completed;
mod caching;
mod callbacks;
mod flows;
mod lists;
mod maps;
mod parity;
mod resolve;
mod results;
mod retries;
mod states;
mod wait;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sandmill_test_conformance::EXECUTORS;
use sandmill_test_prefect::{Scenario, Stage};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // How runs get to other hosts makes no difference to what Prefect says of them.
    let mut trials: Vec<Trial> = EXECUTORS
        .iter()
        .filter(|executor| !executor.is_variant)
        .flat_map(|executor| {
            let plays =
                move |scenario: &Scenario| !(scenario.needs_waiting && executor.runs_in_submit);
            table().into_iter().flat_map(move |(group, scenarios)| {
                scenarios.into_iter().filter(plays).map(move |scenario| {
                    let name = format!("{}::{group}::{}", executor.name, scenario.name);
                    let play = move || {
                        (scenario.play)(&Stage::new(executor));
                        Ok(())
                    };
                    Trial::test(name, play).with_kind(scenario.source)
                })
            })
        })
        .collect();
    trials.extend(parity::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Every scenario, by the module it is in.
fn table() -> Vec<(&'static str, Vec<Scenario>)> {
    vec![
        ("as_completed", as_completed::scenarios()),
        ("caching", caching::scenarios()),
        ("callbacks", callbacks::scenarios()),
        ("flows", flows::scenarios()),
        ("lists", lists::scenarios()),
        ("maps", maps::scenarios()),
        ("resolve", resolve::scenarios()),
        ("results", results::scenarios()),
        ("retries", retries::scenarios()),
        ("states", states::scenarios()),
        ("wait", wait::scenarios()),
    ]
}
