//! Seals: a few bytes of BLAKE3 over what a row says, by which a row that has changed by itself is
//! told from one that was written. They guard against rot, not against whoever can write the file.

use sandmill_core::{State, Timestamp, Usage};
use sandmill_wire::{Digest, RunId};

use crate::rows::kind_number;

/// Collects what a row says, field by field. Every field is framed, so that no two rows that
/// differ feed the same bytes. They are hashed at the end: a hasher that went along from field to
/// field would be copied at each, and it is large.
pub(crate) struct Seal(Vec<u8>);

impl Seal {
    /// Begins the seal of a row of this table.
    pub(crate) fn of(table: &str) -> Self {
        Self(Vec::with_capacity(512)).text(table)
    }

    #[must_use]
    pub(crate) fn int(mut self, value: i64) -> Self {
        self.0.push(1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    #[must_use]
    pub(crate) fn count(self, value: u64) -> Self {
        self.int(value.cast_signed())
    }

    #[must_use]
    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.push(2);
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value);
        self
    }

    #[must_use]
    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    #[must_use]
    fn none(mut self) -> Self {
        self.0.push(0);
        self
    }

    #[must_use]
    pub(crate) fn opt_int(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(value),
            None => self.none(),
        }
    }

    #[must_use]
    pub(crate) fn opt_count(self, value: Option<u64>) -> Self {
        self.opt_int(value.map(u64::cast_signed))
    }

    #[must_use]
    pub(crate) fn opt_bytes(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.none(),
        }
    }

    #[must_use]
    pub(crate) fn opt_text(self, value: Option<&str>) -> Self {
        self.opt_bytes(value.map(str::as_bytes))
    }

    #[must_use]
    pub(crate) fn at(self, value: Timestamp) -> Self {
        self.count(value.as_micros())
    }

    #[must_use]
    pub(crate) fn opt_at(self, value: Option<Timestamp>) -> Self {
        self.opt_count(value.map(Timestamp::as_micros))
    }

    #[must_use]
    pub(crate) fn run(self, value: RunId) -> Self {
        self.bytes(value.as_uuid().as_bytes())
    }

    #[must_use]
    pub(crate) fn opt_run(self, value: Option<RunId>) -> Self {
        match value {
            Some(value) => self.run(value),
            None => self.none(),
        }
    }

    #[must_use]
    pub(crate) fn opt_digest(self, value: Option<&Digest>) -> Self {
        self.opt_bytes(value.map(|digest| digest.as_bytes().as_slice()))
    }

    #[must_use]
    pub(crate) fn state(self, state: &State) -> Self {
        self.int(kind_number(state.kind))
            .text(&state.name)
            .opt_text(state.message.as_deref())
            .at(state.at)
    }

    #[must_use]
    pub(crate) fn usage(self, usage: &Usage) -> Self {
        self.count(usage.wall_micros)
            .count(usage.peak_memory)
            .count(usage.input)
            .count(usage.output)
            .opt_count(usage.fuel)
            .int(i64::from(usage.read_context))
    }

    /// The seal, as SQLite keeps it.
    pub(crate) fn finish(self) -> i64 {
        let mut seal = [0; 8];
        seal.copy_from_slice(&blake3::hash(&self.0).as_bytes()[..8]);
        i64::from_le_bytes(seal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        let seals = [
            Seal::of("t").text("ab").text("c").finish(),
            Seal::of("t").text("a").text("bc").finish(),
            Seal::of("t").text("abc").finish(),
            Seal::of("t").opt_text(None).text("abc").finish(),
            Seal::of("t").int(0).text("abc").finish(),
            Seal::of("u").text("abc").finish(),
        ];
        for (index, seal) in seals.iter().enumerate() {
            assert!(!seals[index + 1..].contains(seal));
        }
    }
}
