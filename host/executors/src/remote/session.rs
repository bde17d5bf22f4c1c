//! A session of a fleet: a thread with a runtime of its own from its start to its end, what it
//! shows meanwhile, and that no ticket outlives it. What goes on in it is the fleets' drivers'.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use sandmill_core::StartError;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::fleet::HostStatus;

/// What is shown of a session.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) slots: usize,
    pub(super) hosts: Vec<HostStatus>,
    pub(super) max_memory: Option<u64>,
}

/// What a driver is given for its session.
pub(super) struct Session {
    pub(super) desk: Arc<Desk>,
    pub(super) shown: Arc<Mutex<Shown>>,
    /// Cancelled when the session is to end.
    pub(super) stop: CancellationToken,
    /// Told once whether the session could be opened.
    opened: Option<oneshot::Sender<Result<(), StartError>>>,
}

impl Session {
    /// Whether nobody was told yet whether the session could be opened.
    pub(super) const fn is_opening(&self) -> bool {
        self.opened.is_some()
    }

    /// Says whether the session could be opened. What is said after that is nobody's.
    pub(super) fn answer(&mut self, answer: Result<(), StartError>) {
        if let Some(opened) = self.opened.take() {
            // Whoever waits for it may have gone.
            let _ = opened.send(answer);
        }
    }
}

/// However a driver comes to its end, no ticket is left behind, and nothing is shown any more.
impl Drop for Session {
    fn drop(&mut self) {
        self.desk.close("what carried runs to hosts has ended");
        *self.shown.lock() = Shown::default();
    }
}

struct Running {
    stop: CancellationToken,
    /// Cancelled when nothing of the session is left.
    ended: CancellationToken,
    thread: JoinHandle<()>,
}

/// The sessions of a fleet, of which there is one at a time.
pub(super) struct Sessions {
    /// What the threads of its runtime are called.
    threads: &'static str,
    /// How long what is left of a runtime may take when its driver has ended.
    patience: Duration,
    shown: Arc<Mutex<Shown>>,
    running: Mutex<Option<Running>>,
}

impl Sessions {
    pub(super) fn new(threads: &'static str, patience: Duration) -> Self {
        Self { threads, patience, shown: Arc::default(), running: Mutex::default() }
    }

    /// What is shown of the one that there is.
    pub(super) fn shown<T>(&self, look: impl FnOnce(&Shown) -> T) -> T {
        look(&self.shown.lock())
    }

    /// Starts one in which `drive` goes on, and waits until it says whether it could be opened.
    pub(super) async fn start<F>(
        &self,
        desk: Arc<Desk>,
        drive: impl FnOnce(Session) -> F + Send + 'static,
    ) -> Result<(), StartError>
    where
        F: Future<Output = ()>,
    {
        // Of a start that was given up before it came to its end.
        self.end().await;
        let (opened, open) = oneshot::channel();
        let running = self
            .spawn(desk, opened, drive)
            .map_err(|error| StartError::Unavailable(format!("a runtime: {error}")))?;
        *self.running.lock() = Some(running);
        let started = open.await.unwrap_or_else(|_| {
            Err(StartError::Unavailable("the fleet ended while it started".to_owned()))
        });
        if started.is_err() {
            self.end().await;
        }
        started
    }

    fn spawn<F>(
        &self,
        desk: Arc<Desk>,
        opened: oneshot::Sender<Result<(), StartError>>,
        drive: impl FnOnce(Session) -> F + Send + 'static,
    ) -> std::io::Result<Running>
    where
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(self.threads)
            .enable_all()
            .build()?;
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (shown, patience) = (Arc::clone(&self.shown), self.patience);
        let session = Session { desk, shown, stop: stop.clone(), opened: Some(opened) };
        let end = ended.clone().drop_guard();
        let thread =
            std::thread::Builder::new().name("sandmill-fleet".to_owned()).spawn(move || {
                let _end = end;
                runtime.block_on(drive(session));
                runtime.shutdown_timeout(patience);
            })?;
        Ok(Running { stop, ended, thread })
    }

    /// Ends the one that there is, and waits for that.
    pub(super) async fn end(&self) {
        let Some(ended) = self.running.lock().as_ref().map(|running| {
            running.stop.cancel();
            running.ended.clone()
        }) else {
            return;
        };
        ended.cancelled().await;
        if let Some(running) = self.running.lock().take() {
            // It is past its end: this does not wait.
            let _ = running.thread.join();
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if let Some(running) = &*self.running.lock() {
            running.stop.cancel();
        }
    }
}
