//! A guest without the SDK: it implements the contract by itself, and returns whatever bytes it is
//! told, well-formed or not.
#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit/task-0.1", world: "task" });
}

use bindings::exports::sandmill::task::runner::{Failure, Guest, TaskDescriptor};

struct Raw;

impl Guest for Raw {
    fn describe() -> Vec<TaskDescriptor> {
        ["result", "details", "kind", "message", "arguments"]
            .map(|name| TaskDescriptor {
                name: name.to_owned(),
                doc: None,
                parameters: r#"{"type": "object"}"#.to_owned(),
                result: "{}".to_owned(),
            })
            .into()
    }

    fn run(task: String, arguments: Vec<u8>) -> Result<Vec<u8>, Failure> {
        if task == "arguments" {
            return Ok(arguments);
        }
        let bytes = bytes_of(&arguments);
        let mut failure = Failure {
            kind: "raw".to_owned(),
            message: "as told".to_owned(),
            retriable: false,
            details: None,
        };
        match task.as_str() {
            "result" => return Ok(bytes),
            "details" => failure.details = Some(bytes),
            "kind" => failure.kind = String::from_utf8_lossy(&bytes).into_owned(),
            "message" => failure.message = String::from_utf8_lossy(&bytes).into_owned(),
            _ => failure.kind = "unknown-task".to_owned(),
        }
        Err(failure)
    }
}

/// The argument `bytes`: the map has no other.
fn bytes_of(mut arguments: &[u8]) -> Vec<u8> {
    let entries = rmp::decode::read_map_len(&mut arguments).expect("arguments are a map");
    assert_eq!(entries, 1, "there is one argument");
    let key = rmp::decode::read_str_len(&mut arguments).expect("a name is a string");
    let (name, mut rest) = arguments.split_at(key as usize);
    assert_eq!(name, b"bytes");
    let length = rmp::decode::read_bin_len(&mut rest).expect("bytes are binary");
    rest[..length as usize].to_vec()
}

bindings::export!(Raw with_types_in bindings);
