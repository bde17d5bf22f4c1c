//! Makes text from guests safe for a terminal. A guest may write anything: escape sequences that
//! retitle the window or hide what follows, carriage returns, bidirectional overrides.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line of text with everything that could steer a terminal written out, as `\u{1b}`.
/// Line breaks are written out too, so the answer is one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, false)
}

/// Text of several lines: as [`line()`], but line breaks and tabs stay.
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    escape(text, true)
}

fn escape(text: &str, keep_layout: bool) -> Cow<'_, str> {
    let stays = |c: char| !steers(c) || (keep_layout && matches!(c, '\n' | '\t'));
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if stays(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(safe)
}

/// Whether a terminal may take the character for an order rather than for text: C0 and C1
/// controls, and the Unicode characters that change the direction of text (CVE-2021-42574).
const fn steers(c: char) -> bool {
    c.is_ascii_control()
        || matches!(c, '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        assert_eq!(line("plain ünïcode ✓"), "plain ünïcode ✓");
        assert_eq!(line("\u{1b}[2J\r\n\ta\u{9b}31m"), "\\u{1b}[2J\\r\\n\\ta\\u{9b}31m");
        assert_eq!(block("a\n\tb\u{7}"), "a\n\tb\\u{7}");
        assert_eq!(line("ab\u{202e}cd"), "ab\\u{202e}cd");
        for code in (0..0xa0).filter_map(char::from_u32) {
            let text = code.to_string();
            assert!(line(&text).chars().all(|c| !c.is_control()), "{code:?} came through");
        }
    }
}
