//! Scales images down. Reading and writing files are tasks of their own with a directory granted;
//! the one that takes strangers' bytes apart has no grant at all.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use image::error::ImageError;
use image::{ImageFormat, ImageReader};
use sandmill_guest::{Bytes, Failure, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The widest thumbnail there is; anything wider is no thumbnail.
const WIDTH_MAX: u32 = 4_096;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Where, below the directory.
    pub file: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Lists the PNG and JPEG files in a directory, sorted.
#[task]
pub fn list_images(
    /// A directory that was granted.
    directory: String,
) -> Result<Vec<String>, Failure> {
    let root = Path::new(&directory);
    let unreadable = |error| file_failure("read", root, &error);
    let mut images = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        if let Some(name) = name.to_str()
            && ImageFormat::from_path(name).is_ok()
            && entry.file_type().map_err(unreadable)?.is_file()
        {
            images.push(name.to_owned());
        }
    }
    images.sort_unstable();
    Ok(images)
}

/// Reads one file.
#[task]
pub fn read_image(
    /// A directory that was granted.
    directory: String,
    /// A file in it.
    file: String,
) -> Result<Bytes, Failure> {
    let path = Path::new(&directory).join(file);
    fs::read(&path).map(Bytes::from).map_err(|error| file_failure("read", &path, &error))
}

/// Scales an image down to a width, and keeps its proportions. One that is narrower already stays
/// as it is.
#[task]
pub fn thumbnail(
    /// A PNG or a JPEG.
    image: Bytes,
    /// The width in pixels.
    #[default(128)]
    width: u32,
) -> Result<Bytes, Failure> {
    if !(1..=WIDTH_MAX).contains(&width) {
        let message = format!("`width` is {width}, but must be from 1 to {WIDTH_MAX}");
        return Err(Failure::new("out-of-range", message));
    }
    let mut reader = ImageReader::new(Cursor::new(&image[..])).with_guessed_format()?;
    // What an image may take is the host's to say, by the memory limit of the run.
    reader.no_limits();
    let full = reader.decode().map_err(image_failure)?;
    let small = if full.width() > width { full.thumbnail(width, u32::MAX) } else { full };
    let mut png = Cursor::new(Vec::new());
    small.into_rgba8().write_to(&mut png, ImageFormat::Png).map_err(image_failure)?;
    Ok(png.into_inner().into())
}

/// Writes a thumbnail into a directory, as a PNG named after its image.
#[task]
pub fn save(
    /// A directory that was granted for writing.
    directory: String,
    /// The name of the image that the thumbnail is of.
    file: String,
    /// The thumbnail.
    thumbnail: Bytes,
) -> Result<Saved, Failure> {
    let (width, height) = ImageReader::with_format(Cursor::new(&thumbnail[..]), ImageFormat::Png)
        .into_dimensions()
        .map_err(image_failure)?;
    let file = format!("{file}.png");
    let path = Path::new(&directory).join(&file);
    fs::write(&path, thumbnail).map_err(|error| file_failure("write", &path, &error))?;
    Ok(Saved { file, width, height })
}

sandmill_guest::export!(list_images, read_image, thumbnail, save);

fn image_failure(error: ImageError) -> Failure {
    let kind = match error {
        ImageError::Unsupported(_) => "unsupported-image",
        _ => "bad-image",
    };
    Failure::new(kind, error.to_string())
}

fn file_failure(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => "not-found",
        _ => "file-error",
    };
    Failure::new(kind, format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
