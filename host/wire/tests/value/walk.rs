//! Slicing, field access and typed access.

use proptest::prelude::*;
use rmpv::Value as Model;
use sandmill_wire::value::{Kind, Value, ValueError};
use serde::{Deserialize, Serialize};

use super::arbitrary::{encoded, model};

/// The value walks like the model, all the way down; encodings decide, as NaNs are not equal.
fn same(value: &Value, model: &Model) {
    assert_eq!(value.as_bytes(), encoded(model));
    match model {
        Model::Array(elements) => {
            assert_eq!((value.kind(), value.len()), (Kind::Array, Some(elements.len())));
            let walked = value.elements().expect("an array");
            assert_eq!(walked.len(), elements.len());
            walked.zip(elements).for_each(|(value, model)| same(&value, model));
            for (index, element) in elements.iter().enumerate() {
                same(&value.at(index).expect("in range"), element);
            }
            assert_eq!(value.at(elements.len()), None);
            assert!(value.entries().is_err());
        }
        Model::Map(entries) => {
            assert_eq!((value.kind(), value.len()), (Kind::Map, Some(entries.len())));
            let walked = value.entries().expect("a map");
            assert_eq!(walked.len(), entries.len());
            for ((key, value), (key_model, model)) in walked.zip(entries) {
                same(&key, key_model);
                same(&value, model);
            }
            for (key, model) in entries {
                if let Some(key) = key.as_str() {
                    same(&value.get(key).expect("the key is there"), model);
                }
            }
            assert!(value.elements().is_err());
        }
        other => {
            assert_eq!((value.len(), value.is_empty()), (None, false));
            assert_eq!(value.as_str(), other.as_str());
            let kind = match other {
                Model::Nil => Kind::Nil,
                Model::Boolean(_) => Kind::Bool,
                Model::Integer(_) => Kind::Integer,
                Model::F32(_) | Model::F64(_) => Kind::Float,
                Model::String(_) => Kind::String,
                Model::Binary(_) => Kind::Binary,
                _ => Kind::Extension,
            };
            assert_eq!(value.kind(), kind);
        }
    }
}

proptest! {
    #[test]
    fn a_value_walks_like_its_model(model in model()) {
        let value = Value::from_msgpack(encoded(&model)).expect("a model is a value");
        same(&value, &model);
        let shown = format!("{value:?}");
        prop_assert!(shown.len() < 300, "{}", shown);
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct File {
    name: String,
    #[serde(with = "serde_bytes")]
    content: Vec<u8>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Listing {
    files: Vec<File>,
    total: u64,
}

fn listing() -> Listing {
    let file = |name: &str| File { name: name.to_owned(), content: vec![1, 2, 3] };
    Listing { files: vec![file("a.txt"), file("b.txt")], total: 2 }
}

#[test]
fn rust_types_go_in_and_out_as_named_maps() {
    let value = Value::encode(&listing()).expect("serializable");
    assert_eq!(value.kind(), Kind::Map);
    assert_eq!(value.decode::<Listing>().expect("its own type"), listing());
    assert!(matches!(value.decode::<u64>(), Err(ValueError::Decode(_))));
    assert_eq!(Value::encode("text").expect("unsized").as_str(), Some("text"));
    assert_eq!(Value::encode(&()).expect("unit"), Value::nil());
}

#[test]
fn a_path_finds_a_field_or_says_what_is_there() {
    let value = Value::encode(&listing()).expect("serializable");
    let name = value.path("files.1.name").expect("it is there");
    assert_eq!(name.as_str(), Some("b.txt"));
    assert_eq!(value.path("").expect("itself"), value);
    let error = |path: &str| value.path(path).expect_err("nothing there").to_string();
    assert_eq!(
        error("files.2.name"),
        "nothing at `files.2`: the array has 2 elements, counted from 0"
    );
    assert_eq!(
        error("files.first"),
        "nothing at `files.first`: an array of 2 elements takes an index, not \"first\""
    );
    assert_eq!(
        error("files.+1"),
        "nothing at `files.+1`: an array of 2 elements takes an index, not \"+1\""
    );
    assert_eq!(
        error("file"),
        "nothing at `file`: the map has no key \"file\"; it has \"files\", \"total\""
    );
    assert_eq!(error("total.x"), "nothing at `total.x`: a value of kind integer has no \"x\"");
    assert_eq!(error("."), "nothing at ``: the map has no key \"\"; it has \"files\", \"total\"");
}

#[test]
fn slices_share_the_bytes() {
    let value = Value::encode(&listing()).expect("serializable");
    let whole = value.as_bytes().as_ptr_range();
    let part = value.path("files.0").expect("it is there");
    assert!(whole.contains(&part.as_bytes().as_ptr()));
}

#[test]
fn debug_is_short_however_large_the_value() {
    assert_eq!(format!("{:?}", Value::nil()), "Value(null)");
    for large in [
        Value::encode(&"é".repeat(1 << 20)),
        Value::encode(serde_bytes::Bytes::new(&vec![7; 1 << 20])),
        Value::encode(&vec![1.5; 1 << 16]),
    ] {
        let text = format!("{:?}", large.expect("within bounds"));
        assert!(text.len() < 200 && text.ends_with("…)"), "{text}");
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Envelope {
    run: u32,
    result: Value,
}

#[test]
fn a_value_stands_as_itself_in_other_data_and_as_its_json_form_in_json() {
    let result = Value::encode(&listing()).expect("serializable");
    let envelope = Envelope { run: 7, result };
    let bytes = rmp_serde::to_vec_named(&envelope).expect("serializable");
    assert_eq!(rmp_serde::from_slice::<Envelope>(&bytes).expect("read back"), envelope);
    let outer = Value::from_msgpack(bytes).expect("a value");
    assert_eq!(outer.get("result"), Some(envelope.result.clone()));
    assert_eq!(Value::encode(&envelope.result).expect("encodable"), envelope.result);
    // Every kind there is, an extension among them.
    let kinds = Value::from_msgpack(
        &b"\x98\xc0\xc3\xd1\xff\x00\xca\x3f\x80\x00\x00\xa2ab\xc4\x01\x00\xd4\x07\x09\x81\x01\x90"
            [..],
    )
    .expect("a value");
    assert_eq!(Value::encode(&kinds).expect("encodable"), kinds);
    assert_eq!(kinds.decode::<Value>().expect("a value decodes as itself"), kinds);

    let text = serde_json::to_string(&envelope).expect("serializable");
    assert!(
        text.starts_with(
            r#"{"run":7,"result":{"files":[{"name":"a.txt","content":{"$bytes":"AQID"}"#
        )
    );
    assert_eq!(serde_json::from_str::<Envelope>(&text).expect("read back"), envelope);
}
