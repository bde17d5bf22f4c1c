//! A look at the number literals of a JSON text before it is parsed: serde_json makes integers
//! beyond 64 bits into floats without a word, and by then nothing tells them from floats.

use super::error::JsonError;
use super::keys::preview_text;

/// Digits that fit `i64` and `u64` whatever they are.
const SAFE_DIGITS: usize = 18;

/// Refuses an integer literal that neither `i64` nor `u64` holds. Other faults are left to the
/// parser.
pub(crate) fn refuse_huge_integers(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'"' => string_len(bytes.get(at..).unwrap_or_default()),
            b'-' | b'0'..=b'9' => {
                let rest = text.get(at..).unwrap_or_default();
                let end =
                    rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
                let literal = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
                if is_huge(literal) {
                    let message = format!(
                        "the integer {} is beyond 64 bits",
                        preview_text(literal).trim_matches('"')
                    );
                    return Err(JsonError::new(message, Some(position(bytes, at))));
                }
                literal.len()
            }
            _ => 1,
        };
    }
    Ok(())
}

fn is_huge(literal: &str) -> bool {
    literal.len() > SAFE_DIGITS
        && !literal.contains(['.', 'e', 'E'])
        && literal.parse::<u64>().is_err()
        && literal.parse::<i64>().is_err()
}

/// The length of the string literal at the start, both quotes included.
fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Line and column, both from 1, as serde_json counts them.
fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |n| n + 1);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    (line, at - line_start + 1)
}
