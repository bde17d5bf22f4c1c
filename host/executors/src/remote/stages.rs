//! What the runs of one stage have in common, found out once: what they ask of a host, and how
//! orders of them refer to it.

use std::collections::HashMap;
use std::sync::Arc;

use sandmill_core::units::format_size;
use sandmill_core::{Call, CallOptions, Component, Report};
use sandmill_scheduler::{Need, ResourceError};
use sandmill_transport::MAX_BLOB;
use sandmill_transport::message::Spec;
use sandmill_wire::{Digest, End, EndKind};

use super::direct::MAX_STAGES;
use super::direct::outbox::size_of_spec;
use super::ticket::Ticket;

/// Bytes of the largest stage that is told to another host; it fits a message with room to spare.
const MAX_SPEC: usize = 512 << 10;

/// The most memory that a guest can address, 4 GiB: there is no host that gives more.
const MOST_MEMORY: u64 = 4 << 30;

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
    /// Why none of its runs can be made on another host.
    refusal: Option<String>,
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

/// What tells a stage from others: all that is told of it, and not by what its calls are cancelled or
/// when they have to have ended.
#[derive(PartialEq, Eq, Hash)]
struct Content {
    need: Arc<Need>,
    task: Arc<str>,
    name: Arc<str>,
    parent: Option<sandmill_wire::RunId>,
    trace: Option<sandmill_core::TraceContext>,
}

/// Where the options of a call are, and what else it takes to know its stage by that.
type Place = (usize, Digest, Arc<str>);

/// The stages of late. Beyond their bound all are forgotten, and found out again.
#[derive(Default)]
pub(super) struct Stages {
    /// By the options' place in memory, which is theirs for as long as they are kept here.
    by_place: HashMap<Place, (Arc<CallOptions>, Arc<Stage>)>,
    /// Calls of one stage may have options of their own each, such as what cancels them.
    by_content: HashMap<Content, Arc<Stage>>,
    next: u64,
}

impl Stages {
    /// The stage of a ticket that is to be carried. None where it is not: it was finished then.
    pub(super) fn admit(&mut self, ticket: Ticket) -> Option<(Ticket, Arc<Stage>)> {
        if ticket.is_cancelled() {
            ticket.cancel();
            return None;
        }
        let found = match too_large(ticket.call()) {
            Some(why) => Err(why),
            None => self.of(ticket.call()).map_err(|error| error.to_string()),
        };
        match found {
            Err(why) => refuse(ticket, why),
            Ok(stage) => match &stage.refusal {
                Some(why) => refuse(ticket, why.clone()),
                None => return Some((ticket, stage)),
            },
        }
        None
    }

    /// The stage of a call.
    ///
    /// # Errors
    /// When what the call asks of a host are no amounts.
    pub(super) fn of(&mut self, call: &Call) -> Result<Arc<Stage>, ResourceError> {
        let place = Arc::as_ptr(&call.options) as usize;
        let key = (place, call.component.digest(), Arc::clone(&call.task));
        if let Some((_, stage)) = self.by_place.get(&key) {
            return Ok(Arc::clone(stage));
        }
        let stage = self.of_content(call)?;
        if self.by_place.len() >= MAX_STAGES {
            self.by_place.clear();
        }
        self.by_place.insert(key, (Arc::clone(&call.options), Arc::clone(&stage)));
        Ok(stage)
    }

    fn of_content(&mut self, call: &Call) -> Result<Arc<Stage>, ResourceError> {
        let size = call.component.bytes().len() as u64;
        let need = Arc::new(Need::of(call.component.digest(), size, &call.options)?);
        let content = Content {
            need: Arc::clone(&need),
            task: Arc::clone(&call.task),
            name: Arc::clone(call.stage()),
            parent: call.options.parent,
            trace: call.options.trace,
        };
        if let Some(stage) = self.by_content.get(&content) {
            return Ok(Arc::clone(stage));
        }
        let number = self.next;
        self.next += 1;
        let mut stage = Stage {
            number,
            options: Arc::clone(&call.options),
            component: call.component.clone(),
            task: Arc::clone(&call.task),
            name: Arc::clone(call.stage()),
            has_effects: need.has_effects_outside(),
            need,
            refusal: None,
        };
        stage.refusal = not_for_others(&stage);
        let stage = Arc::new(stage);
        if self.by_content.len() >= MAX_STAGES {
            self.by_content.clear();
        }
        self.by_content.insert(content, Arc::clone(&stage));
        Ok(stage)
    }
}

/// Why the runs of a stage cannot be made on another host, where they cannot. Found out once a stage.
fn not_for_others(stage: &Stage) -> Option<String> {
    let asked = stage.options.limits.memory;
    if asked > MOST_MEMORY {
        let (asked, most) = (format_size(asked), format_size(MOST_MEMORY));
        return Some(format!(
            "the call asks for {asked} of memory, no host gives more than {most}"
        ));
    }
    (size_of_spec(&stage.spec(0)) > MAX_SPEC)
        .then(|| "its grants are too large to be sent to another host".to_owned())
}

/// Why the arguments of a call are too large for any host, where they are.
fn too_large(call: &Call) -> Option<String> {
    let (size, limit) = (call.arguments.len_bytes() as u64, call.options.limits.input);
    if size <= limit.min(MAX_BLOB) {
        return None;
    }
    let shown = format_size(size);
    Some(if size > limit {
        // In the words of the sandbox, so that the answer is the same everywhere.
        format!("the arguments have {shown}, the limit is {}", format_size(limit))
    } else {
        format!(
            "the arguments have {shown}, no more than {} go to another host",
            format_size(MAX_BLOB)
        )
    })
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

#[cfg(test)]
mod tests {
    use sandmill_core::{CancelToken, Grants};
    use sandmill_wire::{RunId, Value};

    use super::*;

    #[test]
    fn calls_that_are_cancelled_by_themselves_are_of_one_stage() {
        let component = Component::new(&b"any"[..], "memory");
        let own = |change: fn(&mut CallOptions)| {
            let mut options =
                CallOptions { cancel: Some(CancelToken::new()), ..CallOptions::default() };
            change(&mut options);
            Call::new(&component, "t", Value::nil()).with_options(options)
        };
        let mut stages = Stages::default();
        let calls: Vec<Call> = (0..2 * MAX_STAGES).map(|_| own(|_| ())).collect();
        let numbers: Vec<u64> = calls.iter().map(|call| stages.of(call).unwrap().number).collect();
        assert!(numbers.iter().all(|number| *number == numbers[0]));
        let others: [fn(&mut CallOptions); 4] = [
            |options| options.name = Some("other".into()),
            |options| options.parent = Some(RunId::new()),
            |options| options.limits.memory += 1,
            |options| options.grants = Grants { clock: true, ..Grants::default() },
        ];
        for other in others {
            assert_ne!(stages.of(&own(other)).unwrap().number, numbers[0]);
        }
    }
}
