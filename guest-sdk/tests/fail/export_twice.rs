#[sandmill_guest::task]
fn once() {}

sandmill_guest::export!(once, once);

fn main() {}
