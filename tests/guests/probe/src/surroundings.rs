//! What is around a run: clocks, randomness, environment, files, peers.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use sandmill_guest::{Bytes, Failure, task};
use schemars::JsonSchema;
use serde::Serialize;
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::random::{insecure, insecure_seed};

/// All that a run sees without asking for anything.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Surroundings {
    now_micros: u128,
    monotonic: u64,
    passed_nanos: u128,
    resolutions: (u64, u64),
    random: Bytes,
    insecure: Bytes,
    seed: (u64, u64),
    hash: u64,
    variables: BTreeMap<String, String>,
    arguments: Vec<String>,
    folder: Option<String>,
    root: Option<BTreeSet<String>>,
    input: usize,
}

/// Looks at everything that would differ from run to run, were it not for the host.
#[task]
pub(crate) fn look_around() -> Surroundings {
    let start = Instant::now();
    let wall = wall_clock::resolution();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Something for a real clock to see.
    let mut sum = 0_u64;
    for number in 0..100_000 {
        sum = std::hint::black_box(sum.wrapping_add(number));
    }
    Surroundings {
        now_micros: now.as_micros(),
        monotonic: monotonic_clock::now(),
        passed_nanos: start.elapsed().as_nanos() & u128::from(u64::MAX),
        resolutions: (
            monotonic_clock::resolution(),
            wall.seconds * 1_000_000_000 + u64::from(wall.nanoseconds),
        ),
        random: wasip2::random::random::get_random_bytes(32).into(),
        insecure: insecure::get_insecure_random_bytes(8).into(),
        seed: insecure_seed::insecure_seed(),
        hash: RandomState::new().hash_one(7),
        variables: env::vars().collect(),
        arguments: env::args().collect(),
        folder: env::current_dir().ok().map(|folder| folder.display().to_string()),
        root: names("/").ok(),
        input: io::read_to_string(io::stdin()).map_or(0, |text| text.len()),
    }
}

fn names(folder: &str) -> io::Result<BTreeSet<String>> {
    fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Random bytes.
#[task]
pub(crate) fn random(count: u64) -> Bytes {
    wasip2::random::random::get_random_bytes(count).into()
}

/// One environment variable.
#[task]
pub(crate) fn environment(name: String) -> Option<String> {
    env::var(name).ok()
}

/// Reads a file.
#[task]
pub(crate) fn read(path: String) -> Result<Bytes, Failure> {
    Ok(fs::read(path)?.into())
}

/// Writes a file.
#[task]
pub(crate) fn write(path: String, bytes: Bytes) -> Result<(), Failure> {
    Ok(fs::write(path, bytes)?)
}

/// The names in a folder.
#[task]
pub(crate) fn list(path: String) -> Result<BTreeSet<String>, Failure> {
    Ok(names(&path)?)
}

/// How many names there are in a folder.
#[task]
pub(crate) fn count_folder(path: String) -> Result<usize, Failure> {
    Ok(names(&path)?.len())
}

/// Makes a folder.
#[task]
pub(crate) fn make_folder(path: String) -> Result<(), Failure> {
    Ok(fs::create_dir(path)?)
}

/// Leaves one more file for `number` in a folder, so that whoever looks there can count how often
/// this was run, and returns twice the number.
#[task]
pub(crate) fn stamp(folder: String, number: u64) -> Result<u64, Failure> {
    let mut times = 0;
    loop {
        match fs::File::create_new(format!("{folder}/{number}.{times}")) {
            Ok(_) => return Ok(2 * number),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => times += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// The sum of numbers.
#[task]
pub(crate) fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

/// Connects to a peer and sends it a greeting.
#[task]
pub(crate) fn connect(peer: String) -> Result<(), Failure> {
    Ok(TcpStream::connect(peer)?.write_all(b"hello")?)
}
