//! The stages of a flow's run that have runs left, with what their calls have in common.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::CallOptions;

use crate::script::{StageId, StageSpec, StageTarget};
use crate::summary::FlowReport;

/// The stages of one flow's run that have runs left. A flow component may make a stage of every
/// call, so one that has had its runs is forgotten.
pub(super) struct Stages {
    open: HashMap<StageId, Open>,
    /// Where stages of a name are in the report.
    listed: HashMap<Arc<str>, usize>,
    report: Arc<Mutex<FlowReport>>,
}

/// A stage with runs left.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) name: Arc<str>,
    pub(super) target: StageTarget,
    /// What its calls are made with.
    pub(super) options: Arc<CallOptions>,
    pub(super) mapped: bool,
    /// Where it is in the report.
    pub(super) listed: usize,
    /// Runs that have not ended, where it is known how many there will be.
    left: Option<u64>,
    /// Whether it was acted on.
    seen: bool,
}

impl Stages {
    pub(super) fn new(report: Arc<Mutex<FlowReport>>) -> Self {
        Self { open: HashMap::new(), listed: HashMap::new(), report }
    }

    /// Whether this stage is known.
    pub(super) fn has(&self, stage: StageId) -> bool {
        self.open.contains_key(&stage)
    }

    pub(super) fn get(&self, stage: StageId) -> Option<&Open> {
        self.open.get(&stage)
    }

    /// Takes notice of a stage, whose options are what its calls are made with.
    pub(super) fn add(&mut self, stage: StageId, spec: StageSpec) {
        let mut report = self.report.lock();
        let listed = match self.listed.get(&spec.name) {
            Some(listed) => *listed,
            None => {
                let listed = report.add(&spec.name, spec.mapped);
                // Names beyond the last that is listed are not remembered: they all are the last.
                if report.stages[listed].name == spec.name {
                    self.listed.insert(Arc::clone(&spec.name), listed);
                }
                listed
            }
        };
        if !spec.mapped {
            *report.stages[listed].total.get_or_insert(0) += 1;
        }
        let StageSpec { name, target, options, mapped } = spec;
        let left = (!mapped).then_some(1);
        self.open.insert(stage, Open { name, target, options, mapped, listed, left, seen: false });
    }

    /// Whether this is the first act on a stage.
    pub(super) fn is_first(&mut self, stage: StageId) -> bool {
        self.open.get_mut(&stage).is_some_and(|open| !std::mem::replace(&mut open.seen, true))
    }

    /// Takes notice of how many runs a mapped stage has.
    pub(super) fn sized(&mut self, stage: StageId, total: u64) {
        let Some(open) = self.open.get_mut(&stage) else { return };
        *self.report.lock().stages[open.listed].total.get_or_insert(0) += total;
        open.left = Some(total);
        if total == 0 {
            self.open.remove(&stage);
        }
    }

    /// Takes notice that one end stands for all runs of a map: those of one whose size cannot be
    /// known, or those that are left.
    pub(super) fn stands_for_all(&mut self, stage: StageId) {
        let Some(open) = self.open.get_mut(&stage) else { return };
        if open.left.is_none() {
            *self.report.lock().stages[open.listed].total.get_or_insert(0) += 1;
            open.left = Some(1);
        }
    }

    /// Takes notice that a run has ended.
    pub(super) fn ended(&mut self, stage: StageId) {
        let Some(open) = self.open.get_mut(&stage) else { return };
        if let Some(left) = &mut open.left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.open.remove(&stage);
            }
        }
    }
}
