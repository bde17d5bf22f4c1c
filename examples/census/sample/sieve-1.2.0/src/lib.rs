//! Sorts grains.

mod deep;

pub use deep::mesh::Mesh;

/// What this text says is no code.
pub const TEXT: &str = r#"
unsafe { fn nobody() {} } // not a "comment"

"#;

/// The first grain, unchecked.
///
/// # Safety
/// There must be one.
pub unsafe fn first(grains: &[u8]) -> u8 {
    // SAFETY: the caller says so.
    unsafe { *grains.get_unchecked(0) }
}
