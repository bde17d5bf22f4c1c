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

/// Beginnings of ids, all of one length, by which their flow runs are found.
pub(super) struct ShortIds(usize);

impl ShortIds {
    /// Where an id may be cut: before a hyphen. The first part is the millisecond in which it was
    /// made, which a flow run often shares with its sub-flows.
    const CUTS: [usize; 4] = [13, 18, 23, 36];

    /// As long as it takes for none of these to be that of another flow run in the store. An id that
    /// cannot be looked up is shown whole.
    pub(super) fn of(reader: &Reader, ids: impl IntoIterator<Item = RunId>) -> Self {
        let mut cuts = Self::CUTS.into_iter().peekable();
        for id in ids {
            let id_text = id.to_string();
            let finds = |cut: usize| {
                let found = id_text.get(..cut).map(|text| reader.find_flow(text));
                matches!(found, Some(Ok(found)) if found == id)
            };
            while cuts.len() > 1 && cuts.peek().is_some_and(|cut| !finds(*cut)) {
                cuts.next();
            }
        }
        Self(cuts.next().unwrap_or(usize::MAX))
    }

    /// The beginning of this one.
    pub(super) fn show(&self, id: RunId) -> String {
        id.to_string().chars().take(self.0).collect()
    }
}
