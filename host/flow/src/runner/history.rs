//! What a flow's run writes to its journal, and what the journal says of calls that are due: what
//! has ended is not called again. Without a journal, everything is new.

use std::sync::Arc;

use sandmill_core::{CallOptions, Clock, Past, State, TaskFuture, Timestamp, Usage};
use sandmill_store::{Journal, Recorded, RunEnd, RunKey, StageRecord, StoreError};
use sandmill_wire::{End, EndKind, Outcome, RunId, Value};

use super::recorder::Recorder;
use super::stages::Open;
use super::start::{Rerun, Reuse};
use crate::script::{StageId, StageTarget};

/// The kind of failure of a flow that says other things than its journal does.
pub const JOURNAL_MISMATCH: &str = "journal-mismatch";
/// Most bytes of arguments, as JSON, that such a failure shows.
pub const MAX_SHOWN_ARGUMENTS: usize = 500;

/// The number of the step by which a journal knows how a flow is to end that was stopped: its hook
/// on exit may be called more than once, and is to be told the same each time. Flow components
/// number their steps from 0, and stay far below.
const DECIDED: u64 = i64::MAX.cast_unsigned();

/// Why runs end that were under way when their flow was left, and are not gone on with.
const FLOW_ENDED: &str = "its flow ended before it went on";

/// First bytes of the BLAKE3 digest of arguments.
pub(super) type ArgumentsDigest = [u8; 16];

/// What the journal says of a call that is due.
pub(super) enum Before {
    /// Nothing: it is a new run.
    New,
    /// It was under way: it has an id, and attempts behind it. A sub-flow may be based on one of an
    /// earlier flow run.
    UnderWay { run: RunId, past: Past, of: Option<Rerun> },
    /// It has ended.
    Ended { run: RunId, outcome: Outcome },
    /// An earlier flow run has its value.
    Reused { of: RunId, outcome: Outcome },
    /// A sub-flow that an earlier flow run has had, too.
    Based { of: Rerun },
    /// What was written of it is damaged, and it may have had effects: it must not run again.
    Damaged { what: String },
    /// It was called with other arguments than it would be now.
    Mismatch { what: String },
    /// The journal cannot be read.
    Unreadable(StoreError),
}

/// The journal of one flow's run, where it has one.
pub(super) struct History {
    journal: Option<Journal>,
    recorder: Arc<Recorder>,
    clock: Clock,
    rerun: Option<Rerun>,
    /// Whether no run is to be taken for a pure function of its arguments.
    granted: bool,
}

impl Drop for History {
    fn drop(&mut self) {
        // Nothing is left but where the flow's thread panicked: then too, whoever takes the flow up
        // has to find its journal let go of.
        if let Some(journal) = &self.journal {
            self.recorder.forget_all(journal.flow());
        }
    }
}

impl History {
    pub(super) fn new(
        journal: Option<Journal>,
        recorder: Arc<Recorder>,
        clock: Clock,
        rerun: Option<Rerun>,
        granted: bool,
    ) -> Self {
        Self { journal, recorder, clock, rerun, granted }
    }

    /// Whether no run is to be taken for a pure function of its arguments.
    pub(super) const fn is_granted(&self) -> bool {
        self.granted
    }

    pub(super) const fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Why nothing is recorded any more, where that is so.
    pub(super) fn failure(&self) -> Option<Arc<StoreError>> {
        self.journal.as_ref().and_then(Journal::failure)
    }

    /// Why the journal cannot be read for now, where that is so.
    pub(super) fn unreadable(&self) -> Option<Arc<str>> {
        self.journal.as_ref().and_then(Journal::unreadable)
    }

    /// The digest of a call's arguments; nothing is computed where nobody keeps it.
    pub(super) fn digest(&self, arguments: &Value) -> ArgumentsDigest {
        let mut digest = ArgumentsDigest::default();
        if self.journal.is_some() {
            let whole = blake3::hash(arguments.as_bytes());
            digest.iter_mut().zip(whole.as_bytes()).for_each(|(to, from)| *to = *from);
        }
        digest
    }

    /// What is recorded of a call that is due.
    pub(super) fn before(
        &self,
        key: RunKey,
        stage: &Open,
        digest: &ArgumentsDigest,
        arguments: &Value,
    ) -> Before {
        let Some(journal) = &self.journal else { return Before::New };
        let recorded = match journal.is_taken_up().then(|| journal.recorded(key)).transpose() {
            Ok(recorded) => recorded.flatten(),
            Err(error) => return Before::Unreadable(error),
        };
        match recorded {
            None => self.earlier(journal, key, stage, digest),
            Some(Recorded::Unfinished { run, .. }) => {
                let past = match journal.past(key) {
                    Ok(past) => past,
                    Err(error) => return Before::Unreadable(error),
                };
                let of = match stage.target {
                    StageTarget::Task { .. } => Before::New,
                    StageTarget::Flow { .. } => self.earlier(journal, key, stage, digest),
                };
                match of {
                    Before::Based { of } => Before::UnderWay { run, past, of: Some(of) },
                    Before::Unreadable(error) => Before::Unreadable(error),
                    _ => Before::UnderWay { run, past, of: None },
                }
            }
            Some(Recorded::Ended { run, arguments: then, .. }) if then != *digest => {
                let what = mismatch(&stage.name, key.index, run, &then, digest, arguments);
                Before::Mismatch { what }
            }
            Some(Recorded::Ended { run, outcome, .. }) => Before::Ended { run, outcome },
            // What cannot have had effects may be done again.
            Some(Recorded::Corrupt { .. }) if self.is_pure(stage) => Before::New,
            Some(Recorded::Corrupt { what, .. }) => Before::Damaged { what },
        }
    }

