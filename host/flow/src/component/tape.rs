//! The journal of a flow component as it is written and, when the flow is taken up, read again:
//! what the flow was told before it is told again, for as long as it asks the same.

use std::collections::VecDeque;
use std::sync::Arc;

use sandmill_wire::{End, EndKind, Failure, Outcome, Value};

use super::history::FlowHistory;
use super::step::FlowStep;

/// Kind of the failure of a flow that asks for other things than its journal says.
pub const FLOW_CHANGED: &str = "flow-changed";
/// Kind of the failure of a flow that takes more steps than a journal may have.
pub const FLOW_TOO_LONG: &str = "flow-too-long";
/// Steps of one flow component's run: what it asks for and what it is told.
pub const MAX_FLOW_STEPS: u64 = 10_000_000;
/// Steps that are read at a time.
const READ_AT_ONCE: usize = 1_000;

/// Where a flow stands in its journal.
pub(super) struct Tape {
    history: Option<Arc<dyn FlowHistory>>,
    /// The number of the next step.
    next: u64,
    /// What was read and not looked at yet.
    ahead: VecDeque<FlowStep>,
    /// Whether there may be more to read.
    replaying: bool,
}

impl Tape {
    pub(super) fn new(history: Option<Arc<dyn FlowHistory>>) -> Self {
        let replaying = history.as_ref().is_some_and(|history| history.is_taken_up());
        Self { history, next: 0, ahead: VecDeque::new(), replaying }
    }

    /// Whether something is recorded that was not told again yet.
    pub(super) fn is_replaying(&mut self) -> Result<bool, Outcome> {
        self.read_ahead()?;
        Ok(self.replaying)
    }

    /// The same without a look at the disk: true when that is not known.
    pub(super) const fn may_replay(&self) -> bool {
        self.replaying
    }

    /// The recorded step that comes next; none when the journal is at its end.
    pub(super) fn take(&mut self) -> Result<Option<FlowStep>, Outcome> {
        self.read_ahead()?;
        let step = self.ahead.pop_front();
        self.next += u64::from(step.is_some());
        // So that whoever asks whether the end was reached need not wait for the next question.
        self.read_ahead()?;
        Ok(step)
    }

    /// Writes down a step.
    pub(super) fn write(&mut self, step: &FlowStep) -> Result<(), Outcome> {
        if self.next >= MAX_FLOW_STEPS {
            let what = format!("the flow has taken {MAX_FLOW_STEPS} steps, and may take no more");
            return Err(Outcome::Failure(Failure::new(FLOW_TOO_LONG, what)));
        }
        if let Some(history) = &self.history {
            let body = Value::encode(step).map_err(|error| {
                broken(format!("a step of the flow cannot be written: {error}"))
            })?;
            history.step(self.next, body.as_bytes().to_vec());
        }
        self.next += 1;
        Ok(())
    }

    /// The failure of a flow that did `now` where its journal has `recorded`, the step that was
    /// taken last.
    pub(super) fn changed(&self, recorded: &FlowStep, now: &str) -> Outcome {
        let position = self.next.saturating_sub(1);
        let message = format!(
            "the flow does not do what its journal says it did: step {position} was {recorded}, \
             and now is {now}; the flow is not what it was when it was started, or does not follow \
             from its arguments alone: run it again instead"
        );
        let details = [
            ("position", Value::encode(&position)),
            ("recorded", Value::encode(&recorded.to_string())),
            ("now", Value::encode(&now)),
        ];
        let details: Vec<(&str, Value)> =
            details.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
        let details = Value::map_from(details.iter().map(|(name, value)| (*name, value)));
        let mut failure = Failure::new(FLOW_CHANGED, message);
        failure.details = details.ok();
        Outcome::Failure(failure)
    }

    fn read_ahead(&mut self) -> Result<(), Outcome> {
        if !self.replaying || !self.ahead.is_empty() {
            return Ok(());
        }
        let Some(history) = &self.history else { return Ok(()) };
        let steps = history
            .steps(self.next, READ_AT_ONCE)
            .map_err(|error| lost(format!("the journal of the flow cannot be read: {error}")))?;
        for (number, (found, body)) in (self.next..).zip(steps) {
            let step = Value::from_msgpack(body).and_then(|value| value.decode::<FlowStep>());
            match step {
                Ok(step) if found == number => self.ahead.push_back(step),
                Ok(_) => return Err(lost(format!("step {number} of the flow is missing"))),
                Err(error) => {
                    return Err(lost(format!("step {number} of the flow is damaged: {error}")));
                }
            }
        }
        self.replaying = !self.ahead.is_empty();
        Ok(())
    }
}

/// The end of a flow that cannot be told again what it was told: nobody knows what it would do next.
fn lost(what: String) -> Outcome {
    broken(format!(
        "{what}; without it the flow cannot go on from where it was: run it again, which uses the \
         results of what has completed"
    ))
}

fn broken(what: String) -> Outcome {
    End::new(EndKind::HostError, what).into()
}
