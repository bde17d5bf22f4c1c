//! Cuts stones.

/* Comments /* that nest */
   fn are_no_code() {} */

/// Cuts one stone.
pub fn cut(stone: &str) -> &str {
    let quote = '"'; // a character, not the start of a string
    stone.trim_matches(quote)
}
