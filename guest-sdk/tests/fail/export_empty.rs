sandmill_guest::export!();

fn main() {}
