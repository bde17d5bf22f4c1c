//! What the runs of one stage have in common, found out once: what they ask of a host, and how
//! orders of them refer to it.

use std::collections::HashMap;
use std::sync::Arc;

use sandmill_core::{Call, CallOptions, Component};
use sandmill_scheduler::{Need, ResourceError};
use sandmill_transport::message::Spec;
use sandmill_wire::Digest;

use super::config::MAX_STAGES;

/// What the runs of one stage have in common.
pub(in crate::remote) struct Stage {
    /// By which links know whether they were told of it.
    pub(in crate::remote) number: u64,
    pub(in crate::remote) options: Arc<CallOptions>,
    pub(in crate::remote) component: Component,
    task: Arc<str>,
    name: Arc<str>,
    pub(in crate::remote) need: Arc<Need>,
    /// Whether its runs may change something outside.
    pub(in crate::remote) has_effects: bool,
}

impl Stage {
    /// As it is told to a worker, under this number.
    pub(in crate::remote) fn spec(&self, id: u32) -> Spec {
        Spec {
            id,
            component: self.component.digest(),
            size: self.component.bytes().len() as u64,
            task: self.task.to_string(),
            stage: self.name.to_string(),
            parent: self.options.parent,
            limits: self.options.limits.clone(),
            grants: self.options.grants.clone(),
        }
    }
}

/// The stages of late. Beyond their bound all are forgotten, and found out again.
#[derive(Default)]
pub(in crate::remote) struct Stages {
    /// By the options' place in memory, which is theirs for as long as the stage is here.
    known: HashMap<(usize, Digest, Arc<str>), Arc<Stage>>,
    next: u64,
}

impl Stages {
    /// The stage of a call.
    ///
    /// # Errors
    /// When what the call asks of a host are no amounts.
    pub(in crate::remote) fn of(&mut self, call: &Call) -> Result<Arc<Stage>, ResourceError> {
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
