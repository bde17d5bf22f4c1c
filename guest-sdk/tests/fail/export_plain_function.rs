//! `plain` lacks the attribute, and `missing` is nowhere.

fn plain() {}

mod images {
    pub fn crop() {}
}

struct NotEvenAFunction;

sandmill_guest::export!(plain, images::crop, NotEvenAFunction);

fn main() {}
