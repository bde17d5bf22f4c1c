//! A small lexer for Rust: enough to tell code from comments, strings, characters and lifetimes.
//! It never fails; a file that is not Rust, or not even text, is counted as far as it goes.

use crate::Counts;

/// Counts what is in one source file.
pub(crate) fn count(source: &[u8]) -> Counts {
    let mut lexer = Lexer { source, at: 0, line: Line::default(), counts: Counts::default() };
    lexer.run();
    lexer.counts
}

/// What the line so far has.
#[derive(Default)]
struct Line {
    code: bool,
    comment: bool,
}

/// What bytes are part of.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
}

struct Lexer<'a> {
    source: &'a [u8],
    at: usize,
    line: Line,
    counts: Counts,
}

/// The last token that matters to the next one.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Fn,
    Unsafe,
    Other,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) {
        let mut last = Last::Other;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
                _ if byte.is_ascii_whitespace() => self.take(1, Part::Code),
                b'"' => {
                    self.string();
                    last = Last::Other;
                }
                b'\'' => {
                    self.quote();
                    last = Last::Other;
                }
                _ if is_word(byte) => last = self.word(last),
                _ => {
                    if byte == b'{' && last == Last::Unsafe {
                        self.counts.unsafe_blocks += 1;
                    }
                    self.take(1, Part::Code);
                    last = Last::Other;
                }
            }
        }
        if self.source.last().is_some_and(|&byte| byte != b'\n') {
            self.end_line();
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    /// Takes the next `length` bytes as part of code or of a comment.
    fn take(&mut self, length: usize, part: Part) {
        let end = (self.at + length).min(self.source.len());
        for &byte in &self.source[self.at..end] {
            if byte == b'\n' {
                self.end_line();
            } else if !byte.is_ascii_whitespace() {
                match part {
                    Part::Code => self.line.code = true,
                    Part::Comment => self.line.comment = true,
                }
            }
        }
        self.at = end;
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.counts.lines += 1;
        match line {
            Line { code: true, .. } => {}
            Line { comment: true, .. } => self.counts.comments += 1,
            Line { .. } => self.counts.blank += 1,
        }
    }

    fn line_comment(&mut self) {
        let rest = &self.source[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        self.take(length, Part::Comment);
    }

    /// Block comments nest in Rust.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.source.len() {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.take(2, Part::Comment);
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.take(2, Part::Comment);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.take(1, Part::Comment),
            }
        }
    }

    /// A string with escapes; at its opening quote.
    fn string(&mut self) {
        self.take(1, Part::Code);
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\\' => self.take(2, Part::Code),
                b'"' => return self.take(1, Part::Code),
                _ => self.take(1, Part::Code),
            }
        }
    }

    /// A raw string; at its first `#` or its opening quote.
    fn raw_string(&mut self, hashes: usize) {
        self.take(hashes + 1, Part::Code);
        while let Some(byte) = self.peek(0) {
            let closes = byte == b'"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some(b'#'));
            if closes {
                return self.take(hashes + 1, Part::Code);
            }
            self.take(1, Part::Code);
        }
    }

    /// A character (`'x'`, `'\n'`, `'"'`) or a lifetime (`'a`); at its quote.
    fn quote(&mut self) {
        match self.peek(1) {
            Some(b'\\') => {
                self.take(3, Part::Code);
                // The rest of `'\u{1F600}'` and the closing quote, but never beyond the line.
                while let Some(byte) = self.peek(0) {
                    if byte == b'\n' {
                        return;
                    }
                    self.take(1, Part::Code);
                    if byte == b'\'' {
                        return;
                    }
                }
            }
            Some(first) if self.peek(1 + width(first)) == Some(b'\'') => {
                self.take(2 + width(first), Part::Code);
            }
            _ => {
                self.take(1, Part::Code);
                let length = self.word_here().len();
                self.take(length, Part::Code);
            }
        }
    }

    fn word_here(&self) -> &'a [u8] {
        let rest = &self.source[self.at..];
        let length = rest.iter().position(|&byte| !is_word(byte)).unwrap_or(rest.len());
        &rest[..length]
    }

    /// A name, a keyword, a number, or the prefix of a string.
    fn word(&mut self, last: Last) -> Last {
        let word = self.word_here();
        self.take(word.len(), Part::Code);
        match (word, self.peek(0)) {
            (b"r" | b"br" | b"cr", Some(b'"' | b'#')) => {
                let rest = &self.source[self.at..];
                let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
                if rest.get(hashes) == Some(&b'"') {
                    self.raw_string(hashes);
                } else {
                    // A raw name, such as `r#fn`: not the keyword.
                    self.take(hashes, Part::Code);
                    let length = self.word_here().len();
                    self.take(length, Part::Code);
                    if last == Last::Fn {
                        self.counts.functions += 1;
                    }
                }
                Last::Other
            }
            (b"b" | b"c", Some(b'"')) => {
                self.string();
                Last::Other
            }
            (b"b", Some(b'\'')) => {
                self.quote();
                Last::Other
            }
            (b"fn", _) => Last::Fn,
            (b"unsafe", _) => Last::Unsafe,
            // A `fn` without a name is the type of a pointer.
            _ if last == Last::Fn => {
                self.counts.functions += 1;
                Last::Other
            }
            _ => Last::Other,
        }
    }
}

