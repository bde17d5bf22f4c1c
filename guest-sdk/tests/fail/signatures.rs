//! Functions that cannot be tasks; all that is wrong with one is said at once.

#![allow(unused_variables)]

use sandmill_guest::task;

struct Sized2;

impl Sized2 {
    #[task]
    fn method(&self) -> u32 {
        1
    }
}

#[task]
async fn waiting(a: u32) -> u32 {
    a
}

#[task]
fn generic<T>(value: T) -> T {
    value
}

#[task]
fn where_clause() where u32: Copy {}

#[task]
fn borrowing(text: &str, data: &[u8], numbers: &[u32], one: &mut u64, nested: Option<&str>) {}

#[task]
fn lifetimes(text: std::borrow::Cow<'_, str>) {}

#[task]
fn patterns((a, b): (u32, u32), ref c: u32, _: u32) {}

#[task]
fn opaque(items: impl Iterator<Item = u32>, nested: Vec<impl Copy>) -> impl Iterator<Item = u32> {
    std::iter::empty()
}

#[task]
unsafe extern "C" fn foreign() {}

#[task]
fn callback(then: fn(u32) -> u32) {}

#[task]
fn configured(#[cfg(unix)] a: u32) {}

#[task]
async fn everything<T>(&self, text: &str) {}

#[task]
struct NoFunction;

fn main() {}
