//! `wasi:random`: the system's where it is granted, else streams that follow from the call, so
//! that a run without grants gives the same answer wherever it is done again.

use sandmill_wire::Digest;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use crate::host::State;
use crate::io::{HostLimit, MAX_RANDOM_BYTES};

/// Sets these streams apart from every other use of the hash. It changes when they do.
const SEED_CONTEXT: &str = "sandmill 2026-01 random streams of a call v1";

/// Where a run's random bytes come from.
pub(crate) enum Randomness {
    /// The system.
    System,
    /// The call.
    Call(Box<Streams>),
}

/// The streams of one call, one for each of the interfaces.
pub(crate) struct Streams {
    secure: blake3::OutputReader,
    insecure: blake3::OutputReader,
    seed: [u8; 16],
}

impl Randomness {
    /// The streams of a call: the same for the same component, task and arguments.
    pub(crate) fn of_call(component: &Digest, task: &str, arguments: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(SEED_CONTEXT);
        hasher.update(component.as_bytes());
        hasher.update(&(task.len() as u64).to_le_bytes());
        hasher.update(task.as_bytes());
        hasher.update(arguments);
        let key = *hasher.finalize().as_bytes();
        let stream = |name: &[u8]| blake3::Hasher::new_keyed(&key).update(name).finalize_xof();
        let mut seed = [0; 16];
        stream(b"insecure-seed").fill(&mut seed);
        let (secure, insecure) = (stream(b"random"), stream(b"insecure"));
        Self::Call(Box::new(Streams { secure, insecure, seed }))
    }

    fn fill(&mut self, is_secure: bool, bytes: &mut [u8]) -> wasmtime::Result<()> {
        match self {
            Self::System => system(bytes)?,
            Self::Call(streams) if is_secure => streams.secure.fill(bytes),
            Self::Call(streams) => streams.insecure.fill(bytes),
        }
        Ok(())
    }

    fn bytes(&mut self, is_secure: bool, count: u64) -> wasmtime::Result<Vec<u8>> {
        if count > MAX_RANDOM_BYTES {
            return Err(HostLimit::RandomBytes { asked: count }.into());
        }
        // Checked just now: far below what a usize holds.
        let mut bytes = vec![0; usize::try_from(count)?];
        self.fill(is_secure, &mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self, is_secure: bool) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(is_secure, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

fn system(bytes: &mut [u8]) -> wasmtime::Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| wasmtime::format_err!("the system has no random bytes: {error}"))
}

impl random::Host for State {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random().bytes(true, count)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random().number(true)
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.random().bytes(false, count)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random().number(false)
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let mut bytes = [0; 16];
        match self.random() {
            Randomness::System => system(&mut bytes)?,
            // The same at every call, as the interface has it.
            Randomness::Call(streams) => bytes = streams.seed,
        }
        let number = u128::from_le_bytes(bytes);
        // The low half, then the high half.
        Ok((number as u64, (number >> 64) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_follow_from_the_call_and_differ_from_each_other() {
        let component = Digest::of(b"component");
        let read = |task: &str, arguments: &[u8], is_secure| {
            Randomness::of_call(&component, task, arguments).bytes(is_secure, 32).unwrap()
        };
        let one = read("ab", b"c", true);
        assert_eq!(one, read("ab", b"c", true));
        for other in [read("a", b"bc", true), read("ab", b"d", true), read("ab", b"c", false)] {
            assert_ne!(one, other);
        }
        // However it is cut, the stream is one.
        let mut cut = Randomness::of_call(&component, "ab", b"c");
        let halves = [cut.bytes(true, 5).unwrap(), cut.bytes(true, 27).unwrap()].concat();
        assert_eq!(halves, one);
    }

    #[test]
    fn a_call_gets_no_more_than_a_mebibyte() {
        let mut random = Randomness::System;
        assert_eq!(random.bytes(true, MAX_RANDOM_BYTES).unwrap().len(), 1 << 20);
        assert!(random.bytes(true, u64::MAX).is_err());
    }
}
