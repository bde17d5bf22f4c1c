//! Results that a flow cannot read.

use sandmill_guest::{Failure, flow, task};

type Outcome = Result<u64, Failure>;

#[derive(sandmill_guest::serde::Serialize, sandmill_guest::schemars::JsonSchema)]
#[serde(crate = "sandmill_guest::serde")]
#[schemars(crate = "sandmill_guest::schemars")]
struct WriteOnly;

#[task]
fn aliased() -> Outcome {
    Ok(1)
}

#[task]
fn write_only() -> WriteOnly {
    WriteOnly
}

#[flow]
fn reads_an_alias() {
    let _ = aliased::submit().result(None);
}

#[flow]
fn reads_what_is_only_written() {
    let _ = write_only::submit().result(None);
}

fn main() {}
