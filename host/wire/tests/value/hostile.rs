//! Input made to cost more than it should.

use std::time::{Duration, Instant};

use sandmill_wire::value::{Value, ValueError};

/// Far above what any of these take, and far below what they would take if something were
/// quadratic or believed a header.
const DEADLINE: Duration = Duration::from_secs(20);

fn quick<T>(work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    assert!(begun.elapsed() < DEADLINE, "took {:?}", begun.elapsed());
    result
}

fn header32(marker: u8, count: u32) -> Vec<u8> {
    [&[marker][..], &count.to_be_bytes()].concat()
}

#[test]
fn depth_of_a_million() {
    for marker in [0x91, 0x81] {
        let bytes = vec![marker; 1_000_000];
        let error = quick(|| Value::from_msgpack(bytes)).expect_err("too deep");
        // A map's first key is a map again, which trips sooner.
        assert!(matches!(error, ValueError::TooDeep { .. } | ValueError::KeyTooNested { .. }));
    }
    let bytes = [0x81, 0xa0].repeat(500_000);
    let error = quick(|| Value::from_msgpack(bytes)).expect_err("too deep");
    assert_eq!(error, ValueError::TooDeep { offset: 128, limit: 64 });
}

#[test]
fn headers_of_4_gib() {
    for marker in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
        for around in [vec![], vec![0x91], vec![0x81, 0xc0]] {
            let mut bytes = around;
            bytes.extend(header32(marker, u32::MAX));
            bytes.extend([0; 5]);
            let error = quick(|| Value::from_msgpack(bytes)).expect_err("a lie");
            assert!(matches!(
                error,
                ValueError::LengthBeyondInput { declared: u32::MAX, left: 4 | 5, .. }
            ));
        }
    }
}

#[test]
fn sixteen_mebibytes_of_nils() {
    let count = 16 * 1024 * 1024 - 5;
    let mut bytes = header32(0xdd, count);
    bytes.resize(16 * 1024 * 1024, 0xc0);
    let error = quick(|| Value::from_msgpack(bytes)).expect_err("too many");
    assert!(matches!(error, ValueError::TooManyNodes { offset: 0, .. }));
}

#[test]
fn a_hundred_thousand_keys() {
    for last in [0_u32, 100_000] {
        let mut bytes = header32(0xdf, 100_001);
        for key in (0..100_000).rev().chain([last]) {
            bytes.extend(header32(0xce, key));
            bytes.push(0xc0);
        }
        let result = quick(|| Value::from_msgpack(bytes));
        assert_eq!(result.is_ok(), last == 100_000);
    }
}

#[test]
fn long_keys_that_differ_at_the_end() {
    let mut bytes = header32(0xdf, 1000);
    for key in (0..1000_u32).rev() {
        bytes.extend(header32(0xdb, 16_000));
        bytes.extend([b'x'; 15_990]);
        bytes.extend(format!("{key:010}").into_bytes());
        bytes.push(0xc0);
    }
    let value = quick(|| Value::from_msgpack(bytes)).expect("all differ");
    quick(|| value.canonical());
}

/// Each key is a map with many keys of its own: canonical forms of forms, were they allowed.
#[test]
fn containers_as_keys() {
    let mut bytes = header32(0xdf, 3000);
    for outer in (0..3000_u32).rev() {
        bytes.extend([0xde, 0, 100]);
        for inner in (0..100).rev() {
            bytes.extend(header32(0xce, inner));
            bytes.push(if inner == 0 { 0xce } else { 0xc0 });
            if inner == 0 {
                bytes.extend(outer.to_be_bytes());
            }
        }
        bytes.push(0xc0);
    }
    let value = quick(|| Value::from_msgpack(bytes)).expect("all differ");
    quick(|| value.canonical());
    quick(|| value.to_json_string());
}

/// The canonical form and the JSON form of a large value at the greatest depth.
#[test]
fn large_and_deep() {
    let mut bytes = [0x82, 0xa1, b'b'].repeat(63);
    bytes.extend(header32(0xc6, 15 * 1024 * 1024));
    bytes.resize(bytes.len() + 15 * 1024 * 1024, 7);
    bytes.extend([0xa1, b'a', 0x01].repeat(63));
    let value = quick(|| Value::from_msgpack(bytes)).expect("within bounds");
    let text = quick(|| value.to_json_string());
    let back = quick(|| Value::from_json_str(&text)).expect("our own form");
    assert_eq!(back.canonical(), quick(|| value.canonical()));
}
