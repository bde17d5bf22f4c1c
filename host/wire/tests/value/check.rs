//! What the check accepts and refuses.

use proptest::collection::vec;
use proptest::prelude::*;
use sandmill_wire::value::{Bounds, Kind, MAX_BYTES, MAX_NODES, Value, ValueError};

use super::arbitrary::{encoded, model, model_and_widths, wide};

fn refused(bytes: &[u8]) -> ValueError {
    Value::from_msgpack(bytes.to_vec()).expect_err("must be refused")
}

/// What rmpv says, with the bytes it left.
fn by_rmpv(mut bytes: &[u8]) -> Option<(rmpv::Value, usize)> {
    let value = rmpv::decode::read_value(&mut bytes).ok()?;
    Some((value, bytes.len()))
}

/// The check and rmpv agree, save where the check is stricter and says so.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (Value::from_msgpack(bytes.to_vec()), by_rmpv(bytes)) {
        (Ok(value), Some((_, left))) => {
            prop_assert_eq!(left, 0);
            prop_assert_eq!(value.as_bytes(), bytes);
        }
        (Ok(_), None) => prop_assert!(false, "accepted what rmpv refuses"),
        (Err(ValueError::TrailingBytes { extra, .. }), Some((_, left))) => {
            prop_assert_eq!(extra, left);
        }
        (Err(error), Some(_)) => prop_assert!(
            matches!(
                error,
                ValueError::InvalidUtf8 { .. }
                    | ValueError::DuplicateKey { .. }
                    | ValueError::KeyTooNested { .. }
                    | ValueError::TooDeep { .. }
                    | ValueError::TooManyNodes { .. }
                    // rmpv reads the unused marker as nil.
                    | ValueError::InvalidMarker { .. }
            ),
            "{}",
            error
        ),
        (Err(_), None) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_model_is_accepted_in_any_encoding((model, widths) in model_and_widths()) {
        let plain = Value::from_msgpack(encoded(&model));
        prop_assert!(plain.is_ok(), "{:?}", plain);
        let wide = Value::from_msgpack(wide(&model, &widths));
        prop_assert!(wide.is_ok(), "{:?}", wide);
    }

    #[test]
    fn random_bytes_agree_with_rmpv(bytes in vec(any::<u8>(), 0..200)) {
        agree(&bytes)?;
    }

    #[test]
    fn damaged_values_agree_with_rmpv(
        model in model(),
        at in any::<prop::sample::Index>(),
        with in vec(any::<u8>(), 0..4),
        removed in 0_usize..4,
    ) {
        let mut bytes = encoded(&model);
        let start = at.index(bytes.len());
        let end = (start + removed).min(bytes.len());
        bytes.splice(start..end, with);
        agree(&bytes)?;
        agree(&bytes[..start])?;
    }
}

#[test]
fn empty_input_is_truncated() {
    assert_eq!(refused(&[]), ValueError::Truncated { offset: 0 });
}

#[test]
fn each_fault_names_its_place() {
    assert_eq!(
        refused(&[0x92, 0x01]),
        ValueError::LengthBeyondInput { offset: 0, kind: Kind::Array, declared: 2, left: 1 }
    );
    assert_eq!(refused(&[0x92, 0xa1, 0x61, 0xcd, 0x01]), ValueError::Truncated { offset: 5 });
    assert_eq!(refused(&[0x91, 0xc1]), ValueError::InvalidMarker { offset: 1 });
    assert_eq!(refused(&[0xc0, 0xc0]), ValueError::TrailingBytes { offset: 1, extra: 1 });
    assert_eq!(refused(&[0x90, 0xc0]), ValueError::TrailingBytes { offset: 1, extra: 1 });
    assert_eq!(refused(&[0x91, 0xa1, 0xff]), ValueError::InvalidUtf8 { offset: 1 });
    assert_eq!(refused(&[0xa1, 0xff]), ValueError::InvalidUtf8 { offset: 0 });
    assert_eq!(
        refused(&[0xa5, 0x61]),
        ValueError::LengthBeyondInput { offset: 0, kind: Kind::String, declared: 5, left: 1 }
    );
}

#[test]
fn equal_keys_are_found_whatever_their_encoding() {
    let twice: [&[u8]; 9] = [
        &[0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02],
        &[0x82, 0xa1, 0x61, 0x01, 0xd9, 0x01, 0x61, 0x02],
        &[0x82, 0x01, 0xc0, 0xcd, 0x00, 0x01, 0xc0],
        &[0x82, 0xff, 0xc0, 0xd1, 0xff, 0xff, 0xc0],
        &[0x82, 0xd0, 0x07, 0xc0, 0x07, 0xc0],
        // 1.5 as float 32 and as float 64.
        &[0x82, 0xca, 0x3f, 0xc0, 0, 0, 0xc0, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0],
        // Two NaNs.
        &[0x82, 0xca, 0x7f, 0xc0, 0, 0, 0xc0, 0xca, 0xff, 0xc0, 0, 1, 0xc0],
        // [1] in two encodings.
        &[0x82, 0x91, 0x01, 0xc0, 0xdc, 0x00, 0x01, 0xcc, 0x01, 0xc0],
        // {1: 2, 3: 4} in two orders.
        &[0x82, 0x82, 1, 2, 3, 4, 0xc0, 0x82, 3, 4, 1, 2, 0xc0],
    ];
    for bytes in twice {
        assert!(matches!(refused(bytes), ValueError::DuplicateKey { offset: 0, .. }), "{bytes:x?}");
    }
    let unlike: [&[u8]; 4] = [
        // 1 and 1.0; 0.0 and -0.0; "a" and binary "a"; "a" inside and outside.
        &[0x82, 0x01, 0xc0, 0xca, 0x3f, 0x80, 0, 0, 0xc0],
        &[0x82, 0xca, 0, 0, 0, 0, 0xc0, 0xca, 0x80, 0, 0, 0, 0xc0],
        &[0x82, 0xa1, 0x61, 0xc0, 0xc4, 0x01, 0x61, 0xc0],
        &[0x82, 0xa1, 0x61, 0x81, 0xa1, 0x61, 0xc0, 0xa1, 0x62, 0x81, 0xa1, 0x61, 0xc0],
    ];
    for bytes in unlike {
        Value::from_msgpack(bytes.to_vec()).expect("all keys differ");
    }
}

