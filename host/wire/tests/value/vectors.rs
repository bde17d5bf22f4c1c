//! The public conformance vectors, every one. See `tests/data/msgpack-test-suite/NOTICE`.

use sandmill_wire::value::{Kind, Value};
use serde_json::{Map, Value as Json};

const SUITE: &str = include_str!("../data/msgpack-test-suite/msgpack-test-suite.json");

fn unhex(text: &str) -> Vec<u8> {
    let digits = |pair| u8::from_str_radix(pair, 16).expect("hex digits");
    text.split('-').filter(|pair| !pair.is_empty()).map(digits).collect()
}

/// What the suite says the value is, in our JSON form; `None` where it is a number, which the
/// suite also encodes as a float.
fn expected(vector: &Map<String, Json>) -> Option<Value> {
    let (name, content) = vector.iter().find(|(name, _)| *name != "msgpack").expect("a subject");
    let text = content.as_str();
    Some(match name.as_str() {
        "nil" | "bool" | "string" | "array" | "map" => Value::from_json(content).expect("a form"),
        "binary" => {
            let content = unhex(text.expect("hex"));
            Value::encode(serde_bytes::Bytes::new(&content)).expect("bytes")
        }
        "ext" => {
            let content = unhex(content[1].as_str().expect("hex"));
            let kind = vector["ext"][0].as_i64().and_then(|kind| i8::try_from(kind).ok());
            let model = rmpv::Value::Ext(kind.expect("a type"), content);
            Value::from_msgpack(super::arbitrary::encoded(&model)).expect("an extension")
        }
        "bignum" => {
            let text = serde_json::json!({ "$int": text.expect("digits") });
            Value::from_json(&text).expect("an integer")
        }
        "number" | "timestamp" => return None,
        other => panic!("the suite has a subject of unknown type {other}"),
    })
}

#[test]
fn every_vector_is_read_as_what_it_is() {
    let suite: Map<String, Json> = serde_json::from_str(SUITE).expect("the suite is JSON");
    let mut checked = 0;
    for (group, vectors) in &suite {
        for vector in vectors.as_array().expect("a list") {
            let vector = vector.as_object().expect("a vector");
            let expected = expected(vector);
            let encodings = vector["msgpack"].as_array().expect("encodings");
            let mut forms = Vec::new();
            for encoding in encodings {
                let encoding = encoding.as_str().expect("hex");
                let value = Value::from_msgpack(unhex(encoding))
                    .unwrap_or_else(|error| panic!("{group} {encoding}: {error}"));
                checked += 1;
                let json = Value::from_json_str(&value.to_json_string()).expect("our own form");
                assert_eq!(json.canonical(), value.canonical(), "{group} {encoding}");
                match (&expected, value.kind()) {
                    (Some(expected), Kind::Float) => {
                        // A bignum's floats: the nearest.
                        let number: f64 = expected.decode().expect("a number");
                        let float: f64 = value.decode().expect("a float");
                        assert_eq!(float.to_bits(), number.to_bits(), "{group} {encoding}");
                    }
                    (Some(expected), _) => {
                        assert_eq!(value.canonical(), expected.canonical(), "{group} {encoding}");
                    }
                    (None, Kind::Integer) => {
                        let number: i64 = value.decode().expect("an integer");
                        assert_eq!(Some(number), vector["number"].as_i64(), "{group} {encoding}");
                    }
                    (None, Kind::Float) => {
                        let number: f64 = value.decode().expect("a float");
                        assert_eq!(Some(number), vector["number"].as_f64(), "{group} {encoding}");
                    }
                    (None, kind) => {
                        assert_eq!(kind, Kind::Extension, "{group} {encoding}");
                        assert!(value.to_json_string().starts_with(r#"{"$ext":[-1,"#));
                    }
                }
                // Encodings of one value have one canonical form, floats apart from integers.
                if value.kind() != Kind::Float {
                    forms.push(value.canonical());
                }
            }
            assert!(forms.windows(2).all(|pair| pair[0] == pair[1]), "{group}: {forms:?}");
        }
    }
    assert!(checked > 200, "only {checked} encodings");
}
