//! What a command of the host wrote last to its standard error: why it failed, most of the time.
//! Running it is in `command`.

use std::collections::VecDeque;

/// Lines of its standard error that the message of a hook has that failed: the last 3.
pub const HOOK_LAST_LINES: usize = 3;
/// Most bytes of one of them, before control characters are written out: 300.
pub const HOOK_LAST_LINE: usize = 300;

/// The last lines that say anything.
#[derive(Default)]
pub(super) struct LastWords(VecDeque<String>);

impl LastWords {
    /// One more line. What would do something to a terminal is written out in it.
    pub(super) fn add(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if self.0.len() == HOOK_LAST_LINES {
            self.0.pop_front();
        }
        let cut = line.floor_char_boundary(HOOK_LAST_LINE);
        let mut kept = String::with_capacity(cut);
        for c in line[..cut].chars() {
            if c != '\t' && (c.is_control() || turns_around(c)) {
                kept.extend(c.escape_unicode());
            } else {
                kept.push(c);
            }
        }
        if cut < line.len() {
            kept.push('…');
        }
        self.0.push_back(kept);
    }

    /// All of them on one line; empty when there are none.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }
}

/// Whether a character changes the direction of text, or cannot be seen, without being a control
/// character by Unicode's word.
const fn turns_around(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