#[test]
fn a_duplicate_is_found_in_small_and_large_maps_and_at_any_depth() {
    for count in [2_usize, 8, 9, 15, 16, 500] {
        for (first, second) in [(0, count - 1), (0, 1), (count - 2, count - 1)] {
            let key = |n: usize| rmpv::Value::from(if n == second { first } else { n });
            // Even keys first, so that they do not come sorted.
            let order = (0..count).step_by(2).chain((1..count).step_by(2));
            let map = rmpv::Value::Map(order.map(|n| (key(n), rmpv::Value::Nil)).collect());
            let inner = rmpv::Value::Array(vec![rmpv::Value::Nil, map]);
            let outer = rmpv::Value::Map(vec![(rmpv::Value::from("in"), inner)]);
            let error = refused(&encoded(&outer));
            assert_eq!(error, ValueError::DuplicateKey { offset: 6, key: first.to_string() });
        }
    }
}

#[test]
fn a_key_within_a_key_is_refused() {
    // {{[1]: 2}: 3}
    assert_eq!(refused(&[0x81, 0x81, 0x91, 1, 2, 3]), ValueError::KeyTooNested { offset: 2 });
    // {{[]: 2}: 3}
    assert_eq!(refused(&[0x81, 0x81, 0x90, 2, 3]), ValueError::KeyTooNested { offset: 2 });
    // {{1: [2]}: {[3]: 4}} and a container key after one that has ended.
    Value::from_msgpack(vec![0x81, 0x81, 1, 0x91, 2, 0x81, 0x91, 3, 4]).expect("one level");
    Value::from_msgpack(vec![0x82, 0x91, 1, 0, 0x91, 2, 0]).expect("one level");
}

#[test]
fn each_limit_trips_one_past_itself() {
    let nested = |depth: usize| {
        let mut bytes = vec![0x91; depth];
        bytes.push(0xc0);
        bytes
    };
    Value::from_msgpack(nested(64)).expect("the limit itself");
    assert_eq!(refused(&nested(65)), ValueError::TooDeep { offset: 64, limit: 64 });
    assert_eq!(
        refused(&[vec![0x91; 64], vec![0x90]].concat()),
        ValueError::TooDeep { offset: 64, limit: 64 }
    );

    let small = Bounds { max_bytes: 8, max_depth: 1, max_nodes: 3 };
    Value::check(vec![0x92, 1, 2], &small).expect("three nodes");
    assert_eq!(
        Value::check(vec![0x93, 1, 2, 3], &small),
        Err(ValueError::TooManyNodes { offset: 0, limit: 3 })
    );
    assert_eq!(
        Value::check(vec![0x91, 0x90], &small),
        Err(ValueError::TooDeep { offset: 1, limit: 1 })
    );
    assert_eq!(
        Value::check(vec![0xc0; 9], &small),
        Err(ValueError::TooLarge { size: 9, limit: 8 })
    );
    let none = Bounds { max_nodes: 0, ..Bounds::DEFAULT };
    assert_eq!(
        Value::check(vec![0xc0], &none),
        Err(ValueError::TooManyNodes { offset: 0, limit: 0 })
    );

    let mut bytes = vec![0xc6];
    bytes.extend((MAX_BYTES as u32 - 5).to_be_bytes());
    bytes.resize(MAX_BYTES, 0);
    Value::from_msgpack(bytes.clone()).expect("the limit itself");
    bytes.push(0);
    assert_eq!(refused(&bytes), ValueError::TooLarge { size: MAX_BYTES + 1, limit: MAX_BYTES });

    let nils = |count: u32| {
        let mut bytes = vec![0xdd];
        bytes.extend(count.to_be_bytes());
        bytes.resize(5 + count as usize, 0xc0);
        bytes
    };
    Value::from_msgpack(nils(MAX_NODES as u32 - 1)).expect("the limit itself");
    let tripped = refused(&nils(MAX_NODES as u32));
    assert_eq!(tripped, ValueError::TooManyNodes { offset: 0, limit: MAX_NODES });
}

#[test]
fn a_depth_beyond_the_ceiling_means_the_ceiling() {
    let deep = Bounds { max_depth: usize::MAX, ..Bounds::DEFAULT };
    let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
    let value = Value::check(nested(128), &deep).expect("the ceiling itself");
    assert_eq!(value.canonical(), value);
    assert_eq!(value.to_json_string().len(), 2 * 128 + 4);
    let error = Value::check(nested(129), &deep).expect_err("past the ceiling");
    assert_eq!(error, ValueError::TooDeep { offset: 128, limit: 128 });
}
