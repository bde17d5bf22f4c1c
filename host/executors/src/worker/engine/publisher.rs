//! Puts what a worker says of one session into the engine: in order, however long that takes, large
//! results before the reports that name them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use sandmill_transport::engine::{Engine, EngineError, ValueName};
use sandmill_transport::message::{Ending, FromWorker, Payload, RunLease, RunReport};
use sandmill_wire::{Digest, End, EndKind};
use tokio::sync::mpsc;
use tokio::time::sleep;
use uuid::Uuid;

use super::super::worker::Worker;
use super::config::{TRY_LEAST, TRY_MOST};
use super::supply::{Wanted, supply};

/// Messages that are put there at a time.
const TOGETHER: usize = 64;

/// What the session's task is told.
pub(super) enum Published {
    /// These were said to have ended.
    Ended(Vec<RunLease>),
    /// These were given back.
    Back(Vec<RunLease>),
    /// The worker says nothing more on this link.
    Over(u64),
}

/// Puts what is said on one link there.
pub(super) struct Publisher {
    pub(super) engine: Engine,
    pub(super) worker: Arc<Worker>,
    pub(super) session: Uuid,
    /// Which link of the session this is, from 1.
    pub(super) link: u64,
    pub(super) said: mpsc::Receiver<FromWorker>,
    /// What others have to say to the coordinator, and a way for them to do so.
    pub(super) also: mpsc::Receiver<FromWorker>,
    pub(super) say: mpsc::Sender<FromWorker>,
    pub(super) tell: mpsc::Sender<Published>,
}

impl Publisher {
    /// Goes on until the link is over and all is said.
    pub(super) async fn run(mut self) {
        // What is said twice under a number is there once, so no two links share any.
        let mut number = self.link << 32;
        let mut getting = tokio::task::JoinSet::new();
        let mut wanted: HashSet<Digest> = HashSet::new();
        loop {
            let first = tokio::select! {
                first = self.said.recv() => match first {
                    Some(first) => (first, true),
                    None => break,
                },
                Some(first) = self.also.recv() => (first, false),
                Some(got) = getting.join_next() => {
                    if let Ok(digest) = got {
                        wanted.remove(&digest);
                    }
                    continue;
                }
            };
            let mut messages = vec![first];
            while messages.len() < TOGETHER
                && let Ok(next) = (self.said.try_recv().map(|next| (next, true)))
                    .or_else(|_| self.also.try_recv().map(|next| (next, false)))
            {
                messages.push(next);
            }
            let mut saying = Vec::with_capacity(messages.len());
            for (message, is_workers) in messages {
                match message {
                    // Whoever minds hears of that by beats.
                    FromWorker::Heartbeat(_) => {}
                    // What is not in the engine is asked of the coordinator, by whoever looks for it.
                    FromWorker::Need(digest) if is_workers => {
                        if !wanted.insert(digest) {
                            continue;
                        }
                        let (engine, worker) = (self.engine.clone(), Arc::clone(&self.worker));
                        let say = self.say.clone();
                        getting.spawn(async move {
                            let component = Wanted::Component(digest);
                            // Where it does not come, the worker asks for it again.
                            let _ = supply(&engine, &worker, component, &say).await;
                            digest
                        });
                    }
                    FromWorker::Ended(reports) => {
                        let mut brought = Vec::with_capacity(reports.len());
                        for report in reports {
                            brought.push(self.bring(report).await);
                        }
                        saying.push(FromWorker::Ended(brought));
                    }
                    other => saying.push(other),
                }
            }
            self.publish(&mut number, saying).await;
        }
        let _ = self.tell.send(Published::Over(self.link)).await;
    }

    /// Brings the result that a report names.
    async fn bring(&self, report: RunReport) -> RunReport {
        let (Ending::Value(Payload::Blob { digest, .. })
        | Ending::LargeFailure(Payload::Blob { digest, .. })) = report.ending
        else {
            return report;
        };
        let name = ValueName::Result(report.of, digest);
        let mut pause = TRY_LEAST;
        loop {
            // It is kept until the report is settled: then nobody waits for it here.
            let Some(bytes) = self.worker.bytes_of(&digest) else { return report };
            match self.engine.put_value(name, &bytes).await {
                Ok(()) => return report,
                Err(error) if error.is_passing() => self.pause(&error, &mut pause).await,
                Err(error) => {
                    let words = format!("its result could not be put into the engine: {error}");
                    let ending = Ending::Ended(End::new(EndKind::HostError, words));
                    return RunReport { ending, ..report };
                }
            }
        }
    }

    async fn publish(&self, number: &mut u64, saying: Vec<FromWorker>) {
        let (mut ended, mut back) = (Vec::new(), Vec::new());
        for message in &saying {
            match message {
                FromWorker::Ended(reports) => ended.extend(reports.iter().map(|report| report.of)),
                FromWorker::HandBack(runs) => back.extend(runs.iter().map(|run| run.of)),
                _ => {}
            }
        }
        let mut packed: Vec<Bytes> = Engine::packed(saying);
        let mut pause = TRY_LEAST;
        while let Err(error) =
            self.engine.answer(self.session, self.worker.id(), number, &mut packed).await
        {
            if error.is_passing() {
                self.pause(&error, &mut pause).await;
            } else {
                // One message that the engine does not take must not hold up all others.
                packed.remove(0);
            }
        }
        if !ended.is_empty() {
            let _ = self.tell.send(Published::Ended(ended)).await;
        }
        if !back.is_empty() {
            let _ = self.tell.send(Published::Back(back)).await;
        }
    }

    async fn pause(&self, error: &EngineError, pause: &mut std::time::Duration) {
        if matches!(error, EngineError::Missing(_)) {
            // It may have been removed: whoever sees it first makes it anew.
            let _ = self.engine.ensure().await;
        }
        sleep(*pause).await;
        *pause = (*pause * 2).min(TRY_MOST);
    }
}
