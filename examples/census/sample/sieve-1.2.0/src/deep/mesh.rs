//! How wide the holes are.

/// A sieve's mesh.
pub struct Mesh<'a> {
    pub(crate) holes: &'a [u8],
    pub(crate) filter: fn(u8) -> bool,
}

impl<'a> Mesh<'a> {
    /// Lets through what fits.
    pub fn sift(&self) -> impl Iterator<Item = u8> + 'a {
        let filter = self.filter;
        self.holes.iter().copied().filter(move |&grain| filter(grain))
    }
}
