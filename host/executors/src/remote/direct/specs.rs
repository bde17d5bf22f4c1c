//! The stages that a worker was told of over one connection, and the numbers by which they go there.

use std::collections::HashMap;

use sandmill_transport::message::Spec;

use super::super::stages::Stage;
use super::config::{LINK_SPEC_BYTES, LINK_SPECS};
use super::outbox::size_of_spec;

/// The stages that a worker was told of over one connection.
#[derive(Default)]
pub(super) struct Specs {
    /// By their numbers here, the numbers there.
    numbers: HashMap<u64, u32>,
    bytes: usize,
}

impl Specs {
    /// The number by which the stage goes there, where it was told.
    pub(super) fn number(&self, stage: &Stage) -> Option<u32> {
        self.numbers.get(&stage.number).copied()
    }

    /// Whether no more are to be told before [`Specs::start_over`].
    pub(super) fn is_full(&self) -> bool {
        self.numbers.len() >= LINK_SPECS as usize || self.bytes >= LINK_SPEC_BYTES
    }

    /// Forgets all. Numbers that are told again stand for what they are told with last, so whatever
    /// refers to them as they were has to go before that.
    pub(super) fn start_over(&mut self) {
        *self = Self::default();
    }

    /// What is to be said of a stage that was not told.
    pub(super) fn tell(&mut self, stage: &Stage) -> Spec {
        let id = u32::try_from(self.numbers.len()).unwrap_or(LINK_SPECS);
        let spec = stage.spec(id);
        self.numbers.insert(stage.number, id);
        self.bytes += size_of_spec(&spec);
        spec
    }
}
