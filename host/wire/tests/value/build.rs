//! Splicing: maps, arrays and templates.

use proptest::collection::vec;
use proptest::prelude::*;
use sandmill_wire::value::{
    ArgumentTemplate, Bounds, MAX_BYTES, MAX_NODES, MapBuilder, Value, ValueError,
};

use super::arbitrary::{encoded, model};

fn value(model: &rmpv::Value) -> Value {
    Value::from_msgpack(encoded(model)).expect("a model is a value")
}

fn int(number: u64) -> Value {
    Value::encode(&number).expect("an integer")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_array_is_its_elements_put_together(models in vec(model(), 0..40)) {
        let elements: Vec<Value> = models.iter().map(value).collect();
        let array = Value::array_from(&elements).expect("within bounds");
        prop_assert_eq!(array.as_bytes(), encoded(&rmpv::Value::Array(models)));
        prop_assert_eq!(array.elements().expect("an array").collect::<Vec<_>>(), elements);
        Value::from_msgpack(array.into_bytes()).expect("passes its own check");
    }

    #[test]
    fn all_ways_to_build_a_map_agree(models in vec(model(), 0..20), split in 0_usize..20) {
        let names: Vec<String> = (0..models.len()).map(|n| "n".repeat(3 * n)).collect();
        let values: Vec<Value> = models.iter().map(value).collect();
        let entries: Vec<(&str, &Value)> =
            names.iter().map(String::as_str).zip(&values).collect();
        let map = Value::map_from(entries.iter().copied()).expect("within bounds");
        Value::from_msgpack(map.clone().into_bytes()).expect("passes its own check");
        let model = names.iter().map(|name| name.as_str().into()).zip(models).collect();
        prop_assert_eq!(map.as_bytes(), encoded(&rmpv::Value::Map(model)));

        let mut by_name = MapBuilder::new();
        entries.iter().for_each(|(name, value)| { by_name.push(name, value); });
        prop_assert_eq!(&by_name.finish().expect("within bounds"), &map);
        let mut by_key = MapBuilder::new();
        for (name, value) in &entries {
            by_key.push_entry(&Value::encode(name).expect("a string"), value);
        }
        prop_assert_eq!(&by_key.finish().expect("within bounds"), &map);
        let pairs: Vec<(Value, Value)> = map.entries().expect("a map").collect();
        prop_assert_eq!(&Value::map_from_entries(&pairs).expect("within bounds"), &map);

        let (fixed, varying) = entries.split_at(split.min(entries.len()));
        let template = ArgumentTemplate::new(
            fixed.iter().copied(),
            varying.iter().map(|(name, _)| *name),
        ).expect("within bounds");
        let given: Vec<&Value> = varying.iter().map(|(_, value)| *value).collect();
        prop_assert_eq!(template.varying(), given.len());
        prop_assert_eq!(&template.render(&given).expect("within bounds"), &map);
    }

    #[test]
    fn a_map_of_any_entries_is_rebuilt_from_them(model in model()) {
        let map = value(&model);
        if let Ok(entries) = map.entries() {
            let mut builder = MapBuilder::new();
            for (key, value) in entries {
                builder.push_entry(&key, &value);
            }
            prop_assert_eq!(builder.finish().expect("within bounds").canonical(), map.canonical());
        }
    }
}

#[test]
fn a_name_twice_is_refused_everywhere() {
    let one = int(1);
    let twice = |error: ValueError| {
        assert_eq!(error, ValueError::DuplicateKey { offset: 0, key: "\"a\"".to_owned() });
    };
    twice(Value::map_from([("a", &one), ("b", &one), ("a", &one)]).expect_err("twice"));
    twice(ArgumentTemplate::new([("a", &one)], ["b", "a"]).expect_err("twice"));
    let mut builder = MapBuilder::new();
    let key = Value::encode("a").expect("a string");
    twice(builder.push("a", &one).push_entry(&key, &one).finish().expect_err("twice"));
    let names: Vec<String> = (0..100).map(|n| format!("n{}", n % 99)).collect();
    let error = Value::map_from(names.iter().map(|name| (name.as_str(), &one)));
    assert!(matches!(error, Err(ValueError::DuplicateKey { .. })));
}

#[test]
fn a_key_within_a_key_cannot_be_built() {
    let inner = Value::from_msgpack(vec![0x81, 0x91, 1, 2]).expect("one level");
    let error = MapBuilder::new().push_entry(&inner, &int(1)).finish().expect_err("two levels");
    assert!(matches!(error, ValueError::KeyTooNested { .. }));
    Value::map_from([("a", &inner)]).expect("as a value it may be");
}

#[test]
fn a_template_wants_as_many_values_as_names() {
    let template = ArgumentTemplate::new([], ["a", "b"]).expect("within bounds");
    let error = template.render(&[&int(1)]).expect_err("one too few");
    assert_eq!(error.to_string(), "the template takes 2 values, but 1 were given");
}

#[test]
fn bounds_hold_for_what_is_built() {
    let nested = |depth: usize| {
        let bytes = [vec![0x91; depth], vec![0xc0]].concat();
        Value::from_msgpack(bytes).expect("within bounds")
    };
    let (deep, deepest) = (nested(63), nested(64));
    let built = Value::map_from([("a", &deep)]).expect("64 deep");
    Value::from_msgpack(built.into_bytes()).expect("passes its own check");
    let too_deep = Err(ValueError::TooDeep { offset: 0, limit: 64 });
    assert_eq!(Value::map_from([("a", &deepest)]), too_deep);
    assert_eq!(Value::array_from([&deepest]), too_deep);
    assert_eq!(MapBuilder::new().push("a", &deepest).finish(), too_deep);
    let template = ArgumentTemplate::new([("f", &deep)], ["a"]).expect("within bounds");
    assert_eq!(template.render(&[&deepest]), too_deep);
    template.render(&[&deep]).expect("64 deep");

    let mut bytes = vec![0xc6];
    bytes.extend((MAX_BYTES as u32 - 5).to_be_bytes());
    bytes.resize(MAX_BYTES, 0);
    let large = Value::from_msgpack(bytes).expect("the limit itself");
    assert!(matches!(Value::array_from([&large]), Err(ValueError::TooLarge { .. })));

    let mut bytes = vec![0xdd];
    bytes.extend((MAX_NODES as u32 / 2).to_be_bytes());
    bytes.resize(5 + MAX_NODES / 2, 0xc0);
    let many = Value::from_msgpack(bytes).expect("within bounds");
    let error = Value::array_from([&many, &many]).expect_err("too many");
    assert_eq!(error, ValueError::TooManyNodes { offset: 0, limit: MAX_NODES });

    let small = Bounds { max_bytes: 4, ..Bounds::DEFAULT };
    let error = MapBuilder::within(small).push("abc", &int(1)).finish().expect_err("six bytes");
    assert_eq!(error, ValueError::TooLarge { size: 6, limit: 4 });
}

/// A slice's depth is only guessed from its parent's; the guess must refuse nothing.
#[test]
fn a_shallow_slice_of_a_deep_value_can_be_spliced_again_and_again() {
    let bytes = [vec![0x92, 0x91, 0x01], vec![0x91; 63], vec![0xc0]].concat();
    let deep = Value::from_msgpack(bytes).expect("64 deep");
    let mut shallow = deep.at(0).expect("the first element");
    for _ in 0..63 {
        shallow = Value::array_from([&shallow]).expect("its true depth is within bounds");
    }
    Value::from_msgpack(shallow.clone().into_bytes()).expect("64 deep");
    assert!(Value::array_from([&shallow]).is_err());
}
