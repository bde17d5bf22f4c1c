//! The tasks as plain functions, over the sample images. `examples/make_samples.rs` made those.

use image::Rgb;

use super::*;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile");

fn dimensions(png: &Bytes) -> (u32, u32) {
    let image = image::load_from_memory_with_format(png, ImageFormat::Png).unwrap();
    (image.width(), image.height())
}

#[test]
fn samples_become_thumbnails() {
    let images = list_images(SAMPLES.to_owned()).unwrap();
    assert_eq!(images, ["dunes.jpg", "grid.png", "moon.png", "tall.jpg"]);
    let sizes: Vec<_> = images
        .iter()
        .map(|file| {
            let image = read_image(SAMPLES.to_owned(), file.clone()).unwrap();
            dimensions(&thumbnail(image, 64).unwrap())
        })
        .collect();
    assert_eq!(sizes, [(64, 40), (64, 64), (48, 48), (64, 192)]);
}

#[test]
fn a_thumbnail_looks_like_its_image() {
    let image = read_image(SAMPLES.to_owned(), "grid.png".to_owned()).unwrap();
    let small = thumbnail(image, 4).unwrap();
    let small = image::load_from_memory(&small).unwrap().into_rgb8();
    // The grid is four by four fields, so each pixel is the colour of one field.
    for (x, y, pixel) in small.enumerate_pixels() {
        assert_eq!(pixel.0, field_colour(x, y).0, "field {x}, {y}");
    }
}

#[test]
fn hostile_images_are_failures() {
    for (file, kind) in [
        ("truncated.jpg", "bad-image"),
        ("flipped.png", "bad-image"),
        ("empty.png", "unsupported-image"),
    ] {
        let image = read_image(HOSTILE.to_owned(), file.to_owned()).unwrap();
        let failure = thumbnail(image, 64).unwrap_err();
        assert_eq!(failure.kind(), kind, "{file}: {failure}");
    }
}

#[test]
fn what_was_saved_can_be_read() {
    let directory = std::env::temp_dir().join(format!("thumbnails-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let name = directory.to_str().unwrap().to_owned();
    let image = read_image(SAMPLES.to_owned(), "dunes.jpg".to_owned()).unwrap();
    let small = thumbnail(image, 32).unwrap();
    let saved = save(name.clone(), "dunes.jpg".to_owned(), small.clone()).unwrap();
    assert_eq!(saved, Saved { file: "dunes.jpg.png".to_owned(), width: 32, height: 20 });
    assert_eq!(read_image(name, saved.file).unwrap(), small);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn bad_arguments_are_named() {
    assert_eq!(thumbnail(Bytes::new(), 0).unwrap_err().kind(), "out-of-range");
    assert_eq!(thumbnail(Bytes::new(), WIDTH_MAX + 1).unwrap_err().kind(), "out-of-range");
    assert_eq!(
        read_image(SAMPLES.to_owned(), "no.png".to_owned()).unwrap_err().kind(),
        "not-found"
    );
}

fn field_colour(x: u32, y: u32) -> Rgb<u8> {
    let step = |field: u32| u8::try_from(field * 80).unwrap();
    Rgb([step(x), step(y), 128])
}
