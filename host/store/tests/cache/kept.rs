//! What is kept, for how long, and what is said of it.

use std::path::Path;
use std::time::{Duration, Instant};

use sandmill_core::{CachePolicy, Call, Component, Timestamp};
use sandmill_store::{CacheBounds, CacheFilter, CacheKey, CacheReader, Difference, Health};

use crate::common::{Fixture, LONG, blobs, call, component, echo, echo_of, list, pure};

#[test]
fn entries_that_are_damaged_are_as_good_as_none_and_go() {
    let small = r#"{"a":1}"#.to_owned();
    let large = format!(r#"{{"text":"{}"}}"#, "y".repeat(100_000));
    for damage in [
        "UPDATE cache SET result = CAST(x'2a' AS BLOB) WHERE result IS NOT NULL",
        "UPDATE cache SET run = randomblob(16)",
        "UPDATE cache SET task = 'counts'",
        "UPDATE cache SET expires = created + 1000000000000",
        "UPDATE cache SET seal = seal + 1",
        "UPDATE cache SET result = NULL, result_digest = NULL",
        "UPDATE cache SET created = 'yesterday'",
        "UPDATE cache SET result_digest = 7",
        "UPDATE cache SET result_digest = 'a digest', bytes = 'many'",
        "UPDATE cache SET bytes = 1 << 60",
    ] {
        let it = Fixture::new(echo);
        it.invoke(&pure(&small));
        it.raw().execute_batch(damage).unwrap();
        let (_, report) = it.invoke(&pure(&small));
        assert_eq!(report, echo_of(&small), "{damage}");
        assert_eq!(it.made(), 2, "{damage}");
        let count: i64 =
            it.raw().query_row("SELECT count(*) FROM cache", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "{damage}");
        // The next ones find their place, and what else is written does not suffer.
        let other = pure(r#"{"b":2}"#);
        it.invoke(&other);
        it.settle();
        assert!(it.invoke(&pure(&small)).1.cached_from.is_some(), "{damage}");
        assert!(it.invoke(&other).1.cached_from.is_some(), "{damage}");
        assert!(matches!(it.store.health(), Health::Good), "{damage}");
    }
    for damage in ["result_digest = 'a digest'", "bytes = -1, result_digest = 7"] {
        let it = Fixture::new(echo);
        it.invoke(&pure(&small));
        it.raw().execute_batch(&format!("UPDATE cache SET {damage}")).unwrap();
        assert_eq!(it.cache.clear(&CacheFilter::default()).unwrap().entries, 1, "{damage}");
    }
    let it = Fixture::new(echo);
    it.invoke(&pure(&large));
    it.settle();
    let blob = blobs(&it.dir.path().join("blobs")).pop().unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(it.invoke(&pure(&large)).1, echo_of(&large));
    it.settle();
    assert!(it.invoke(&pure(&large)).1.cached_from.is_some(), "it is whole again");
    assert_eq!(it.made(), 2);
}

#[test]
fn the_oldest_go_first_when_there_is_no_room() {
    let bounds = CacheBounds { entries: 3, bytes: 1_000_000 };
    let it = Fixture::bounded(tempfile::tempdir().unwrap(), bounds, echo);
    let arguments = |number: usize| format!(r#"{{"number":{number}}}"#);
    for number in 0..5 {
        it.invoke(&pure(&arguments(number)));
        it.store.sync(None).unwrap();
    }
    let found = |number| CacheKey::of(&pure(&arguments(number))).digest();
    let kept: Vec<_> = list(&it, &CacheFilter::default()).iter().map(|it| it.key).collect();
    assert_eq!(kept, [found(4), found(3), found(2)]);
    // By bytes, with large values: their files go too.
    let bounds = CacheBounds { entries: 1_000, bytes: 250_000 };
    let it = Fixture::bounded(tempfile::tempdir().unwrap(), bounds, echo);
    for number in 0..5 {
        it.invoke(&pure(&format!(r#"{{"{number}":"{}"}}"#, "x".repeat(100_000))));
        it.store.sync(None).unwrap();
    }
    assert_eq!(list(&it, &CacheFilter::default()).len(), 2);
    let totals = it.cache.reader().totals().unwrap();
    assert!(totals.entries == 2 && totals.bytes <= 250_000, "{totals:?}");
    // Whatever is asked next sweeps what lost its last name, once the writer has said so.
    let begun = Instant::now();
    while blobs(&it.dir.path().join("blobs")).len() > 2 {
        assert!(begun.elapsed() < LONG, "files stay that nothing names");
        let _ = it.cache.find(&CacheKey::of(&pure("{}")), None, it.clock.now());
        it.store.sync(None).unwrap();
    }
    assert_eq!(blobs(&it.dir.path().join("blobs")).len(), 2);
}

#[test]
fn what_is_cleared_is_gone_and_the_rest_stays() {
    let it = Fixture::new(echo);
    let named = |task: &str, key: Option<&str>| {
        let policy = CachePolicy { key: key.map(Into::into), ..CachePolicy::default() };
        Call { task: task.into(), ..call("{}", policy) }
    };
    let calls = [named("a", None), named("b", None), named("b", Some("k")), named("c", None)];
    for call in &calls {
        it.invoke(call);
        it.clock.advance(Duration::from_secs(1));
    }
    let tasks = |it: &Fixture| -> Vec<String> {
        list(it, &CacheFilter::default()).iter().map(|entry| entry.task.to_string()).collect()
    };
    assert_eq!(tasks(&it), ["c", "b", "b", "a"]);
    let keyed = CacheFilter { user_key: Some("k".to_owned()), ..CacheFilter::default() };
    assert_eq!(list(&it, &keyed).len(), 1);
    let before =
        CacheFilter { before: Some(Timestamp::from_micros(2_000_000)), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&before).unwrap().entries, 1);
    let task = CacheFilter { task: Some("b".to_owned()), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&task).unwrap().entries, 2);
    assert_eq!(tasks(&it), ["c"]);
    // What is on its way goes, too.
    it.invoke(&calls[0]);
    let component = CacheFilter { component: Some(component().digest()), ..CacheFilter::default() };
    assert_eq!(it.cache.clear(&component).unwrap().entries, 2);
    assert_eq!(it.cache.reader().totals().unwrap().entries, 0);
    assert_eq!(it.invoke(&calls[0]).1.cached_from, None);
    assert_eq!(it.cache.take_fault().map(|fault| fault.to_string()), None);
}

#[test]
fn it_is_explained_what_differs_from_the_nearest_entry() {
    let it = Fixture::new(echo);
    it.invoke(&pure(r#"{"path":"a","width":1,"gone":true}"#));
    it.invoke(&pure(r#"{"path":"b","width":9,"gone":false,"more":1}"#));
    it.store.sync(None).unwrap();
    // Nobody needs the writer's lock for it.
    let reader = CacheReader::new(it.dir.path());
    let explain = |call: &Call| reader.explain(&CacheKey::of(call), None, it.clock.now()).unwrap();
    let words = |call: &Call| -> Vec<String> {
        let nearest = explain(call).nearest.expect("there is an entry that is near");
        nearest.differences.iter().map(ToString::to_string).collect()
    };
    let same = explain(&pure(r#"{"width":1,"gone":true,"path":"a"}"#));
    assert!(same.hit().is_some() && same.nearest.is_none());
    assert_eq!(
        words(&pure(r#"{"path":"a","width":2,"new":1}"#)),
        ["the arguments differ: `gone` is missing, `width` has another value, `new` is new"]
    );
    let keyed = CachePolicy { key: Some("k".into()), ..CachePolicy::default() };
    assert_eq!(
        words(&call(r#"{"path":"a","width":1,"gone":true}"#, keyed)),
        ["the key is `k`, that of the entry was not given"]
    );
    let mut other = pure(r#"{"path":"a","width":1,"gone":true}"#);
    other.component = Component::new(b"a newer component".to_vec(), "component.wasm");
    assert!(words(&other)[0].starts_with("the component is "));
    let key =
        CacheKey::of(&pure(r#"{"path":"a","width":1,"gone":true}"#)).with_profile("elsewhere");
    let explained = reader.explain(&key, None, it.clock.now()).unwrap();
    let differences = explained.nearest.unwrap().differences;
    assert!(matches!(&*differences, [Difference::Profile { .. }]), "{differences:?}");
    // Of arguments that are not kept, there are the digests.
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(10_000));
    it.invoke(&Call { task: "large".into(), ..pure(&large) });
    it.store.sync(None).unwrap();
    let said = words(&Call { task: "large".into(), ..pure("{}") });
    assert!(said[0].starts_with("the arguments differ: their digest is "), "{said:?}");
    // Where there is nothing near, that is all there is to say.
    let far = Call { task: "far".into(), ..pure(r#"{"nothing":"alike"}"#) };
    assert_eq!(explain(&far).nearest, None);
    let nowhere = CacheReader::new(Path::new("/nowhere/at/all"));
    assert!(nowhere.list(&CacheFilter::default(), 10).unwrap().is_empty());
}
