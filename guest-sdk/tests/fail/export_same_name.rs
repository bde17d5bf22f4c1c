//! Two functions, one name for hosts.

use sandmill_guest::task;

#[task]
fn crop() {}

#[task(name = "crop")]
fn other_crop() {}

sandmill_guest::export!(crop, other_crop);

fn main() {}
