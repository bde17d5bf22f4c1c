//! Finding a run in a data directory, and a future on it. Who looks after the futures is in
//! `watcher`.

use std::path::Path;
use std::sync::Arc;

use sandmill_core::TaskFuture;
use sandmill_core::future::Promise;
use sandmill_store::{Reader, RunKey, StoreError};
use sandmill_wire::RunId;

use super::watcher::{MAX_ATTACHED, Place, Watcher};

/// Why there is no future on a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such run, or the data directory cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// So many are looked after already.
    #[error("{MAX_ATTACHED} runs are attached to already; let some of them end first")]
    TooMany,
    /// The thread that looks after the futures could not be started.
    #[error("no thread could be started to look after the run: {0}")]
    Thread(std::io::Error),
}

/// The runs of a data directory, whichever process runs them: the place of Prefect 3's
/// `PrefectDistributedFuture` and `PrefectFlowRunFuture`, which are made of an id as well.
///
/// A future that is got here has the face of every other. It ends when the process that has the run
/// says so, and not before: `cancel` asks that process. Letting go of it does nothing to the run.
/// A run whose process went away stays as it stands until its flow is taken up, so wait for it with
/// a timeout.
#[derive(Clone)]
pub struct Runs {
    watcher: Arc<Watcher>,
}

impl Runs {
    /// Opens a data directory for reading; another process may be writing to it.
    ///
    /// # Errors
    /// [`StoreError::NoStore`] where there is no store, or when it cannot be read.
    pub fn open(data_dir: impl AsRef<Path>) -> Result<Self, AttachError> {
        let dir = data_dir.as_ref();
        Ok(Self { watcher: Arc::new(Watcher::new(Reader::open(dir)?, dir)) })
    }

    /// A future on a flow run, by its id or a beginning of it that no other has, or `latest`.
    ///
    /// # Errors
    /// There is none, or several begin so, or the store cannot be read.
    pub fn flow(&self, id: &str) -> Result<TaskFuture, AttachError> {
        let run = self.watcher.reader().find_flow(id)?;
        self.attach(run, Place::Flow)
    }

    /// A future on a run of a task, by its id or a beginning of it that no other has, or by
    /// `FLOW/task[3]`.
    ///
    /// # Errors
    /// There is none, or several begin so, or the store cannot be read.
    pub fn task(&self, id: &str) -> Result<TaskFuture, AttachError> {
        let reader = self.watcher.reader();
        let (flow, key) = reader.find_run(id)?;
        match reader.run(flow, key)? {
            Some(record) => self.attach(record.run, Place::Task { flow, key }),
            // It was deleted since it was found.
            None => Err(StoreError::NoSuchFlow { flow }.into()),
        }
    }

    fn attach(&self, run: RunId, place: Place) -> Result<TaskFuture, AttachError> {
        // The future is in the watcher's care before the run is looked at: what happens to it
        // after this look is seen by the next one.
        let look = self.watcher.look(run, place)?;
        let name = match place {
            Place::Flow => look.name,
            Place::Task { flow, key } => self.task_name(flow, key)?,
        };
        let index = match place {
            Place::Flow => None,
            Place::Task { key, .. } => key.index,
        };
        let (promise, future) =
            Promise::of_distant(run, name, index, look.state.clone(), look.attempts);
        Watcher::care(&self.watcher, run, place, promise)?;
        Ok(future)
    }

    fn task_name(&self, flow: RunId, key: RunKey) -> Result<Arc<str>, AttachError> {
        let stages = self.watcher.reader().stages(flow)?;
        let stage = stages.iter().find(|stage| stage.stage.stage == key.stage);
        let name = stage.map_or_else(|| "task".into(), |stage| Arc::clone(&stage.stage.name));
        Ok(match key.index {
            Some(index) => format!("{name}[{index}]").into(),
            None => name,
        })
    }
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs").finish_non_exhaustive()
    }
}
