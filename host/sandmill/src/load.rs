//! Reading components from files.

use std::io::Read as _;
use std::path::Path;

use sandmill_core::Component;
use sandmill_sandbox::MAX_COMPONENT_BYTES;

use crate::HostError;

/// Reads a component's bytes from a file. Whether they are a component is found out when one is
/// first used.
///
/// # Errors
/// [`HostError::Read`] when the file cannot be read, [`HostError::Component`] when it is larger
/// than [`MAX_COMPONENT_BYTES`].
pub fn load_component(path: impl AsRef<Path>) -> Result<Component, HostError> {
    let path = path.as_ref();
    let read_error = |source| HostError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let limit = u64::try_from(MAX_COMPONENT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    // One byte more than the limit is enough to know, however large the file is.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read_error)?;
    let origin = path.display().to_string();
    if bytes.len() as u64 > limit {
        let why = format!("it is larger than {}", sandmill_core::units::format_size(limit));
        return Err(HostError::Component { origin, why });
    }
    Ok(Component::new(bytes, origin))
}
