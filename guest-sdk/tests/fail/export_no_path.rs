sandmill_guest::export!("thumbnail");

fn main() {}
