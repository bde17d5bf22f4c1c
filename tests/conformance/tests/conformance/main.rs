//! One table of cases over every executor, in every way that its runs are carried: same answers,
//! same states, same failures, same logs. Run with the names of executors or cases to run only
//! these: `inline::probe::add`.

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
mod times;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use sandmill_test_artifacts::{foreach_example, foreach_guest};
use sandmill_test_conformance::{Bench, EXECUTORS, ExecutorUnderTest};
use table::Case;

fn main() -> ExitCode {
    if alone::was_asked() {
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Executors beside each other: much of what the cases do is waiting.
    arguments.test_threads.get_or_insert(EXECUTORS.len());
    let conclusion = libtest_mimic::run(&arguments, trials());
    times::show();
    conclusion.exit_code()
}

/// Every case on every executor. The executors take turns, each at another place of the table, so
/// that not all of them are at what takes long at the same time.
fn trials() -> Vec<Trial> {
    let mut columns: Vec<_> = EXECUTORS
        .iter()
        .zip(0..)
        .map(|(executor, place)| {
            let cases = all_cases().into_iter();
            let mut column: Vec<Trial> = cases
                .flat_map(|(group, cases)| cases.into_iter().map(move |case| (group, case)))
                .map(|(group, case)| trial(executor, group, case))
                .collect();
            let start = column.len() * place / EXECUTORS.len();
            column.rotate_left(start);
            column.into_iter()
        })
        .collect();
    let rows = columns.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
    (0..rows)
        .flat_map(|_| columns.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>())
        .collect()
}

fn trial(executor: &'static ExecutorUnderTest, group: &str, case: Case) -> Trial {
    let name = format!("{group}::{}", case.name);
    Trial::test(format!("{}::{name}", executor.name), move || {
        times::measured(executor.name, name, || (case.run)(Bench::shared(executor)));
        Ok(())
    })
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
