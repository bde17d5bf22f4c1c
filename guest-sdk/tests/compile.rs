//! What must compile does, and misuse does not, with a message that says what to do.
//!
//! After a change of wording, or of the compiler: `TRYBUILD=overwrite cargo test -p sandmill-guest
//! --test compile`, and read the difference.

#[test]
fn compile() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    cases.compile_fail("tests/fail/*.rs");
}
