//! How large a value may be, and how large one is. The check that enforces it is in `check.rs`.

use super::error::ValueError;

/// Default of [`Bounds::max_bytes`]: 16 MiB. Larger data travels by digest.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Default of [`Bounds::max_depth`]: 64 arrays and maps inside one another.
pub const MAX_DEPTH: usize = 64;
/// Default of [`Bounds::max_nodes`]: 1,000,000 values, counting map keys and the containers.
pub const MAX_NODES: usize = 1_000_000;
/// The most that [`Bounds::max_depth`] can ask for: a larger number means this one. Decoding into
/// Rust types and writing JSON recurse, so the depth is also a bound on their stack.
pub const DEPTH_CEILING: usize = 128;

/// Limits that a value has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Encoded size in bytes. Default [`MAX_BYTES`].
    pub max_bytes: usize,
    /// How many arrays and maps may enclose one another: a scalar has depth 0, `[]` depth 1.
    /// Default [`MAX_DEPTH`], at most [`DEPTH_CEILING`].
    pub max_depth: usize,
    /// How many values there may be in all: every scalar, map key, array and map counts one.
    /// Default [`MAX_NODES`].
    pub max_nodes: usize,
}

impl Bounds {
    /// The default limits.
    pub const DEFAULT: Self =
        Self { max_bytes: MAX_BYTES, max_depth: MAX_DEPTH, max_nodes: MAX_NODES };

    /// The depth limit in force.
    pub(crate) fn depth(&self) -> usize {
        self.max_depth.min(DEPTH_CEILING)
    }

    /// Refuses a value that was put together from checked parts and has become too large.
    pub(crate) fn admit(&self, size: usize, shape: Shape) -> Result<(), ValueError> {
        if size > self.max_bytes {
            return Err(ValueError::TooLarge { size, limit: self.max_bytes });
        }
        if shape.depth > self.depth() {
            return Err(ValueError::TooDeep { offset: 0, limit: self.depth() });
        }
        if shape.nodes > self.max_nodes {
            return Err(ValueError::TooManyNodes { offset: 0, limit: self.max_nodes });
        }
        Ok(())
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How deep a value is and how many nodes it has. The nodes are exact; the depth of a slice is
/// no more than an upper bound, because finding it would take a second walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) depth: usize,
    pub(crate) nodes: usize,
}

impl Shape {
    pub(crate) const SCALAR: Self = Self { depth: 0, nodes: 1 };
}
