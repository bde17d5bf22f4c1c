//! What the runs of one stage have in common, found out once: what they ask of a host, and how
//! orders of them refer to it.

use std::collections::HashMap;
use std::sync::Arc;

use sandmill_core::{Call, CallOptions, Component, Report};
use sandmill_scheduler::{Need, ResourceError};
use sandmill_transport::message::Spec;
use sandmill_wire::{Digest, End, EndKind};

use super::direct::MAX_STAGES;
use super::direct::outbox::size_of_spec;
use super::ticket::Ticket;

/// Bytes of the largest stage that is told to another host; it fits a message with room to spare.
const MAX_SPEC: usize = 512 << 10;

/// What the runs of one stage have in common.
pub(super) struct Stage {
    /// By which links know whether they were told of it.
    pub(super) number: u64,
    pub(super) options: Arc<CallOptions>,
    pub(super) component: Component,
    task: Arc<str>,
    name: Arc<str>,
    pub(super) need: Arc<Need>,
    /// Whether its runs may change something outside.
    pub(super) has_effects: bool,
}

impl Stage {
    /// As it is told to a worker, under this number.
    pub(super) fn spec(&self, id: u32) -> Spec {
        Spec {
            id,
            component: self.component.digest(),
            size: self.component.bytes().len() as u64,
            task: self.task.to_string(),
            stage: self.name.to_string(),
            parent: self.options.parent,
            limits: self.options.limits.clone(),
            grants: self.options.grants.clone(),
            trace: self.options.trace,
        }
    }
}

/// The stages of late. Beyond their bound all are forgotten, and found out again.
#[derive(Default)]
pub(super) struct Stages {
    /// By the options' place in memory, which is theirs for as long as the stage is here.
    known: HashMap<(usize, Digest, Arc<str>), Arc<Stage>>,
    next: u64,
}

impl Stages {
    /// The stage of a ticket that is to be carried. None where it is not: it was finished then.
    pub(super) fn admit(&mut self, ticket: Ticket) -> Option<(Ticket, Arc<Stage>)> {
        if ticket.is_cancelled() {
            ticket.cancel();
            return None;
        }
        match self.of(ticket.call()) {
            Ok(stage) if size_of_spec(&stage.spec(0)) <= MAX_SPEC => return Some((ticket, stage)),
            Ok(_) => refuse(ticket, "its grants are too large to be sent to another host"),
            Err(error) => refuse(ticket, error.to_string()),
        }
        None
    }

    /// The stage of a call.
    ///
    /// # Errors
    /// When what the call asks of a host are no amounts.
    fn of(&mut self, call: &Call) -> Result<Arc<Stage>, ResourceError> {
        let place = Arc::as_ptr(&call.options) as usize;
        let key = (place, call.component.digest(), Arc::clone(&call.task));
        if let Some(stage) = self.known.get(&key) {
            return Ok(Arc::clone(stage));
        }
        let size = call.component.bytes().len() as u64;
        let need = Need::of(call.component.digest(), size, &call.options)?;
        let number = self.next;
        self.next += 1;
        let stage = Arc::new(Stage {
            number,
            options: Arc::clone(&call.options),
            component: call.component.clone(),
            task: Arc::clone(&call.task),
            name: Arc::clone(call.stage()),
            has_effects: need.has_effects_outside(),
            need: Arc::new(need),
        });
        if self.known.len() >= MAX_STAGES {
            self.known.clear();
        }
        self.known.insert(key, Arc::clone(&stage));
        Ok(stage)
    }
}

/// Finishes a ticket that cannot be carried.
pub(super) fn refuse(ticket: Ticket, words: impl Into<String>) {
    ticket.finish(Report::unstarted(End::new(EndKind::Refused, words)));
}

/// Finishes a ticket of a run that is here already.
pub(super) fn refuse_twin(ticket: Ticket) {
    let words = format!("the run {} is under way already", ticket.run());
    refuse(ticket, words);
}
