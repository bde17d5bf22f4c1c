//! Pure computation: byte-equal on every executor, and from both build tools.

use parking_lot::Mutex;
use sandmill::future::OnError;
use sandmill::{Call, MapOptions, args};
use sandmill_test_artifacts::{CargoComponent, cargo_component, component_built};
use sandmill_test_conformance::{Bench, LONG};

use crate::table::{Case, checks};

pub(crate) fn cases() -> Vec<Case> {
    checks![estimates_are_equal_to_the_byte, both_build_tools_make_the_same_component_to_run]
}

/// The bytes of each seed's estimate.
fn estimates(bench: &Bench, component: &sandmill::Component) -> Vec<Vec<u8>> {
    let component = component.clone();
    let calls = (0..64_u64).map(move |seed| {
        let arguments = args! { "seed" => seed, "samples" => 500 }.unwrap();
        Call::new(&component, "estimate", arguments).at_index(seed)
    });
    let list = bench.host.map(calls, MapOptions::default());
    let values = list.results(Some(LONG), OnError::Cancel).unwrap();
    values.iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn estimates_are_equal_to_the_byte(bench: &Bench) {
    static FIRST: Mutex<Option<Vec<Vec<u8>>>> = Mutex::new(None);
    let component = bench.guest("montecarlo");
    let found = estimates(bench, &component);
    assert_eq!(found, estimates(bench, &component));
    let mut first = FIRST.lock();
    let first = first.get_or_insert_with(|| found.clone());
    assert!(*first == found, "the executors differ");
    let distinct: std::collections::HashSet<_> = found.iter().collect();
    assert_eq!(distinct.len(), 64, "every seed has an estimate of its own");
}

fn both_build_tools_make_the_same_component_to_run(bench: &Bench) {
    if cargo_component() == CargoComponent::Missing {
        say_skipped();
        return;
    }
    let plain = bench.guest("montecarlo");
    let other = bench.host.load(component_built("montecarlo")).unwrap();
    assert_ne!(plain.digest(), other.digest(), "the tools make different bytes");
    let (plain_info, other_info) =
        (bench.host.inspect(&plain).unwrap(), bench.host.inspect(&other).unwrap());
    assert_eq!(plain_info.tasks, other_info.tasks);
    assert_eq!(estimates(bench, &plain), estimates(bench, &other));
    // And one that looks around, where the two differ most: the adapter of the older target.
    let probe = bench.host.load(component_built("probe")).unwrap();
    let look = || bench.run_call(Call::new(&probe, "look_around", args! {}.unwrap()));
    let first = look();
    assert_eq!(first.bytes(), look().bytes());
    let seen = first.json();
    assert_eq!((&seen["variables"], &seen["passed_nanos"]), (&serde_json::json!({}), &0.into()));
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know what was left out")]
fn say_skipped() {
    eprintln!("skipped: cargo-component is not installed");
}
