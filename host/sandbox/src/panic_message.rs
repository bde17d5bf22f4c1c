//! Finds what a Rust guest wrote of its panic in the end of its standard error. A trap says only
//! `unreachable`; the reason is there.

/// Bytes of a message that are kept.
const MAX_MESSAGE_BYTES: usize = 4 << 10;

/// What a guest wrote before it gave up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LastWords {
    /// `panicked at src/lib.rs:1:2: the message`.
    Panic(String),
    /// It could not get this many bytes.
    OutOfMemory(u64),
}

/// Reads the last panic message, or the message of a failed allocation, in `tail`.
pub(crate) fn find(tail: &[u8]) -> Option<LastWords> {
    let text = String::from_utf8_lossy(tail);
    let panic = text.rfind("panicked at ");
    let allocation = failed_allocation(&text);
    match (panic, allocation) {
        // A panic inside of the handling of a failed allocation is the allocation's.
        (panic, Some((at, bytes))) if panic.is_none_or(|panic| at > panic) => {
            Some(LastWords::OutOfMemory(bytes))
        }
        (Some(at), _) => Some(LastWords::Panic(panic_message(&text[at..]))),
        (None, _) => None,
    }
}

/// `memory allocation of 123 bytes failed`, of the standard library.
fn failed_allocation(text: &str) -> Option<(usize, u64)> {
    const BEFORE: &str = "memory allocation of ";
    let at = text.rfind(BEFORE)?;
    let (number, rest) = text[at + BEFORE.len()..].split_once(' ')?;
    rest.starts_with("bytes failed").then_some(())?;
    Some((at, number.parse().ok()?))
}

/// Reads `panicked at PLACE:\nMESSAGE\nnote: …`, or in older form `panicked at 'MESSAGE', PLACE`.
fn panic_message(text: &str) -> String {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let message = ["\nnote: ", "\nstack backtrace:"]
        .into_iter()
        .fold(rest, |message, end| message.split(end).next().unwrap_or(message));
    let message = if message.starts_with("note: ") { "" } else { message }.trim_end();
    let whole = match (first.strip_suffix(':'), message) {
        (Some(place), "") => place.to_owned(),
        (Some(place), message) => format!("{place}: {message}"),
        (None, _) => first.to_owned(),
    };
    crate::context::cut(&whole, MAX_MESSAGE_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic(text: &str) -> Option<LastWords> {
        Some(LastWords::Panic(text.to_owned()))
    }

    #[test]
    fn the_last_panic_is_found() {
        let tail = b"hello\n\nthread '<unnamed>' (1) panicked at src/lib.rs:1:2:\nno such\nthing\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(find(tail), panic("panicked at src/lib.rs:1:2: no such\nthing"));
        let twice =
            b"thread 'main' panicked at a.rs:1:1:\none\nthread 'main' panicked at b.rs:2:2:\ntwo";
        assert_eq!(find(twice), panic("panicked at b.rs:2:2: two"));
        let bare = b"thread 'main' panicked at a.rs:1:1:\nnote: run with";
        assert_eq!(find(bare), panic("panicked at a.rs:1:1"));
        assert_eq!(find(b"panicked at 'old', a.rs:1"), panic("panicked at 'old', a.rs:1"));
        assert_eq!(find(b"an ordinary line"), None);
        assert_eq!(find(b""), None);
    }

    #[test]
    fn a_failed_allocation_is_told_from_a_panic() {
        let plain = b"memory allocation of 4294967 bytes failed\n";
        assert_eq!(find(plain), Some(LastWords::OutOfMemory(4_294_967)));
        let quoted =
            b"memory allocation of 1 bytes failed\nthread 'main' panicked at a.rs:1:1:\nno";
        assert_eq!(find(quoted), panic("panicked at a.rs:1:1: no"));
        assert_eq!(find(b"memory allocation of many bytes failed"), None);
        assert_eq!(find(b"memory allocation of "), None);
    }
}
