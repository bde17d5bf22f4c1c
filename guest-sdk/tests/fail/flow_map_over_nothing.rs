//! A map that goes over nothing.

use sandmill_guest::flow::FutureList;
use sandmill_guest::task;

#[task]
fn count(text: String) -> u64 {
    text.len() as u64
}

fn main() {
    let _: FutureList<u64> = count::map("text");
}
