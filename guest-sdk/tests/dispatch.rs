//! A component's tasks as a host calls them: bytes in, bytes or a failure out.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use sandmill_guest::__rt::{Entry, Task, describe, run};
use sandmill_guest::schemars::{self, JsonSchema};
use sandmill_guest::serde::{self, Deserialize, Serialize};
use sandmill_guest::testing::call;
use sandmill_guest::{Bytes, Failure, task};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde", deny_unknown_fields)]
#[schemars(crate = "schemars")]
struct Region {
    name: String,
    corner: Point,
    shape: Shape,
    tags: BTreeMap<String, Option<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde")]
#[schemars(crate = "schemars")]
struct Point {
    x: u64,
    y: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde", rename_all = "kebab-case")]
#[schemars(crate = "schemars")]
enum Shape {
    Whole,
    Circle(f64),
    Pair(u8, u8),
    Box { width: u32, height: u32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde")]
#[schemars(crate = "schemars")]
struct Marker;

/// Gives a region back.
///
/// More about it.
#[task]
fn echo_region(
    /// What comes back.
    region: Region,
) -> Region {
    region
}

#[task]
fn echo_bytes(bytes: Bytes) -> Bytes {
    bytes
}

#[task(name = "shout")]
fn louder(text: String, #[default(1)] times: u32, mark: Option<String>) -> String {
    text.to_uppercase() + &mark.unwrap_or("!".to_owned()).repeat(times as usize)
}

#[task]
fn wide(number: u128) -> u128 {
    number * 2
}

#[task]
fn narrow(number: i128) -> i128 {
    number - 1
}

#[task]
fn limits(big: u64, small: i64, real: f64) -> (u64, i64, f64) {
    (big, small, real)
}

#[task]
fn odd_shapes(hash: [u8; 20], pair: (u8, u8), marker: Marker, letter: char) -> Odd {
    Odd { hash, pair, marker, letter, address: Ipv4Addr::LOCALHOST }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde")]
#[schemars(crate = "schemars")]
struct Odd {
    hash: [u8; 20],
    pair: (u8, u8),
    marker: Marker,
    letter: char,
    address: Ipv4Addr,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "serde")]
#[schemars(crate = "schemars")]
struct Flat {
    id: u32,
    #[serde(flatten)]
    rest: BTreeMap<String, Vec<u32>>,
}

#[task]
fn echo_flat(flat: Flat) -> Flat {
    flat
}

#[task]
fn nothing() {}

#[task]
fn open(path: String) -> io::Result<String> {
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no {path}")))
}

#[task]
fn refuse() -> Result<(), Failure> {
    Err(Failure::new("Too Busy", "later").retriable().with_details(&Point { x: 1, y: 2 }))
}

const TASKS: &[Entry] = &[
    echo_region::ENTRY,
    echo_bytes::ENTRY,
    louder::ENTRY,
    wide::ENTRY,
    narrow::ENTRY,
    limits::ENTRY,
    odd_shapes::ENTRY,
    echo_flat::ENTRY,
    nothing::ENTRY,
    open::ENTRY,
    refuse::ENTRY,
];

sandmill_guest::export!(
    echo_region,
    echo_bytes,
    louder,
    wide,
    narrow,
    limits,
    odd_shapes,
    echo_flat,
    nothing,
    open,
    refuse,
);

/// Bytes as another MessagePack library writes them.
fn packed(value: impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(&value).expect("the value has a MessagePack form")
}

/// The message of a call that is refused for its arguments.
fn refused(task: &str, arguments: &[u8]) -> String {
    let failure = run(TASKS, task, arguments).expect_err("the arguments do not fit");
    assert_eq!(failure.kind(), Failure::INVALID_ARGUMENTS);
    assert!(!failure.is_retriable());
    failure.message().to_owned()
}

fn region(shape: Shape) -> Region {
    Region {
        name: "north".to_owned(),
        corner: Point { x: 1, y: u64::MAX },
        shape,
        tags: BTreeMap::from([("wet".to_owned(), Some(true)), ("old".to_owned(), None)]),
    }
}

#[test]
fn nested_structs_and_enums_come_back() {
    let shapes = [
        Shape::Whole,
        Shape::Circle(0.1),
        Shape::Pair(200, 3),
        Shape::Box { width: 1, height: 70_000 },
    ];
    for shape in shapes {
        let region = region(shape);
        let arguments = BTreeMap::from([("region", &region)]);
        assert_eq!(call::<echo_region, Region>(&arguments).expect("it fits"), region);
        let result = run(TASKS, "echo_region", &packed(&arguments)).expect("it fits");
        assert_eq!(rmp_serde::from_slice::<Region>(&result).expect("a region"), region);
    }
}

#[test]
fn structs_are_maps_by_field_name() {
    let arguments = packed(BTreeMap::from([("region", region(Shape::Whole))]));
    let result = run(TASKS, "echo_region", &arguments).expect("it fits");
    let value: Value = rmp_serde::from_slice(&result).expect("all of it has a JSON form");
    assert_eq!(value["corner"], json!({ "x": 1, "y": u64::MAX }));
    assert_eq!(value["shape"], json!("whole"));
}

#[test]
fn a_value_is_what_its_schema_says_whatever_it_holds() {
    let low = json!({ "hash": ([0; 20]), "pair": [1, 2], "marker": null, "letter": "é" });
    let high = json!({ "hash": ([255; 20]), "pair": [255, 128], "marker": null, "letter": "é" });
    for arguments in [low, high] {
        let result = run(TASKS, "odd_shapes", &packed(&arguments)).expect("it fits");
        let value: Value = rmp_serde::from_slice(&result).expect("no bin, so JSON can hold it");
        assert_eq!(value["hash"], arguments["hash"]);
        assert_eq!(value["pair"], arguments["pair"]);
        assert_eq!(value["marker"], Value::Null);
        assert_eq!(value["address"], "127.0.0.1");
    }
}

#[test]
fn maps_of_unknown_length_come_back() {
    let flat = json!({ "flat": { "id": 7, "a": [1, 2], "b": [], "c": [70_000] } });
    assert_eq!(call::<echo_flat, Value>(&flat).expect("it fits"), flat["flat"]);
}

#[test]
fn bytes_are_bin_and_come_from_bin_text_and_arrays() {
    let data = [0_u8, 127, 128, 255];
    let mut bin = vec![0x81, 0xa5];
    bin.extend(b"bytes\xc4\x04");
    bin.extend(data);
    let echoed = [&[0xc4, 4][..], &data].concat();
    assert_eq!(run(TASKS, "echo_bytes", &bin).expect("bin"), echoed);
    assert_eq!(run(TASKS, "echo_bytes", &packed(json!({ "bytes": data }))).expect("array"), echoed);
    let text = run(TASKS, "echo_bytes", &packed(json!({ "bytes": "héllo" }))).expect("text");
    assert_eq!(text, b"\xc4\x06h\xc3\xa9llo");

    let message = refused("echo_bytes", &packed(json!({ "bytes": [1, 256] })));
    assert!(message.contains("does not fit Bytes"), "{message}");
    // An array that claims four billion elements reserves no memory for them.
    assert!(refused("echo_bytes", b"\x81\xa5bytes\xdd\xff\xff\xff\xff").contains("ends early"));
}

#[test]
fn integers_keep_64_bits_and_no_more() {
    let extremes = json!({ "big": u64::MAX, "small": i64::MIN, "real": 1 });
    let result = call::<limits, (u64, i64, f64)>(&extremes).expect("they fit");
    assert_eq!(result, (u64::MAX, i64::MIN, 1.0));

    let number = |number: u64| BTreeMap::from([("number", number)]);
    assert_eq!(call::<wide, u64>(&number(21)).expect("small enough"), 42);
    let failure = call::<wide, u64>(&number(u64::MAX)).expect_err("65 bits");
    assert_eq!(failure.kind(), Failure::INVALID_RESULT);
    assert!(failure.message().contains("36893488147419103230"), "{failure}");
    assert!(failure.message().contains("return it as a string"), "{failure}");
    let least = BTreeMap::from([("number", i64::MIN)]);
    assert_eq!(call::<narrow, i64>(&least).expect_err("65 bits").kind(), Failure::INVALID_RESULT);
    assert_eq!(call::<narrow, u64>(&number(u64::MAX)).expect("64 bits"), u64::MAX - 1);
    let too_wide = BTreeMap::from([("number", u128::MAX)]);
    let failure = call::<wide, u64>(&too_wide).expect_err("129 bits");
    assert_eq!(failure.kind(), Failure::INVALID_ARGUMENTS);
}

#[test]
fn options_and_defaults_may_be_left_out() {
    let shout = |arguments: Value| call::<louder, String>(&arguments).expect("it fits");
    assert_eq!(shout(json!({ "text": "a" })), "A!");
    assert_eq!(shout(json!({ "text": "a", "times": 3, "mark": null })), "A!!!");
    assert_eq!(shout(json!({ "mark": "?", "times": 2, "text": "a" })), "A??");
    // A default stands in for what is missing, not for what is wrong.
    let message = refused("shout", &packed(json!({ "text": "a", "times": null })));
    assert_eq!(message, "`times` does not fit u32: invalid type: unit value, expected u32");
    assert_eq!(run(TASKS, "nothing", &packed(json!({}))).expect("no arguments"), [0xc0]);
}

#[test]
fn all_faults_of_the_arguments_are_named_at_once() {
    let message =
        refused("limits", &packed(json!({ "big": "x", "real": true, "larger": 1, "tiny": 2 })));
    assert_eq!(
        message,
        "there is no parameter `larger`, only `big`, `small`, `real`; \
         there is no parameter `tiny`, only `big`, `small`, `real`; \
         `big` does not fit u64: got a string; \
         `small` (i64) is missing; \
         `real` does not fit f64: invalid type: boolean `true`, expected f64"
    );
    let message = refused("nothing", &packed(json!({ "a": 1 })));
    assert_eq!(message, "there is no parameter `a`: this task takes none");
    let message = refused("limits", &packed(json!({ "big": -1, "small": u64::MAX, "real": 1 })));
    assert!(message.contains("`big` does not fit u64"), "{message}");
    assert!(message.contains("`small` does not fit i64"), "{message}");

    let unknown: BTreeMap<String, u32> = (0..1000).map(|n| (n.to_string().repeat(99), n)).collect();
    let message = refused("nothing", &packed(unknown));
    assert!(message.ends_with("; and 984 more faults"), "{message}");
    assert!(message.len() < 4096);
}

#[test]
fn faults_inside_of_a_value_are_named() {
    let mut arguments = json!({ "region": region(Shape::Whole) });
    arguments["region"]["corner"] = json!({ "x": 1 });
    let message = refused("echo_region", &packed(&arguments));
    assert_eq!(message, "`region` does not fit Region: missing field `y`");
    arguments["region"] = json!({ "nam": "north" });
    let message = refused("echo_region", &packed(&arguments));
    assert!(message.contains("unknown field `nam`, expected one of `name`"), "{message}");
}

#[test]
fn what_is_no_argument_map_is_refused() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "got nothing"),
        (b"\xc0", "got nil"),
        (b"\x91\x01", "got an array"),
        (b"\xc1", "got a byte that MessagePack does not use"),
        (b"\x81", "ends early"),
        (b"\x81\xa1a\xc1", "broken or ends early"),
        (b"\x80\xc0\xc0", "2 bytes follow the argument map"),
        (b"\x81\x01\x02", "an argument's name is a string, got an integer"),
        (b"\x82\xa4text\xa1a\xa4text\xa1b", "`text` is given twice"),
    ];
    for (bytes, expected) in cases {
        let message = refused("shout", bytes);
        assert!(message.contains(expected), "{bytes:?}: {message}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let mut bytes = b"\x81\xa4text".to_vec();
    bytes.extend(vec![0x91; 1 << 20]);
    bytes.push(0xc0);
    assert!(refused("shout", &bytes).contains("`text` does not fit String"));
}

#[test]
fn an_unknown_task_is_refused_with_the_known_ones() {
    let failure = run(TASKS, "louder", b"\x80").expect_err("its name is `shout`");
    assert_eq!(failure.kind(), Failure::UNKNOWN_TASK);
    assert!(
        failure.message().starts_with("this component has no task `louder`, only `echo_region`,")
    );
    assert!(failure.message().contains("`shout`"));
}

#[test]
fn errors_become_failures() {
    let failure = call::<open, String>(&json!({ "path": "x" })).expect_err("it always fails");
    assert_eq!((failure.kind(), failure.message()), (Failure::ERROR, "no x"));

    let failure = call::<refuse, ()>(&json!({})).expect_err("it always fails");
    assert_eq!((failure.kind(), failure.message()), ("too-busy", "later"));
    assert!(failure.is_retriable());
    let details = failure.details::<Point>().expect("details").expect("a point");
    assert_eq!(details, Point { x: 1, y: 2 });
    assert!(failure.details::<String>().expect("details").is_err());
}

#[test]
fn descriptors_say_what_the_functions_do() {
    let described = describe(TASKS);
    let names: Vec<_> = described.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names[..3], ["echo_region", "echo_bytes", "shout"]);

    let region = &described[0];
    assert_eq!(region.doc.as_deref(), Some("Gives a region back.\n\nMore about it."));
    let parameters: Value = serde_json::from_str(&region.parameters).expect("JSON");
    assert_eq!(parameters["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(parameters["additionalProperties"], false);
    assert_eq!(parameters["required"], json!(["region"]));
    let property = &parameters["properties"]["region"];
    assert_eq!(property["description"], "What comes back.");
    assert_eq!(property["$ref"], "#/$defs/Region");
    assert_eq!(parameters["$defs"]["Point"]["type"], "object");

    let bytes: Value = serde_json::from_str(&described[1].parameters).expect("JSON");
    assert_eq!(bytes["properties"]["bytes"]["x-msgpack"], "bin");

    let shout = &described[2];
    assert_eq!(shout.doc, None);
    let parameters: Value = serde_json::from_str(&shout.parameters).expect("JSON");
    assert_eq!(parameters["required"], json!(["text"]));
    assert_eq!(parameters["properties"]["times"]["default"], 1);
    let place = |name: &str| shout.parameters.find(&format!("\"{name}\":{{")).expect("it is there");
    assert!(place("text") < place("times") && place("times") < place("mark"));
    let result: Value = serde_json::from_str(&shout.result).expect("JSON");
    assert_eq!(result["type"], "string");

    // `io::Result` and `Result` are seen through, and nothing is null.
    let result =
        |index: usize| -> Value { serde_json::from_str(&described[index].result).expect("JSON") };
    assert_eq!(result(9)["type"], "string");
    assert_eq!(result(10)["type"], "null");
    assert_eq!(result(8)["type"], "null");
}
