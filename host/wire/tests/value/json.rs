//! The JSON form, both ways.

use proptest::prelude::*;
use sandmill_wire::value::{JsonError, Value};

use super::arbitrary::{encoded, model};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn there_and_back_is_the_same_value(model in model()) {
        let value = Value::from_msgpack(encoded(&model)).expect("a model is a value");
        let text = value.to_json_string();
        let back = Value::from_json_str(&text).expect("our own form");
        prop_assert_eq!(back.canonical(), value.canonical());
        // Nothing was lost the second time either, the payloads of NaNs included.
        prop_assert_eq!(back.to_json_string(), text.clone());
        let pretty = value.to_json_string_pretty();
        prop_assert_eq!(&Value::from_json_str(&pretty).expect("our own form"), &back);
        let tree: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        prop_assert_eq!(&Value::from_json(&tree).expect("our own form"), &back);
    }

    #[test]
    fn any_float_survives(bits in any::<u64>()) {
        let value = Value::from_msgpack([&[0xcb][..], &bits.to_be_bytes()].concat()).expect("float");
        let back = Value::from_json_str(&value.to_json_string()).expect("our own form");
        prop_assert_eq!(back, value);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,60}", json in r#"[\[\]{}":,$a-z0-9.eE+\\-]{0,60}"#) {
        let _ = Value::from_json_str(&text);
        let _ = Value::from_json_str(&json);
    }
}

