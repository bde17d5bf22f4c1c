//! `sandmill:task/context` and `sandmill:task/log`.

use std::time::{Duration, Instant};

use sandmill_core::{EventKind, Events, LogLevel, LogSource, Progress};
use sandmill_wire::RunId;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

use crate::bindings::sandmill::task::{context, log, types};
use crate::host::State;
use crate::logs::MAX_LOG_LINE_BYTES;

/// Between two events that tell of a run's progress. What comes faster is merged.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of the words in a report of progress that are kept.
const MAX_PROGRESS_BYTES: usize = 1 << 10;

/// Sends out how far a run has come, not too often.
#[derive(Default)]
pub(crate) struct Reporter {
    sent_at: Option<Instant>,
    held: Option<Progress>,
}

impl Reporter {
    fn report(&mut self, events: &Events, run: RunId, progress: Progress) {
        let now = Instant::now();
        if self.sent_at.is_some_and(|sent| now.duration_since(sent) < PROGRESS_INTERVAL) {
            self.held = Some(progress);
            return;
        }
        self.sent_at = Some(now);
        self.held = None;
        events.emit(run, || EventKind::Progress(progress));
    }

    /// Sends out the last report, where it was held back.
    pub(crate) fn finish(&mut self, events: &Events, run: RunId) {
        if let Some(progress) = self.held.take() {
            events.emit(run, || EventKind::Progress(progress));
        }
    }
}

impl types::Host for State {}

impl context::Host for State {
    fn run_id(&mut self) -> String {
        self.read_context = true;
        self.identity.run.to_string()
    }

    fn attempt(&mut self) -> u32 {
        self.read_context = true;
        self.identity.attempt
    }

    fn map_index(&mut self) -> Option<u64> {
        self.read_context = true;
        self.identity.map_index
    }

    fn deadline(&mut self) -> Option<u64> {
        self.read_context = true;
        self.time_left().map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    fn report_progress(&mut self, done: u64, total: Option<u64>, message: String) {
        if self.is_heard() {
            let message = cut(&message, MAX_PROGRESS_BYTES).to_owned();
            let progress = Progress { done, total, message };
            self.reporter.report(&self.identity.events, self.identity.run, progress);
        }
    }

    fn is_cancelled(&mut self) -> bool {
        self.read_context = true;
        // A flow is ended by its host: what it sees has to be the same whenever it is taken up.
        self.flow.is_none() && self.cancel().is_cancelled()
    }
}

/// Defines both interfaces. Two functions take text of any size and keep a little of it: they
/// read it where it is, in the guest's memory, so that nobody has to copy or refuse the rest.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    context::add_to_linker::<State, wasmtime::component::HasSelf<State>>(linker, |state| state)?;
    linker.instance("sandmill:task/context@0.1.0")?.func_wrap(
        "report-progress",
        |mut store: StoreContextMut<'_, State>,
         (done, total, message): (u64, Option<u64>, WasmStr)| {
            let message = beginning(&message, &store, MAX_PROGRESS_BYTES)?;
            context::Host::report_progress(store.data_mut(), done, total, message);
            Ok(())
        },
    )?;
    linker.allow_shadowing(false);
    linker.instance("sandmill:task/log@0.1.0")?.func_wrap(
        "write",
        |mut store: StoreContextMut<'_, State>, (level, message): (log::Level, WasmStr)| {
            // One byte more, so that the log sees that there was more, and marks it.
            let message = beginning(&message, &store, MAX_LOG_LINE_BYTES + 1)?;
            let level = match level {
                log::Level::Trace => LogLevel::Trace,
                log::Level::Debug => LogLevel::Debug,
                log::Level::Info => LogLevel::Info,
                log::Level::Warn => LogLevel::Warn,
                log::Level::Error => LogLevel::Error,
            };
            store.data_mut().logs().lock().line(LogSource::Log, level, &message);
            Ok(())
        },
    )
}

/// The beginning of a text in the guest's memory, checked to be text.
fn beginning(
    text: &WasmStr,
    store: &StoreContextMut<'_, State>,
    limit: usize,
) -> wasmtime::Result<String> {
    let text = text.to_str(store)?;
    let end = text.floor_char_boundary(limit.saturating_add(3).min(text.len()));
    Ok(text[..end].to_owned())
}

/// The beginning of a text, up to `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
