//! Kills at random, for as long as is asked for: `sandmill-kills [KILLS] [SEED]`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "this is a tool for whoever tests")]

use std::time::Instant;

use sandmill_test_kills::{Kill, Random, Tally, Trial, Workload};

/// Kills unless more or fewer are asked for.
const KILLS: u64 = 1_000;
/// Kills of one flow before it is let go on to its end.
const KILLS_OF_A_FLOW: u64 = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| match arguments.next() {
        Some(text) => text.parse().expect("write sandmill-kills [KILLS] [SEED], both numbers"),
        None => default,
    };
    let (kills, seed) = (number(KILLS), number(1));
    let (mut random, mut all, mut flows) = (Random::new(seed), Tally::default(), 0u64);
    let started = Instant::now();
    let [file, component] = Workload::ALL.map(Trial::undisturbed);
    while all.kills < kills {
        let (workload, lasts) = match flows % 2 {
            0 => (Workload::File, file),
            _ => (Workload::Component, component),
        };
        let mut trial = Trial::new(workload);
        for _ in 0..KILLS_OF_A_FLOW {
            if trial.kill(&Kill::After(random.before(lasts))) {
                break;
            }
        }
        let tally = trial.finish();
        flows += 1;
        all.kills += tally.kills;
        all.escapes += tally.escapes;
        all.repeated += tally.repeated;
        if flows.is_multiple_of(20) {
            println!("{} kills of {flows} flows in {:?}", all.kills, started.elapsed());
        }
    }
    println!(
        "{} kills of {flows} flows (seed {seed}): no completed run was done twice, none was lost, \
         every result is the same; {} runs were cut off before they were written down, and done again",
        all.kills, all.repeated
    );
}
