//! Only a function under `#[flow]` is a flow.

use sandmill_guest::task;

#[task]
fn count() {}

sandmill_guest::export!(flow count);

fn main() {}
