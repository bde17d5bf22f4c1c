//! Rows of the history as they are read and written.

/// The largest value that is kept in a row: 64 KiB. A larger one becomes a blob.
pub const MAX_INLINE_RESULT: usize = 64 * 1024;
