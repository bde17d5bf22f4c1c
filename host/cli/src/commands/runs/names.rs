//! Names of runs for people: `count[17]`, from the name of the stage and the position in its map.

use std::collections::HashMap;
use std::sync::Arc;

use sandmill::RunId;
use sandmill::store::{Reader, RunKey, StageSummary};

use crate::error::Result;
use crate::output::escape;
use crate::stores::store_error;

/// The names of a flow run's stages.
pub(super) struct Names(HashMap<u32, Arc<str>>);

impl Names {
    /// Those of these stages.
    pub(super) fn of(stages: &[StageSummary]) -> Self {
        let name = |stage: &StageSummary| (stage.stage.stage, Arc::clone(&stage.stage.name));
        Self(stages.iter().map(name).collect())
    }

    /// Those of a flow run.
    pub(super) fn read(reader: &Reader, flow: RunId) -> Result<Self> {
        reader.stages(flow).map(|stages| Self::of(&stages)).map_err(|error| store_error(&error))
    }

    /// The name of a stage.
    pub(super) fn stage(&self, key: RunKey) -> &str {
        self.0.get(&key.stage).map_or("?", |name| name)
    }

    /// The name of a run.
    pub(super) fn run(&self, key: RunKey) -> String {
        match key.index {
            Some(index) => format!("{}[{index}]", self.stage(key)),
            None => self.stage(key).to_owned(),
        }
    }

    /// The name of a run, safe for a terminal.
    pub(super) fn shown(&self, key: RunKey) -> String {
        escape::line(&self.run(key)).into_owned()
    }
}

/// As many characters of an id as tell it from others that were not made in the same moment.
pub(super) fn short_id(id: RunId) -> String {
    const SHOWN: usize = 13;
    id.to_string().chars().take(SHOWN).collect()
}