/// Whether a byte can be in a name or a number. Beyond ASCII nothing but names matters here.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The bytes of a UTF-8 character by its first one.
fn width(first: u8) -> usize {
    match first {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines, blank lines, comment lines, functions, unsafe blocks.
    fn counted(source: &str) -> (u64, u64, u64, u64, u64) {
        let Counts { lines, blank, comments, functions, unsafe_blocks } = count(source.as_bytes());
        (lines, blank, comments, functions, unsafe_blocks)
    }

    #[test]
    fn lines_are_code_comment_or_blank() {
        assert_eq!(counted(""), (0, 0, 0, 0, 0));
        assert_eq!(counted("\n"), (1, 1, 0, 0, 0));
        assert_eq!(counted("x"), (1, 0, 0, 0, 0));
        assert_eq!(counted("//! a\n\n  // b\nx // c\n"), (4, 1, 2, 0, 0));
        assert_eq!(counted("x\r\n\r\n// y\r\n"), (3, 1, 1, 0, 0));
    }

    #[test]
    fn block_comments_nest() {
        assert_eq!(counted("/* a\n /* b */ fn c()\n\n*/ x\n"), (4, 1, 2, 0, 0));
        assert_eq!(counted("/*/ fn a() {} */\nfn b() {}\n"), (2, 0, 1, 1, 0));
        assert_eq!(counted("/* open\nfn a() {}"), (2, 0, 2, 0, 0));
        assert_eq!(counted("x /* a */\n/* b */ y\n/* c */\n"), (3, 0, 1, 0, 0));
    }

    #[test]
    fn functions_have_names() {
        assert_eq!(counted("fn a() {} pub async fn b();").3, 2);
        assert_eq!(counted("let f: fn(u8) -> u8; type F = unsafe extern \"C\" fn();").3, 0);
        assert_eq!(counted("fn /* odd */ a() {}").3, 1);
        assert_eq!(counted("fn\n// odd\na() {}").3, 1);
        assert_eq!(counted("fn r#type() {} let r#fn = 1; fnord(); my_fn();").3, 1);
        assert_eq!(counted("impl Fn() for X {} fn é() {}").3, 1);
    }

    #[test]
    fn unsafe_blocks_are_blocks() {
        assert_eq!(counted("unsafe { a() } unsafe{b()} unsafe /* why */ {}").4, 3);
        assert_eq!(counted("unsafe fn a() {} unsafe impl B for C {} unsafe extern \"C\" {}").4, 0);
        assert_eq!(counted("// unsafe {\n/* unsafe { */ \"unsafe {\"").4, 0);
        assert_eq!(counted("r#unsafe { not_unsafe { }").4, 0);
    }

    #[test]
    fn strings_hide_what_is_in_them() {
        assert_eq!(counted(r#""// \" fn a() {" fn b() {}"#).3, 1);
        assert_eq!(counted("r\"\\\" fn a() {}").3, 1);
        assert_eq!(counted("r#\"quote \" // fn a()\n\"# fn b() {}"), (2, 0, 0, 1, 0));
        assert_eq!(counted("br##\"\"# fn a()\"## b\"fn c()\" c\"fn d()\" cr\"fn e()\"").3, 0);
        assert_eq!(counted("\"a\\\\\" fn b() {}").3, 1);
        assert_eq!(counted("\"never closed fn a()\n\nfn b()"), (3, 1, 0, 0, 0));
    }

    #[test]
    fn characters_are_not_lifetimes() {
        assert_eq!(counted("'\"' fn a() {} '\"'").3, 1);
        assert_eq!(counted(r"'\'' fn a() {} '\\' fn b() {} '\u{1F600}' fn c() {}").3, 3);
        assert_eq!(counted("fn a<'a>(x: &'a str, y: &'static str) {} fn b() {}").3, 2);
        assert_eq!(counted("'é' fn a() {} '🦀' fn b() {} b'\\'' fn c() {} b'\"' fn d() {}").3, 4);
        assert_eq!(counted("'outer: loop { break 'outer } fn a() {}").3, 1);
        assert_eq!(counted("'/' // fn a()\n'*'"), (2, 0, 0, 0, 0));
    }

    #[test]
    fn any_bytes_are_counted_to_their_end() {
        let mut state = 1_u32;
        let alphabet = b"/*'\"#r\\\nb fn unsafe{}\xff\xc3 ";
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..64)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(state >> 16) as usize % alphabet.len()]
                })
                .collect();
            let newlines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let unended = u64::from(bytes.last() != Some(&b'\n'));
            assert_eq!(count(&bytes).lines, newlines + unended, "{}", bytes.escape_ascii());
        }
    }
}
