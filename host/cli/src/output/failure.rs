//! How a run ended, said to people.

use sandmill::{End, EndKind, Outcome, TrapKind};

use super::escape;

/// Frames of a backtrace that are shown.
const SHOWN_FRAMES: usize = 12;
/// Characters of one line of a guest's words that are shown.
const SHOWN_CHARACTERS: usize = 500;
/// Lines of a guest's words that are shown.
const SHOWN_LINES: usize = 20;

/// How a run ended that gave no value: first a line that names the kind and the message, then
/// what else there is to know of it (details, backtrace), line by line.
pub(crate) fn describe_outcome(outcome: &Outcome) -> (String, Vec<String>) {
    match outcome {
        Outcome::Value(_) => ("it returned a value".to_owned(), Vec::new()),
        Outcome::Failure(failure) => {
            let (first, mut rest) = words(&failure.message);
            if let Some(details) = &failure.details {
                rest.push(format!("details: {}", short(&details.to_json_string())));
            }
            (format!("failed ({}): {first}", short(&failure.kind)), rest)
        }
        Outcome::Ended(end) => describe_end(end),
    }
}

fn describe_end(end: &End) -> (String, Vec<String>) {
    let (first, mut rest) = words(&end.message);
    // A panic's own message says what matters; the others need the name of their kind.
    let first = match end.kind {
        EndKind::Trapped(TrapKind::Panic) if first.starts_with("panicked at ") => first,
        EndKind::Trapped(TrapKind::Panic) => format!("panicked: {first}"),
        kind @ EndKind::Trapped(_) => format!("{kind}: {first}"),
        kind => format!("ended as {kind}: {first}"),
    };
    if !end.backtrace.is_empty() {
        rest.push("in the guest, innermost first:".to_owned());
        rest.extend(frames(&end.backtrace));
    }
    (first, rest)
}

/// The frames of a backtrace. A function that calls itself is one line, however deep it went.
fn frames(backtrace: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut position = 0;
    for same in backtrace.chunk_by(|one, other| one == other) {
        if lines.len() == SHOWN_FRAMES {
            lines.push(format!("     … and {} more frames", backtrace.len() - position));
            break;
        }
        let times = if same.len() > 1 { format!(" ({} times)", same.len()) } else { String::new() };
        lines.push(format!("{position:>3}: {}{times}", short(&same[0])));
        position += same.len();
    }
    lines
}

/// The first line of a text and the others, safe for a terminal and not too many.
fn words(text: &str) -> (String, Vec<String>) {
    let mut lines = text.lines().map(str::trim_end);
    let first = short(lines.next().unwrap_or_default());
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let mut shown: Vec<String> = rest.iter().take(SHOWN_LINES).map(|line| short(line)).collect();
    if rest.len() > SHOWN_LINES {
        shown.push(format!("… and {} more lines", rest.len() - SHOWN_LINES));
    }
    (first, shown)
}

/// One line of a guest's words, safe for a terminal and not too long.
pub(crate) fn short(text: &str) -> String {
    let safe = escape::line(text);
    match safe.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &safe[..end]),
        None => safe.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_first_and_its_backtrace_is_bounded() {
        let mut end = End::new(EndKind::Trapped(TrapKind::Panic), "index 7 is\u{1b}[2J out\nof it");
        end.backtrace = (0..100).map(|frame| format!("frame_{frame}")).collect();
        let (first, rest) = describe_outcome(&end.into());
        assert_eq!(first, "panicked: index 7 is\\u{1b}[2J out");
        assert_eq!(rest.len(), 1 + 1 + SHOWN_FRAMES + 1);
        assert_eq!(rest[0], "of it");
        assert_eq!(rest.last().map(String::as_str), Some("     … and 88 more frames"));
    }

    #[test]
    fn recursion_is_one_line() {
        let frame = |name: &str| name.to_owned();
        let backtrace = [frame("f"), frame("f"), frame("f"), frame("main")];
        assert_eq!(frames(&backtrace), ["  0: f (3 times)", "  3: main"]);
    }

    #[test]
    fn limits_name_their_kind() {
        let end = End::new(EndKind::TimedOut, "not done after 1s");
        assert_eq!(describe_outcome(&end.into()).0, "ended as timed-out: not done after 1s");
    }
}
