//! Links that are cut, deaf and slow while a map is under way.

use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

use sandmill_test_hosts::{
    Deaf, HEALED_WITHIN, LONG, MANY, PAST_THE_LEASE, Trial, Workload, count,
};

use crate::{made_by_all, needs_networks, redone};

/// A component that takes ten minutes over the slow link.
const LARGE: usize = 5 << 20;

/// Row N1, a second and five.
#[test]
fn links_that_are_cut_for_seconds_lose_nothing() {
    needs_networks!();
    let trial = Trial::new(Workload::naps(MANY, (10, 30)), 6);
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);
    (0..2).for_each(|host| trial.network.cut(host));
    let cut = Instant::now();
    sleep(Duration::from_secs(1));
    trial.network.heal(0);
    let first = trial.wait_for_healing(&mut coordinator, 0);
    sleep(Duration::from_secs(5).saturating_sub(cut.elapsed()));
    trial.network.heal(1);
    let second = trial.wait_for_healing(&mut coordinator, 1);
    println!(
        "a link cut for 1 s: its worker had runs {first:?} after it was healed; one cut for 5 s: \
         {second:?}"
    );
    // Now nobody is left to make anything.
    (0..3).for_each(|host| trial.network.cut(host));
    sleep(Duration::from_secs(5));
    let done = trial.done();
    (0..3).for_each(|host| trial.network.heal(host));
    let healed = trial.wait_for(&mut coordinator, done + 500, HEALED_WITHIN);
    println!("all links cut for 5 s: 500 runs more {healed:?} after they were healed");
    let (ended, whole) = trial.finish(coordinator);
    let again = redone(made_by_all(&trial));
    println!("{again} runs were made again; {whole:?}; {:?} in all", ended.took);
    // The cuts were shorter than the leases, so that what was made under them is taken.
    assert_eq!(again, 0, "nothing is made again for a short cut");
    assert_eq!(whole.retried, 0, "a cut link is no attempt");
}

/// Row N1, a minute. Takes two; set `SANDMILL_LONG_TESTS` to have it.
#[test]
fn a_link_that_is_cut_for_a_minute_loses_nothing() {
    needs_networks!();
    if env::var_os("SANDMILL_LONG_TESTS").is_none() {
        println!("skipped: it takes two minutes; set SANDMILL_LONG_TESTS to have it");
        return;
    }
    let trial = Trial::new(Workload::naps(MANY, (10, 30)), 2);
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);
    trial.network.cut(0);
    sleep(Duration::from_secs(60));
    let done = trial.done();
    trial.network.heal(0);
    let healed = trial.wait_for_healing(&mut coordinator, 0);
    let (ended, whole) = trial.finish(coordinator);
    println!(
        "link cut for 60 s, {done} runs done by then: its worker had runs {healed:?} after it was \
         healed; {} runs were made again; {whole:?}; {:?} in all",
        redone(made_by_all(&trial)),
        ended.took
    );
    assert_eq!(whole.retried, 0, "a cut link is no attempt");
}

/// Row N2: one host hears nothing, and at the same time another is not heard.
#[test]
fn links_of_one_direction_only_lose_nothing() {
    needs_networks!();
    let trial = Trial::new(Workload::naps(MANY, (10, 30)), 6).be_brisk();
    let mut coordinator = trial.run();
    trial.wait_for(&mut coordinator, 1_000, LONG);
    trial.network.deafen(0, Deaf::Host);
    trial.network.deafen(1, Deaf::Coordinator);
    let before = (trial.done(), trial.made(2));
    sleep(PAST_THE_LEASE);
    let meanwhile = trial.done() - before.0;
    // The third makes what the others had, too.
    assert!(trial.made(2) > before.1 + 500, "the third host went on");
    trial.network.hear_again(0, Deaf::Host);
    trial.network.hear_again(1, Deaf::Coordinator);
    let began = Instant::now();
    let first = trial.wait_for_healing(&mut coordinator, 0);
    trial.wait_for_healing(&mut coordinator, 1);
    let second = began.elapsed();
    assert!(second <= HEALED_WITHIN, "it took {second:?}");
    let (ended, whole) = trial.finish(coordinator);
    println!(
        "one host deaf and one mute for {PAST_THE_LEASE:?}: {meanwhile} runs done meanwhile; \
         the deaf one had runs {first:?} after it was healed, both {second:?}; {} runs were made \
         again; {whole:?}; {:?} in all",
        redone(made_by_all(&trial)),
        ended.took
    );
    assert_eq!(whole.retried, 0, "a cut link is no attempt");
}

/// Row N4.
#[test]
fn a_slow_link_delays_only_its_own_host() {
    needs_networks!();
    // Long enough that there is work left for the slow host when its link is whole again.
    let workload = Workload::naps(MANY, (15, 45)).with_component_of(LARGE);
    let trial = Trial::new(workload, 6);
    trial.network.slow(2, "64kbit");
    let mut coordinator = trial.run();
    // For longer than any lease, and than any silence is borne, the slow host gets its component, and the
    // others work.
    trial.wait_for(&mut coordinator, 500, LONG);
    let (begun, before) = (Instant::now(), trial.done());
    sleep(Duration::from_secs(20));
    let meanwhile = trial.done() - before;
    let (there, _) = trial.network.traffic(2);
    assert!(there < LARGE as u64 / 2, "the link was not slow: {there} bytes went over it");
    assert_eq!(trial.made(2), 0);
    assert!(meanwhile > 1_000, "the others made {meanwhile} runs");
    trial.network.speed_up(2);
    let healed = trial.wait_for_healing(&mut coordinator, 2);
    let (ended, whole) = trial.finish(coordinator);
    let said = trial.worker(2).said();
    println!(
        "a component of {LARGE} bytes over 64 kbit/s for {:?}: {there} bytes came, {meanwhile} runs \
         were done by the others; the slow host had runs {healed:?} after its link was whole; {} runs \
         were made again; {whole:?}; {:?} in all\n{said}",
        begun.elapsed(),
        redone(made_by_all(&trial)),
        ended.took
    );
    assert_eq!(said.matches("has connected").count(), 1, "the link stood all the while");
    for host in 0..3 {
        let transfers = count(&trial.metrics(host), "sandmill_worker_component_transfers_total");
        assert_eq!(transfers, 1, "host {host}");
        // The rest is orders and heartbeats.
        let (there, _) = trial.network.traffic(host);
        assert!(there < 2 * LARGE as u64, "host {host} got {there} bytes");
    }
}
