//! The writing side of logs: the file, the thread that writes it, and the handle on both.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use sandmill_wire::RunId;

use super::file;
use super::queue::{Deletion, Queue};
use super::sink::LogSink;
use super::writer::{Fault, write_all};
use crate::StoreError;

/// How long a store of logs that is let go of waits for its last lines to be written.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a deletion may take.
const DELETE_TIMEOUT: Duration = Duration::from_secs(300);

/// Writes the logs of runs into a data directory. Nothing that goes wrong with it harms a run:
/// what cannot be written is dropped and counted, and [`LogStore::take_fault`] says why. When the
/// last handle goes, what waits is written first, for up to [`CLOSE_TIMEOUT`].
#[derive(Debug)]
pub struct LogStore {
    queue: Arc<Queue>,
    fault: Arc<Fault>,
}

impl LogStore {
    /// Opens the logs in this directory, and begins them where there are none. Never fails: where
    /// they cannot be opened, lines are dropped and [`LogStore::take_fault`] says why. A damaged
    /// file is put aside under another name.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        let queue = Arc::new(Queue::default());
        let fault = Arc::new(Fault::default());
        let begun = match file::open(dir) {
            Ok((mut connection, words)) => {
                if let Some(words) = words {
                    fault.note(words);
                }
                let (queue, fault) = (Arc::clone(&queue), Arc::clone(&fault));
                let write = move || {
                    let _over = Over(Arc::clone(&queue));
                    write_all(&mut connection, &queue, &fault);
                };
                let thread = thread::Builder::new().name("sandmill-logs".to_owned());
                thread.spawn(write).map(drop).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = begun {
            fault.note(format!("logs are not kept: {error}"));
            queue.over();
        }
        Self { queue, fault }
    }

    /// What takes lines and progress out of events.
    #[must_use]
    pub fn sink(&self) -> Arc<LogSink> {
        Arc::new(LogSink::new(Arc::clone(&self.queue)))
    }

    /// What went wrong first, the first time that this is asked.
    #[must_use]
    pub fn take_fault(&self) -> Option<String> {
        self.fault.take()
    }

    /// Waits until everything that came before is written or dropped, for up to `timeout`.
    /// Whether it was; never so when logs are not kept at all.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.queue.flush(timeout)
    }

    /// Deletes the lines and the progress of all runs of these flow runs, in many small steps,
    /// and answers how many lines it were.
    ///
    /// # Errors
    /// When the logs cannot be written, or it takes longer than five minutes: what was not
    /// deleted by then is so when it is deleted again.
    pub fn delete(&self, flows: &[RunId]) -> Result<u64, StoreError> {
        let (answer, answered) = sync_channel(1);
        let deletion = Deletion { flows: flows.to_vec(), answer };
        let failed = |why: &str| StoreError::Logs(why.to_owned());
        self.queue.push_deletion(deletion).map_err(|_| failed("they are not kept"))?;
        match answered.recv_timeout(DELETE_TIMEOUT) {
            Ok(deleted) => deleted.map_err(|why| failed(&why)),
            Err(_) => Err(failed("the writer gave no answer")),
        }
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.queue.close(CLOSE_TIMEOUT);
    }
}

/// Tells the queue that its writer has gone, also where the writer panicked.
struct Over(Arc<Queue>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.over();
    }
}
