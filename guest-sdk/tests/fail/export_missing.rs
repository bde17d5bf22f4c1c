sandmill_guest::export!(missing);

fn main() {}
