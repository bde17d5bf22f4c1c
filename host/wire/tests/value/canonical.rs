//! The canonical form: equal for what is equal, and with the same meaning as before.

use proptest::prelude::*;
use rmpv::Value as Model;
use sandmill_wire::value::Value;

use super::arbitrary::{encoded, model, model_and_widths, wide};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn equal_for_all_encodings_idempotent_and_no_longer((model, widths) in model_and_widths()) {
        let plain = Value::from_msgpack(encoded(&model)).expect("a model is a value");
        let wide = Value::from_msgpack(wide(&model, &widths)).expect("a model is a value");
        let canonical = plain.canonical();
        prop_assert_eq!(&canonical, &wide.canonical());
        prop_assert_eq!(&canonical, &canonical.canonical());
        prop_assert!(canonical.len_bytes() <= plain.len_bytes());
        Value::from_msgpack(canonical.into_bytes()).expect("passes its own check");
    }

    #[test]
    fn nothing_changes_its_meaning(model in model()) {
        let canonical = canonical(&encoded(&model));
        let read = rmpv::decode::read_value(&mut canonical.as_slice()).expect("MessagePack");
        prop_assert_eq!(meaning(&read), meaning(&model));
    }
}

/// What a model means, by another road than the code under test takes.
fn meaning(model: &Model) -> String {
    let all = |models: &[Model]| models.iter().map(meaning).collect::<Vec<_>>().join(",");
    match model {
        Model::F32(value) => meaning(&Model::F64(f64::from(*value))),
        Model::F64(value) => format!("float {value:?}"),
        Model::Array(elements) => format!("[{}]", all(elements)),
        Model::Map(entries) => {
            let mut entries: Vec<String> =
                entries.iter().map(|(key, value)| all(&[key.clone(), value.clone()])).collect();
            entries.sort();
            format!("{{{}}}", entries.join(";"))
        }
        other => format!("{other:?}"),
    }
}

fn canonical(bytes: &[u8]) -> Vec<u8> {
    Value::from_msgpack(bytes.to_vec()).expect("a value").canonical().as_bytes().to_vec()
}

#[test]
fn the_documented_rules() {
    // Integers, the sign's own types included.
    assert_eq!(canonical(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 200]), [0xcc, 200]);
    assert_eq!(canonical(&[0xd2, 0xff, 0xff, 0xff, 0xe0]), [0xe0]);
    // Floats: short where exact, one NaN, zero's sign kept.
    assert_eq!(canonical(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), [0xca, 0x3f, 0xc0, 0, 0]);
    let tenth = [&[0xcb][..], &0.1_f64.to_be_bytes()].concat();
    assert_eq!(canonical(&tenth), tenth);
    assert_eq!(canonical(&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 1]), [0xca, 0x7f, 0xc0, 0, 0]);
    assert_eq!(canonical(&[0xca, 0x7f, 0x80, 0, 1]), [0xca, 0x7f, 0xc0, 0, 0]);
    assert_eq!(canonical(&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]), [0xca, 0x80, 0, 0, 0]);
    // Headers.
    assert_eq!(canonical(&[0xdb, 0, 0, 0, 1, 0x61]), [0xa1, 0x61]);
    assert_eq!(canonical(&[0xc6, 0, 0, 0, 1, 0x61]), [0xc4, 1, 0x61]);
    assert_eq!(canonical(&[0xc8, 0, 4, 0xff, 1, 2, 3, 4]), [0xd6, 0xff, 1, 2, 3, 4]);
    assert_eq!(canonical(&[0xdd, 0, 0, 0, 1, 0xc0]), [0x91, 0xc0]);
    // Entries by the bytes of their canonical keys, inside and outside.
    assert_eq!(
        canonical(&[0x82, 0xa1, 0x62, 0x82, 0xff, 1, 0xcc, 5, 2, 0xa1, 0x61, 0xc0]),
        [0x82, 0xa1, 0x61, 0xc0, 0xa1, 0x62, 0x82, 5, 2, 0xff, 1]
    );
}