    /// What the flow run that this one is based on says of a call.
    fn earlier(
        &self,
        journal: &Journal,
        key: RunKey,
        stage: &Open,
        digest: &ArgumentsDigest,
    ) -> Before {
        let Some(Rerun { of, reuse }) = self.rerun else { return Before::New };
        let earlier = match journal.recorded_of(of, &stage.name, key.index) {
            Ok(Some(earlier)) if earlier.mapped == stage.mapped => earlier,
            Ok(_) => return Before::New,
            // It was deleted meanwhile: its results are no more.
            Err(StoreError::NoSuchFlow { .. }) => return Before::New,
            Err(error) => return Before::Unreadable(error),
        };
        let (component, task) = match &stage.target {
            StageTarget::Task { component, task } => (component.digest(), task),
            StageTarget::Flow { flow, .. } => {
                let (Recorded::Ended { run, .. } | Recorded::Unfinished { run, .. }) =
                    earlier.recorded
                else {
                    return Before::New;
                };
                let is_same = earlier.component.is_none() && earlier.task == *flow;
                let of = Rerun { of: run, reuse };
                return if is_same { Before::Based { of } } else { Before::New };
            }
        };
        match earlier.recorded {
            Recorded::Ended { run, arguments, outcome }
                if outcome.is_success()
                    && arguments == *digest
                    && earlier.component == Some(component)
                    && earlier.task == *task
                    && (reuse == Reuse::Completed || self.is_pure(stage)) =>
            {
                Before::Reused { of: run, outcome }
            }
            // A damaged record is as good as none: the run is made again, as a new one.
            _ => Before::New,
        }
    }

    /// Whether a stage's runs are functions of component, task and arguments, and of nothing else.
    fn is_pure(&self, stage: &Open) -> bool {
        !self.granted && stage.options.grants.is_empty()
    }

    /// What a run has behind it that was under way when its flow was left.
    pub(super) fn past(&self, key: RunKey) -> Result<Past, StoreError> {
        self.journal.as_ref().map_or_else(|| Ok(Past::default()), |journal| journal.past(key))
    }

    /// What is recorded of a run that ends without being called, or of a hook.
    pub(super) fn recorded(&self, key: RunKey) -> Result<Option<Recorded>, StoreError> {
        match &self.journal {
            Some(journal) if journal.is_taken_up() => journal.recorded(key),
            _ => Ok(None),
        }
    }

    /// Tells of each run of a stage that the journal of a flow which is taken up has (see
    /// [`Journal::told`]).
    pub(super) fn told(&self, stage: u32, tell: impl FnMut(Option<u64>)) -> Result<(), StoreError> {
        match &self.journal {
            Some(journal) if journal.is_taken_up() => journal.told(stage, tell),
            _ => Ok(()),
        }
    }

    /// Writes down how the flow is to end, once what runs has ended and its hook on exit was called.
    /// The first word stays.
    pub(super) fn decide(&self, outcome: &Outcome) {
        if let (Some(journal), Ok(body)) = (&self.journal, Value::encode(outcome)) {
            journal.step(DECIDED, body.as_bytes().to_vec());
        }
    }

