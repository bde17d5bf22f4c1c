//! One table of cases over every executor: same answers, same states, same failures, same logs.
//! Run with the names of executors or cases to run only these: `inline::probe::add`.

mod alone;
mod attached;
mod bytes;
mod census;
mod examples;
mod flows;
mod futures;
mod histories;
mod hostile;
mod maps;
mod montecarlo;
mod network;
mod probe;
mod raw;
mod retries;
mod table;
mod text;
mod thumbnails;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sandmill_test_artifacts::{foreach_example, foreach_guest};
use sandmill_test_conformance::{Bench, EXECUTORS};
use table::Case;

fn main() -> ExitCode {
    if alone::was_asked() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trials = EXECUTORS.iter().flat_map(|executor| {
        all_cases().into_iter().flat_map(move |(group, cases)| {
            cases.into_iter().map(move |case| {
                let name = format!("{}::{group}::{}", executor.name, case.name);
                Trial::test(name, move || {
                    (case.run)(Bench::shared(executor));
                    Ok(())
                })
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Every case, by the module it is in. A guest without a module of its name here does not compile.
fn all_cases() -> Vec<(&'static str, Vec<Case>)> {
    let mut all = vec![
        ("alone", alone::cases()),
        ("bytes", bytes::cases()),
        ("futures", futures::cases()),
        ("attached", attached::cases()),
        ("histories", histories::cases()),
        ("maps", maps::cases()),
        ("retries", retries::cases()),
        ("text", text::cases()),
    ];
    macro_rules! add {
        ($guest:ident) => {
            all.push((stringify!($guest), $guest::cases()))
        };
    }
    foreach_guest!(add);
    foreach_example!(add);
    all
}
