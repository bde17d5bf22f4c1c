//! Going through several lists at once.

/// What to do with lists of different lengths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zip {
    /// Refuse them (as Prefect 3's `MappingLengthMismatch`).
    #[default]
    Strict,
    /// Stop with the shortest (as Prefect 0.x and Python's `zip`).
    Shortest,
}

/// Why lists cannot be gone through together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZipError {
    /// They differ in length.
    #[error("the mapped lists differ in length: {0}; make them equal, or stop with the shortest")]
    MappingLengthMismatch(String),
}

/// How many positions there are; 0 for no lists.
pub(crate) fn zip_lengths<'a>(
    lists: impl Iterator<Item = (&'a str, usize)> + Clone,
    zip: Zip,
) -> Result<usize, ZipError> {
    let shortest = lists.clone().map(|(_, length)| length).min().unwrap_or(0);
    if zip == Zip::Strict && lists.clone().any(|(_, length)| length != shortest) {
        let lengths: Vec<String> =
            lists.map(|(name, length)| format!("`{name}` has {length}")).collect();
        return Err(ZipError::MappingLengthMismatch(lengths.join(", ")));
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_equal_or_the_shortest_counts() {
        let lists = [("a", 3), ("b", 2)];
        let error = zip_lengths(lists.into_iter(), Zip::Strict).unwrap_err();
        assert!(error.to_string().contains("`a` has 3, `b` has 2"), "{error}");
        assert_eq!(zip_lengths(lists.into_iter(), Zip::Shortest), Ok(2));
        assert_eq!(zip_lengths(std::iter::empty(), Zip::Strict), Ok(0));
    }
}
