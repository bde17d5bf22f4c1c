//! A guest without the SDK that returns whatever bytes it is told: malformed results and failures.

use sandmill::{Call, CallOptions, EndKind, Outcome, args};
use sandmill_test_conformance::{Bench, Ran};

use crate::table::{Case, checks, same_story, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![
        well_formed_results_arrive_as_they_are,
        malformed_results_are_invalid,
        results_beyond_the_limits_are_refused,
        malformed_details_are_invalid,
        kinds_that_break_the_rules_are_invalid,
        long_messages_are_cut,
        arguments_arrive_as_they_were_sent,
    ]
}

/// Bytes as a binary argument.
struct Binary<'a>(&'a [u8]);

impl serde::Serialize for Binary<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

fn told(bench: &Bench, task: &str, bytes: &[u8]) -> Ran {
    let arguments = args! { "bytes" => Binary(bytes) }.unwrap();
    bench.run_call(Call::new(&bench.guest("raw"), task, arguments))
}

fn well_formed_results_arrive_as_they_are(bench: &Bench) {
    for bytes in [
        b"\xc0".as_slice(),
        b"\x93\x01\xa1a\xc3",
        b"\x81\xa1k\x92\xcb\x7f\xf8\0\0\0\0\0\x01\xca\x80\0\0\0",
        // Longer forms than there need be stay as they are, too.
        b"\xcf\0\0\0\0\0\0\0\x01",
        b"\xd9\x01x",
        b"\xc7\x02\x05ab",
    ] {
        let ran = told(bench, "result", bytes);
        assert_eq!(ran.bytes(), bytes, "{}", bytes.escape_ascii());
    }
}

fn malformed_results_are_invalid(bench: &Bench) {
    let nested_arrays = [0x91].repeat(1_000_000);
    let nested_maps = b"\x81\xa1k".repeat(100_000);
    let malformed: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("unused byte", b"\xc1"),
        ("cut in a string", b"\xa5abc"),
        ("cut in a number", b"\xcf\0\0"),
        ("cut in a list", b"\x93\x01\x02"),
        ("cut in a map", b"\x82\xa1a\x01\xa1b"),
        ("four gigabytes of binary", b"\xc6\xff\xff\xff\xff"),
        ("four billion items", b"\xdd\xff\xff\xff\xff"),
        ("four billion entries", b"\xdf\xff\xff\xff\xff"),
        ("four gigabytes of extension", b"\xc9\xff\xff\xff\xff\x01"),
        ("no UTF-8", b"\xa2\xc3\x28"),
        ("bytes after it", b"\xc0\xc0"),
        ("a name twice", b"\x82\xa1a\x01\xa1a\x02"),
        ("a name twice in other forms", b"\x82\x01\xc0\xcc\x01\xc0"),
        ("deep lists", &nested_arrays),
        ("deep maps", &nested_maps),
    ];
    for (what, bytes) in malformed {
        let ran = told(bench, "result", bytes);
        assert_eq!(ran.end().0, EndKind::InvalidResult, "{what}: {}", ran.end().1);
        same_story(&format!("malformed result: {what}"), &ran);
    }
    still_good(bench);
}

fn results_beyond_the_limits_are_refused(bench: &Bench) {
    let run = |bytes: &[u8], output: u64| {
        let arguments = args! { "bytes" => Binary(bytes) }.unwrap();
        let mut options = CallOptions::default();
        options.limits.output = output;
        let call = Call::new(&bench.guest("raw"), "result", arguments);
        bench.run_call(call.with_options(options))
    };
    let bytes = b"\xc4\x08eight by";
    assert_eq!(run(bytes, 10).bytes(), bytes);
    assert_eq!(run(bytes, 9).end().0, EndKind::OutputTooLarge);
    // As many nils as there may be values, and some more: small, but a lot to walk.
    let mut nils = b"\xdd\x00\x20\x00\x00".to_vec();
    nils.resize(5 + 0x20_0000, 0xc0);
    let ran = run(&nils, 16 << 20);
    assert_eq!(ran.end().0, EndKind::InvalidResult, "{}", ran.end().1);
    still_good(bench);
}

fn malformed_details_are_invalid(bench: &Bench) {
    let ran = told(bench, "details", b"\x92\x01\x02");
    let Outcome::Failure(failure) = &ran.outcome else { panic!("{:?}", ran.outcome) };
    let details = failure.details.as_ref().expect("there are details");
    assert_eq!(details.as_bytes(), b"\x92\x01\x02");
    for bytes in [b"".as_slice(), b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xc0\xc0"] {
        let ran = told(bench, "details", bytes);
        assert_eq!(ran.end().0, EndKind::InvalidResult, "{}", bytes.escape_ascii());
    }
}

fn kinds_that_break_the_rules_are_invalid(bench: &Bench) {
    let longest = "k".repeat(128);
    for kind in ["a", "not-found", "0.retry_me", &longest] {
        assert_eq!(told(bench, "kind", kind.as_bytes()).failure().0, kind);
    }
    let too_long = "k".repeat(129);
    let broken =
        ["", "Upper", "-first", "white space", "../up", "nul\0", "bidi\u{202e}", "é", &too_long];
    for kind in broken {
        let ran = told(bench, "kind", kind.as_bytes());
        assert_eq!(ran.end().0, EndKind::InvalidResult, "{}", kind.escape_debug());
        assert!(!ran.end().1.contains(['\0', '\u{202e}']), "{}", ran.end().1.escape_debug());
    }
}

fn long_messages_are_cut(bench: &Bench) {
    // Cut at a character, not in one.
    let long = "é".repeat(1 << 20);
    let ran = told(bench, "message", long.as_bytes());
    let (kind, message) = ran.failure();
    assert_eq!(kind, "raw");
    // The cut is marked.
    assert!(message.len() <= (64 << 10) + 4 && message.len() > 60 << 10, "{} bytes", message.len());
    assert!(message.starts_with("éé"));
}

fn arguments_arrive_as_they_were_sent(bench: &Bench) {
    for arguments in [
        b"\x80".as_slice(),
        b"\x81\xa1a\xcf\0\0\0\0\0\0\0\x01",
        b"\xde\0\x01\xd9\x01a\xc4\0",
        b"\x92\xa1a\xcb\x80\0\0\0\0\0\0\0",
    ] {
        let value = sandmill::Value::from_msgpack(arguments.to_vec()).unwrap();
        let ran = bench.run_call(Call::new(&bench.guest("raw"), "arguments", value));
        assert_eq!(ran.bytes(), arguments, "{}", arguments.escape_ascii());
    }
}
