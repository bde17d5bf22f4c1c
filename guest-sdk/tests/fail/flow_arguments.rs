//! What does not go for a parameter when a flow calls a task.

#![allow(dead_code)]

use sandmill_guest::flow::{DEFAULT, Options, Task, TaskFuture, as_completed, each};
use sandmill_guest::{flow, task};

struct Opaque;

#[task]
fn count(text: String, #[default(1)] shortest: u32) -> u64 {
    text.len() as u64 + u64::from(shortest)
}

#[flow]
fn wrong_type() {
    count::submit(3_u8, 1);
    count::submit("text", "one");
}

#[flow]
fn wrong_future(number: u64) {
    let counted = count::submit("text", 1);
    count::submit(&counted, DEFAULT);
}

#[flow]
fn future_by_value() {
    let counted: TaskFuture<String> = Task::own("text").submit();
    count::submit(counted, 1);
}

#[flow]
fn no_default() {
    count::submit(DEFAULT, 1);
}

#[flow]
fn each_in_submit(texts: Vec<String>) {
    count::with(Options::new()).submit(each(&texts), 1);
}

#[flow]
fn wrong_elements(numbers: Vec<u64>) {
    count::map(each(&numbers), 1);
}

#[flow]
fn too_few() {
    count::submit("text");
}

#[flow]
fn named() {
    Task::<u64>::of("texts", "count").arg("text", Opaque).submit();
}

#[flow]
fn watched(numbers: Vec<u64>) {
    for run in as_completed(&numbers, None) {}
}

#[flow]
fn called_as_a_value() {
    count.submit("text", 1);
}

fn main() {}
