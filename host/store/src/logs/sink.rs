//! What takes lines and progress out of the events. It only puts them into the queue: it runs on
//! the threads of the runs.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sandmill_core::{Event, EventKind, Observer};
use sandmill_wire::RunId;

use super::queue::{Line, NewestProgress, Owner, Queue};

/// Hands the log lines and the progress of runs to the writer of logs. Never waits: what there is
/// no room for is dropped and counted.
#[derive(Debug)]
pub struct LogSink {
    queue: Arc<Queue>,
    /// The flow run that each run under way is part of; a run leaves when it has ended, so there
    /// are never more than there are runs under way.
    flows: Mutex<HashMap<RunId, RunId>>,
}

impl LogSink {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue, flows: Mutex::default() }
    }

    fn owner(&self, run: RunId) -> Owner {
        Owner { flow: self.flows.lock().get(&run).copied().unwrap_or(run), run }
    }
}

impl Observer for LogSink {
    fn on_event(&self, event: &Event) {
        let run = event.run;
        match &event.kind {
            EventKind::Submitted(submitted) => {
                if let Some(flow) = submitted.parent {
                    self.flows.lock().insert(run, flow);
                }
            }
            EventKind::State(state) if state.is_final() => {
                self.flows.lock().remove(&run);
            }
            EventKind::Log(line) => {
                let line = Line { owner: self.owner(run), at: event.at, line: line.clone() };
                self.queue.push_line(line);
            }
            EventKind::Progress(progress) => self.queue.push_progress(NewestProgress {
                owner: self.owner(run),
                at: event.at,
                progress: progress.clone(),
            }),
            _ => {}
        }
    }
}