fn read(text: &str) -> Value {
    Value::from_json_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> JsonError {
    Value::from_json_str(text).expect_err("must be refused")
}

fn bytes(bytes: &[u8]) -> Value {
    Value::from_msgpack(bytes.to_vec()).expect("a value")
}

#[test]
fn every_row_of_the_table() {
    let rows: [(&[u8], &str); 21] = [
        (&[0xc0], "null"),
        (&[0xc3], "true"),
        (&[0x07], "7"),
        (&[0xff], "-1"),
        (&[0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "9007199254740991"),
        (&[0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0], r#"{"$int":"9007199254740992"}"#),
        (&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255], r#"{"$int":"18446744073709551615"}"#),
        (&[0xd3, 128, 0, 0, 0, 0, 0, 0, 0], r#"{"$int":"-9223372036854775808"}"#),
        (&[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "1.0"),
        (&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0], "-0.0"),
        (&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0], r#"{"$float":"Infinity"}"#),
        (&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0], r#"{"$float":"-Infinity"}"#),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], r#"{"$float":"NaN"}"#),
        (&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 1], r#"{"$float":"0x7ff8000000000001"}"#),
        (&[0xa4, 0xf0, 0x9f, 0x8d, 0xba], "\"🍺\""),
        (&[0xc4, 2, 0, 0xff], r#"{"$bytes":"AP8="}"#),
        (&[0xd4, 0xff, 1], r#"{"$ext":[-1,"AQ=="]}"#),
        (&[0x92, 1, 0x90], "[1,[]]"),
        (&[0x82, 0xa1, 0x62, 1, 0xa1, 0x61, 0x80], r#"{"b":1,"a":{}}"#),
        (&[0x81, 1, 2], r#"{"$map":[[1,2]]}"#),
        (&[0x81, 0xa4, 0x24, 0x69, 0x6e, 0x74, 2], r#"{"$map":[["$int",2]]}"#),
    ];
    for (encoded, text) in rows {
        assert_eq!(bytes(encoded).to_json_string(), text);
        assert_eq!(read(text), bytes(encoded), "{text}");
        let mut written = Vec::new();
        bytes(encoded).write_json(&mut written).expect("a Vec takes all");
        assert_eq!(written, text.as_bytes());
    }
    // A float 32 is widened by its bits, a signalling NaN as it is.
    assert_eq!(bytes(&[0xca, 0x3f, 0xc0, 0, 0]).to_json_string(), "1.5");
    assert_eq!(
        bytes(&[0xca, 0xff, 0x80, 0, 1]).to_json_string(),
        r#"{"$float":"0xfff0000020000000"}"#
    );
    // Other names with a dollar are ordinary.
    assert_eq!(read(r##"{"$ref":"#/a"}"##).get("$ref").expect("a key").as_str(), Some("#/a"));
    assert_eq!(read("18446744073709551615"), read(r#"{"$int":"18446744073709551615"}"#));
    assert_eq!(read("-9223372036854775808"), read(r#"{"$int":"-9223372036854775808"}"#));
    assert_eq!(read("1e2").to_json_string(), "100.0");
}

#[test]
fn pretty_is_indented() {
    assert_eq!(read(r#"{"a":[1]}"#).to_json_string_pretty(), "{\n  \"a\": [\n    1\n  ]\n}");
}

#[test]
fn each_misuse_is_an_error_with_its_place() {
    for (text, message, line, column) in [
        ("18446744073709551616", "the integer 18446744073709551616 is beyond 64 bits", 1, 1),
        (
            "{\"a\":\n [1, -9223372036854775809]}",
            "the integer -9223372036854775809 is beyond",
            2,
            6,
        ),
        (r#"{"a":1,"b":2,"a":3}"#, "the object has the key \"a\" twice", 1, 16),
        (r#"{"$int":"1","a":2}"#, "`$int` is reserved and must be its object's only key", 1, 15),
        (r#"{"a":2,"$int":"1"}"#, "`$int` is reserved and must be its object's only key", 1, 13),
        (r#"{"$int":"1.0"}"#, "`$int` has \"1.0\", but takes a decimal integer", 1, 14),
        (r#"{"$int":"+1"}"#, "`$int` has \"+1\", but takes a decimal integer", 1, 13),
        (r#"{"$int":"18446744073709551616"}"#, "`$int` has", 1, 31),
        (r#"{"$float":"0x3ff0000000000000"}"#, "`$float` has \"0x3ff0000000000000\"", 1, 31),
        (r#"{"$bytes":"AQ"}"#, "`$bytes` has \"AQ\", but takes padded base64", 1, 15),
        (r#"{"$ext":[300,""]}"#, "invalid value: integer `300`, expected i8", 1, 12),
        (r#"{"$map":[[1]]}"#, "invalid length 1, expected a [key, value] pair", 1, 12),
        (r#"{"$map":[[1,2,3]]}"#, "invalid length 3, expected a [key, value] pair", 1, 16),
        ("[1,]", "trailing comma", 1, 4),
        ("1 2", "trailing characters", 1, 3),
        ("1e999", "number out of range", 1, 5),
    ] {
        let error = refused(text);
        assert!(error.message().starts_with(message), "{text}: {error}");
        assert_eq!((error.line(), error.column()), (Some(line), Some(column)), "{text}: {error}");
    }
    let error = refused(r#"{"$map":[[1,2],[1,3]]}"#);
    assert_eq!(error.to_string(), "the map at byte 0 has the key 1 twice");
}

#[test]
fn digits_inside_strings_are_no_integers() {
    let text = r#"{"18446744073709551616":"\"99999999999999999999"}"#;
    assert_eq!(read(text).to_json_string(), text);
    assert_eq!(read("99999999999999999999.5").to_json_string(), "1e+20");
}

#[test]
fn depth_is_bounded_both_ways() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    read(&nested(64));
    assert!(refused(&nested(65)).message().contains("max_depth"));
    assert!(refused(&"[".repeat(1_000_000)).message().contains("max_depth"));
    assert!(refused(&r#"{"$map":[["#.repeat(1_000_000)).message().contains("max_depth"));
    assert!(refused(&r#"{"a":"#.repeat(1_000_000)).message().contains("max_depth"));
    // The deepest maps with integer keys take three levels of JSON each.
    let bytes = [[0x81, 1].repeat(64), vec![0xc0]].concat();
    let value = Value::from_msgpack(bytes).expect("within bounds");
    assert_eq!(read(&value.to_json_string()), value);
}
