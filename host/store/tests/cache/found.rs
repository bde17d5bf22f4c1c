//! Which calls get a result of an earlier run, and which do not.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sandmill_core::{
    CachePolicy, Call, CallOptions, Component, Grants, Invoker, Limits, Report, Usage,
};
use sandmill_store::{CacheBounds, CacheKey, Expired, NotCacheable, cacheable};
use sandmill_wire::{End, EndKind, Outcome, Value};

use crate::common::{Fixture, call, component, echo, pure, returns, value};

#[test]
fn a_result_is_made_once_and_names_the_run_that_made_it() {
    let it = Fixture::new(echo);
    let (first, made) = it.invoke(&pure(r#"{"a":1}"#));
    assert_eq!(made.cached_from, None);
    for _ in 0..3 {
        let (_, report) = it.invoke(&pure(r#"{"a":1}"#));
        assert_eq!(report, Report::cached(made.outcome.clone(), first));
    }
    let (_, other) = it.invoke(&pure(r#"{"a":2}"#));
    assert_eq!(other.cached_from, None);
    assert_eq!(it.made(), 2);
    assert_eq!(it.invoker.prepare(&component()).unwrap().imports, ["asked"]);
}

#[test]
fn results_outlive_the_process_whether_they_are_small_or_large() {
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
    let it = Fixture::new(echo);
    let runs = [&r#"{"a":1}"#.to_owned(), &large].map(|text| it.invoke(&pure(text)).0);
    let Fixture { dir, store, cache, invoker, .. } = it;
    drop((cache, invoker));
    store.close();
    let it = Fixture::bounded(dir, CacheBounds::default(), |_| panic!("it is made again"));
    for (text, run) in [&r#"{"a":1}"#.to_owned(), &large].into_iter().zip(runs) {
        let (_, report) = it.invoke(&pure(text));
        assert_eq!(report, Report::cached(Outcome::Value(value(text).canonical()), run));
    }
}

#[test]
fn equal_arguments_are_those_that_mean_the_same() {
    let it = Fixture::new(echo);
    let (_, made) = it.invoke(&pure(r#"{"a":1,"b":[1.5,{"x":1,"y":2}]}"#));
    let (_, found) = it.invoke(&pure(r#"{"b":[1.5,{"y":2,"x":1}],"a":1}"#));
    assert!(found.cached_from.is_some());
    // And what a guest was given did not depend on how they were written.
    assert_eq!(found.outcome, made.outcome);
    for other in [r#"{"a":1.0,"b":[1.5,{"x":1,"y":2}]}"#, r#"{"a":1,"b":[{"x":1,"y":2},1.5]}"#] {
        assert_eq!(it.invoke(&pure(other)).1.cached_from, None, "{other}");
    }
}

#[test]
fn every_part_of_the_key_counts() {
    let arguments = value(r#"{"a":1}"#);
    let (one, two) = (component().digest(), Component::new(b"another".to_vec(), "b").digest());
    let key = |component, task: &str, arguments: &Value, user: Option<&str>| {
        CacheKey::new(component, task, arguments, user.map(Into::into))
    };
    let keys = [
        key(one, "count", &arguments, None),
        key(two, "count", &arguments, None),
        key(one, "counts", &arguments, None),
        key(one, "count", &value(r#"{"a":2}"#), None),
        key(one, "count", &arguments, Some("")),
        key(one, "count", &arguments, Some("k")),
        key(one, "count", &arguments, None).with_profile("another machine"),
    ];
    let digests: BTreeSet<_> = keys.iter().map(CacheKey::digest).collect();
    assert_eq!(digests.len(), keys.len());
    assert_eq!(keys[0].digest(), key(one, "count", &arguments, None).digest());
}

#[test]
fn what_is_granted_needs_a_key_and_the_words_say_so() {
    let grants = Grants { clock: true, random: true, ..Grants::default() };
    let options = |grants: &Grants, key: Option<&str>| CallOptions {
        grants: grants.clone(),
        cache: Some(CachePolicy { key: key.map(Into::into), ..CachePolicy::default() }),
        ..CallOptions::default()
    };
    assert_eq!(cacheable(&CallOptions::default()), Err(NotCacheable::NotAsked));
    assert_eq!(cacheable(&options(&Grants::default(), None)), Ok(()));
    assert_eq!(cacheable(&options(&grants, Some("today"))), Ok(()));
    let refused = cacheable(&options(&grants, None)).unwrap_err().to_string();
    assert!(refused.contains("clock, random") && refused.contains("give its cache a key"));

    let it = Fixture::new(echo);
    let base = Call::new(&component(), "count", value("{}"));
    for (options, found) in [
        (CallOptions::default(), false),
        (options(&grants, None), false),
        (options(&grants, Some("today")), true),
    ] {
        let call = base.clone().with_options(options);
        it.invoke(&call);
        assert_eq!(it.invoke(&call).1.cached_from.is_some(), found);
    }
    // Another key is another result.
    let call = base.with_options(options(&grants, Some("tomorrow")));
    assert_eq!(it.invoke(&call).1.cached_from, None);
}

#[test]
fn only_values_are_kept_and_not_those_of_runs_that_asked_who_they_are() {
    let outcomes = [
        Outcome::Failure(sandmill_wire::Failure::new("broken", "it broke")),
        Outcome::Ended(End::new(EndKind::TimedOut, "too slow")),
    ];
    for outcome in outcomes {
        let it = Fixture::new(move |_| Report::new(outcome.clone(), Usage::default()));
        it.invoke(&pure("{}"));
        it.invoke(&pure("{}"));
        assert_eq!(it.made(), 2);
    }
    let it = Fixture::new(|attempt| {
        let usage = Usage { read_context: true, ..Usage::default() };
        Report { usage, ..echo(attempt) }
    });
    it.invoke(&pure("{}"));
    assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
    // With a key its author answers for it.
    let keyed = call("{}", CachePolicy { key: Some("k".into()), ..CachePolicy::default() });
    it.invoke(&keyed);
    assert!(it.invoke(&keyed).1.cached_from.is_some());
}

#[test]
fn results_grow_old() {
    let it = Fixture::new(echo);
    let aged = |seconds: u64| CachePolicy {
        expires: Some(Duration::from_secs(seconds)),
        ..CachePolicy::default()
    };
    it.invoke(&pure("{}"));
    it.clock.advance(Duration::from_secs(10));
    assert!(it.invoke(&call("{}", aged(11))).1.cached_from.is_some());
    it.store.sync(None).unwrap();
    let key = CacheKey::of(&pure("{}"));
    let accepts = Some(Duration::from_secs(10));
    let explained = it.cache.reader().explain(&key, accepts, it.clock.now()).unwrap();
    let (age, accepts) = (Duration::from_secs(10), Duration::from_secs(10));
    assert_eq!(explained.expired, Some(Expired::Call { age, accepts }));
    assert_eq!(explained.hit(), None);
    // Too old for this call: it is made again, and kept for those that ask for ten seconds.
    assert_eq!(it.invoke(&call("{}", aged(10))).1.cached_from, None);
    it.clock.advance(Duration::from_secs(9));
    assert!(it.invoke(&pure("{}")).1.cached_from.is_some());
    it.clock.advance(Duration::from_secs(1));
    // Whoever made it said that it is good for ten seconds: no longer for anybody.
    assert_eq!(it.invoke(&pure("{}")).1.cached_from, None);
    assert_eq!(it.made(), 3);
}

#[test]
fn a_result_can_be_made_anew() {
    let it = Fixture::new(|attempt| returns(Value::encode(&attempt.run.to_string()).unwrap()));
    it.invoke(&pure("{}"));
    let refresh = call("{}", CachePolicy { refresh: true, ..CachePolicy::default() });
    let (anew, report) = it.invoke(&refresh);
    assert_eq!(report.cached_from, None);
    let (_, found) = it.invoke(&pure("{}"));
    assert_eq!(found, Report::cached(report.outcome, anew));
}

#[test]
fn a_value_that_a_call_may_not_return_is_not_found_for_it() {
    let it = Fixture::new(echo);
    let text = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000));
    it.invoke(&pure(&text));
    let limited = |limits| {
        let options =
            CallOptions { limits, cache: Some(CachePolicy::default()), ..CallOptions::default() };
        Call::new(&component(), "count", value(&text)).with_options(options)
    };
    let small = limited(Limits { output: 100, ..Limits::default() });
    assert_eq!(it.invoke(&small).1.cached_from, None);
    let small = limited(Limits { input: 100, ..Limits::default() });
    assert_eq!(it.invoke(&small).1.cached_from, None);
    let other = limited(Limits { memory: 1 << 30, fuel: Some(5), ..Limits::default() });
    assert!(it.invoke(&other).1.cached_from.is_some(), "limits are no part of the key");
}

#[test]
fn the_profile_says_how_the_sandbox_runs_guests() {
    let profile = sandmill_store::DETERMINISM_PROFILE;
    let sandbox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/src");
    for (part, file, source) in [
        ("nan=canonical", "engine.rs", ".cranelift_nan_canonicalization(true)"),
        ("relaxed-simd=deterministic", "engine.rs", ".relaxed_simd_deterministic(true)"),
        ("random=of-call-v1", "random.rs", "random streams of a call v1"),
        ("clock=virtual-2026-01-01", "clocks.rs", "VIRTUAL_WALL_START: u64 = 1_767_225_600"),
        ("contract=sandmill:task@0.1", "bindings.rs", "sandmill:task"),
    ] {
        assert!(profile.contains(part), "{part}");
        let text = std::fs::read_to_string(sandbox.join(file)).unwrap();
        assert!(text.contains(source), "{file} no longer says `{source}`: change the profile");
    }
}
