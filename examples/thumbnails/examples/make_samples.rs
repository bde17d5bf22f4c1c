//! Makes the images in `samples` and `hostile`, as they are in the repository:
//! `cargo run --release -p thumbnails --example make_samples`.

use std::fs;
use std::path::Path;

use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage, Rgba, RgbaImage};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/hostile");

fn main() {
    let write = |folder: &str, file: &str, image: DynamicImage| {
        image.save(Path::new(folder).join(file)).unwrap();
    };
    let shade =
        |x: f64, y: f64| ((x / 23.0).sin() * 40.0 + (y / 11.0 + x / 40.0).sin() * 50.0) as i32;
    let dunes = RgbImage::from_fn(320, 200, |x, y| {
        let tone = |base: i32| (base + shade(x.into(), y.into())).clamp(0, 255) as u8;
        Rgb([tone(190), tone(150), tone(100)])
    });
    write(SAMPLES, "dunes.jpg", DynamicImage::ImageRgb8(dunes));
    let grid = RgbImage::from_fn(256, 256, |x, y| field_colour(x / 64, y / 64));
    write(SAMPLES, "grid.png", DynamicImage::ImageRgb8(grid));
    let moon = RgbaImage::from_fn(48, 48, |x, y| {
        let (x, y) = (f64::from(x) - 23.5, f64::from(y) - 23.5);
        let inside = x.hypot(y) < 20.0 && (x - 9.0).hypot(y + 4.0) > 18.0;
        Rgba([240, 235, 200, if inside { 255 } else { 0 }])
    });
    write(SAMPLES, "moon.png", DynamicImage::ImageRgba8(moon));
    let tall = GrayImage::from_fn(100, 300, |x, y| Luma([((x * y / 100) % 256) as u8]));
    write(SAMPLES, "tall.jpg", DynamicImage::ImageLuma8(tall));

    let jpeg = fs::read(Path::new(SAMPLES).join("dunes.jpg")).unwrap();
    fs::write(Path::new(HOSTILE).join("truncated.jpg"), &jpeg[..300]).unwrap();
    let mut png = fs::read(Path::new(SAMPLES).join("grid.png")).unwrap();
    let middle = png.len() / 2;
    png[middle] ^= 0x55;
    fs::write(Path::new(HOSTILE).join("flipped.png"), &png).unwrap();
    fs::write(Path::new(HOSTILE).join("empty.png"), b"").unwrap();
    fs::write(Path::new(HOSTILE).join("bomb.png"), bomb()).unwrap();
}

/// A few bytes that say they are 20,000 pixels each way: 1.6 GB once decoded.
fn bomb() -> Vec<u8> {
    fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
        png.extend_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes());
        let start = png.len();
        png.extend_from_slice(&kind);
        png.extend_from_slice(data);
        let checksum = png[start..].iter().fold(u32::MAX, |mut checksum, &byte| {
            checksum ^= u32::from(byte);
            for _ in 0..8 {
                let low = checksum & 1;
                checksum = (checksum >> 1) ^ (low * 0xedb8_8320);
            }
            checksum
        });
        png.extend_from_slice(&(!checksum).to_be_bytes());
    }
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend_from_slice(&20_000_u32.to_be_bytes());
    header.extend_from_slice(&20_000_u32.to_be_bytes());
    // Eight bits, RGBA, no interlace.
    header.extend_from_slice(&[8, 6, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header);
    // An empty deflate stream: the decoder has made room for the pixels by the time it sees it.
    chunk(&mut png, *b"IDAT", &[0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01]);
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn field_colour(x: u32, y: u32) -> Rgb<u8> {
    let step = |field: u32| u8::try_from(field * 80).unwrap();
    Rgb([step(x), step(y), 128])
}
