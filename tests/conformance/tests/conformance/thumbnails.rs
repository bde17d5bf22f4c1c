//! Thumbnails: a hostile image fails its own run and no other.

use std::fs;

use sandmill::{Call, CallOptions, EndKind, MapOptions, Outcome, args};
use sandmill_test_artifacts as artifacts;
use sandmill_test_conformance::{Bench, LONG, Ran};

use crate::examples::granted;
use crate::table::{Case, checks, same_story, still_good};

pub(crate) fn cases() -> Vec<Case> {
    checks![samples_are_listed_and_scaled, hostile_images_cost_their_own_run]
}

/// Bytes as a binary argument.
struct Binary(Vec<u8>);

impl serde::Serialize for Binary {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

fn image(path: &str) -> Binary {
    Binary(fs::read(artifacts::example("thumbnails").join(path)).unwrap())
}

/// Scales images in one map.
fn scaled(bench: &Bench, images: &'static [&'static str]) -> Vec<Ran> {
    let component = bench.guest("thumbnails");
    let calls = images.iter().zip(0..).map(move |(path, index)| {
        let arguments = args! { "image" => image(path), "width" => 32 }.unwrap();
        Call::new(&component, "thumbnail", arguments).at_index(index)
    });
    let list = bench.host.map(calls, MapOptions::default());
    list.futures(Some(LONG)).into_iter().map(|future| bench.ran(future)).collect()
}

fn samples_are_listed_and_scaled(bench: &Bench) {
    let grants = granted("thumbnails", "samples", "/images");
    let listed = bench.run_with(
        "thumbnails",
        "list_images",
        r#"{"directory":"/images"}"#,
        |options: &mut CallOptions| options.grants = grants,
    );
    let names = ["dunes.jpg", "grid.png", "moon.png", "tall.jpg"];
    assert_eq!(listed.value::<Vec<String>>(), names);
    let images = &["samples/dunes.jpg", "samples/grid.png", "samples/moon.png", "samples/tall.jpg"];
    for (ran, name) in scaled(bench, images).iter().zip(names) {
        let bytes = ran.bytes();
        let png = bytes.windows(8).position(|part| part == b"\x89PNG\r\n\x1a\n");
        assert!(png.is_some_and(|at| at <= 5), "{name} is a header and a PNG");
        same_story(name, ran);
    }
}

fn hostile_images_cost_their_own_run(bench: &Bench) {
    let images = &[
        "samples/dunes.jpg",
        "hostile/truncated.jpg",
        "hostile/bomb.png",
        "samples/grid.png",
        "hostile/flipped.png",
        "hostile/empty.png",
        "samples/tall.jpg",
    ];
    let runs = scaled(bench, images);
    for (ran, path) in runs.iter().zip(images) {
        match (&ran.outcome, path.split_once('/').unwrap()) {
            (Outcome::Value(_), ("samples", _)) => {}
            (Outcome::Failure(failure), ("hostile", file)) if file != "bomb.png" => {
                assert!(failure.kind.ends_with("-image"), "{file}: {failure}");
            }
            // A few bytes that promise 1.6 GB: the limit of the run is what stops it.
            (Outcome::Ended(end), ("hostile", "bomb.png")) => {
                assert_eq!(end.kind, EndKind::OutOfMemory, "{}", end.message);
            }
            (outcome, _) => panic!("{path}: {outcome:?}"),
        }
        same_story(path, ran);
    }
    still_good(bench);
}