    /// How the flow is to end, where that was decided before it was taken up.
    pub(super) fn decided(&self) -> Result<Option<Outcome>, StoreError> {
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.is_taken_up()) else {
            return Ok(None);
        };
        let steps = journal.steps(DECIDED, 1)?;
        let decoded = steps.into_iter().next().and_then(|(_, body)| {
            Value::from_msgpack(body).and_then(|value| value.decode::<Outcome>()).ok()
        });
        Ok(decoded)
    }

    /// Ends the runs of a stage that were under way when the flow was left, without calling them.
    pub(super) fn end_unfinished(
        &self,
        stage: StageId,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let end = Outcome::Ended(match outcome {
            Outcome::Ended(end) => End::new(EndKind::Cancelled, end.message.clone()),
            Outcome::Failure(_) | Outcome::Value(_) => End::new(EndKind::Cancelled, FLOW_ENDED),
        });
        let state = State::from_outcome(&end, at);
        let mut failed = None;
        self.told(stage, |index| {
            let key = RunKey { stage, index };
            match self.recorded(key) {
                Ok(Some(Recorded::Unfinished { run, .. })) if failed.is_none() => {
                    journal.ended(key, run, uncalled(&state, &end, None));
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    pub(super) fn flow_state(&self, state: &State) {
        if let Some(journal) = &self.journal {
            journal.flow_state(state);
        }
    }

    pub(super) fn note(&self, kind: &str, message: &str) {
        if let Some(journal) = &self.journal {
            journal.note(self.clock.now(), kind, message);
        }
    }

    pub(super) fn stage(&self, stage: StageId, open: &Open, total: Option<u64>) {
        let (component, task) = match &open.target {
            StageTarget::Task { component, task } => (Some(component.digest()), task),
            StageTarget::Flow { flow, .. } => (None, flow),
        };
        self.stage_record(&StageRecord {
            stage,
            name: Arc::clone(&open.name),
            component,
            task: Arc::clone(task),
            mapped: open.mapped,
            total,
        });
    }

    pub(super) fn stage_record(&self, record: &StageRecord) {
        if let Some(journal) = &self.journal {
            journal.stage(record);
        }
    }

    /// A run begins: what happens to it is written down from now on.
    pub(super) fn begins(
        &self,
        key: RunKey,
        run: RunId,
        name: &Arc<str>,
        digest: ArgumentsDigest,
        again: Option<Past>,
    ) {
        let Some(journal) = &self.journal else { return };
        let now = self.clock.now();
        match again {
            None => journal.submitted(key, run, name, digest, now),
            Some(_) => journal.state(key, run, &State::pending(now)),
        }
        self.recorder.follow(journal, key, run, again.unwrap_or_default().attempts);
    }

    /// A run has ended for good.
    pub(super) fn ended(&self, key: RunKey, future: &TaskFuture, outcome: &Outcome) {
        let Some(journal) = &self.journal else { return };
        let end = RunEnd {
            state: future.state(),
            outcome: outcome.clone(),
            usage: future.usage().unwrap_or_default(),
            attempts: self.recorder.forget(future.id()),
            value_of: future.cached_from(),
            cache: None,
        };
        journal.ended(key, future.id(), end);
    }

    /// A run has ended without having been called: with what an earlier run came to, or because
    /// how it ended is not known any more.
    #[expect(clippy::too_many_arguments, reason = "they are the parts of one record")]
    pub(super) fn had(
        &self,
        key: RunKey,
        run: RunId,
        name: &Arc<str>,
        digest: ArgumentsDigest,
        state: &State,
        outcome: &Outcome,
        value_of: Option<RunId>,
    ) {
        let Some(journal) = &self.journal else { return };
        journal.submitted(key, run, name, digest, self.clock.now());
        journal.ended(key, run, uncalled(state, outcome, value_of));
    }

    /// A run has ended that is not called; `begun` if it was before.
    pub(super) fn never_called(
        &self,
        key: RunKey,
        run: RunId,
        name: &Arc<str>,
        begun: bool,
        state: &State,
        outcome: &Outcome,
    ) {
        let Some(journal) = &self.journal else { return };
        if !begun {
            journal.submitted(key, run, name, ArgumentsDigest::default(), self.clock.now());
        }
        journal.ended(key, run, uncalled(state, outcome, None));
    }

    /// A run was stopped, and can go on later.
    pub(super) fn interrupted(&self, key: RunKey, run: RunId, why: &str) {
        let Some(journal) = &self.journal else { return };
        self.recorder.forget(run);
        journal.interrupted(key, run, self.clock.now(), why);
    }
}

/// The end of a run that was not called.
fn uncalled(state: &State, outcome: &Outcome, value_of: Option<RunId>) -> RunEnd {
    let (state, outcome, usage) = (state.clone(), outcome.clone(), Usage::default());
    RunEnd { state, outcome, usage, attempts: 0, value_of, cache: None }
}

/// Says that a run was called with other arguments than it would be now.
fn mismatch(
    stage: &str,
    index: Option<u64>,
    run: RunId,
    then: &ArgumentsDigest,
    now: &ArgumentsDigest,
    arguments: &Value,
) -> String {
    let name = match index {
        Some(index) => format!("{stage}[{index}]"),
        None => stage.to_owned(),
    };
    let hex = |digest: &ArgumentsDigest| u128::from_be_bytes(*digest);
    let mut shown = arguments.to_json_string();
    if shown.len() > MAX_SHOWN_ARGUMENTS {
        shown.truncate(shown.floor_char_boundary(MAX_SHOWN_ARGUMENTS));
        shown.push('…');
    }
    format!(
        "the journal has run {run} as `{name}` with arguments of digest {:032x}, and the flow now \
         calls `{name}` with arguments of digest {:032x}: {shown}; the flow is not what it was when \
         it was started: run it again instead",
        hex(then),
        hex(now),
    )
}

/// What the calls of a stage are made with: the flow's word, and what the run of the flow adds.
pub(super) fn options_for(
    options: &CallOptions,
    name: &Arc<str>,
    parent: RunId,
    deadline: Option<std::time::Instant>,
    cancel: &sandmill_core::CancelToken,
) -> CallOptions {
    CallOptions {
        name: Some(options.name.clone().unwrap_or_else(|| Arc::clone(name))),
        parent: Some(parent),
        deadline: options.deadline.into_iter().chain(deadline).min(),
        cancel: Some(cancel.clone()),
        ..options.clone()
    }
}
