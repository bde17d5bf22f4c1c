//! Flow runs that are cancelled while nobody runs them: what is left to do for them is their hook
//! on exit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sandmill_core::{Clock, Limits};
use sandmill_flow::{FlowFile, FlowRunFuture, FlowRunner, StartOptions};
use sandmill_sandbox::Sandbox;
use sandmill_store::{Reader, Store, StoreError};
use sandmill_wire::RunId;

use super::error::FlowError;
use super::source::Recipe;
use super::start::{CancelledFlow, ResumeOptions};
use crate::Host;

impl Host {
    /// Ends a flow run that was interrupted, in whatever way, as cancelled: nothing of it is called
    /// any more but its hook on exit, which is told so and has its own time. Where there is none,
    /// the flow has ended when this returns.
    ///
    /// # Errors
    /// When the host has no store, there is no such flow run, it has ended or runs in this process,
    /// or the store cannot be written.
    pub fn cancel_interrupted(
        &self,
        run: RunId,
        why: &str,
        options: &ResumeOptions,
    ) -> Result<CancelledFlow, FlowError> {
        let canceller = Canceller {
            sandbox: self.sandbox().clone(),
            runner: self.runner_on(options.executor.as_ref()),
            limits: options.limits.clone().unwrap_or_else(|| self.options().limits.clone()),
            granted: options.granted,
        };
        let store = self.history()?;
        let cancelled = canceller.cancel(store, run, why)?;
        if let CancelledFlow::Ending(future) = &cancelled {
            self.flows().add(store, future, &self.canceller());
        }
        Ok(cancelled)
    }

    /// What cancels flows of the store on this host.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller {
            sandbox: self.sandbox().clone(),
            runner: self.flow_runner().clone(),
            limits: self.options().limits.clone(),
            granted: false,
        }
    }
}

/// Cancels flows that nobody runs.
#[derive(Clone)]
pub(crate) struct Canceller {
    sandbox: Sandbox,
    runner: FlowRunner,
    limits: Limits,
    granted: bool,
}

impl Canceller {
    pub(super) fn cancel(
        &self,
        store: &Store,
        run: RunId,
        why: &str,
    ) -> Result<CancelledFlow, FlowError> {
        let end = |hook_lost| {
            store.cancel_flow(run, why, Clock::system().now())?;
            Ok(CancelledFlow::Ended { hook_lost })
        };
        let reader = Reader::open(store.dir())?;
        let source = match reader.source(run) {
            Ok(source) => source,
            Err(error @ StoreError::NoSuchFlow { .. }) => return Err(error.into()),
            // What it called on exit is not known; that it is not to go on is.
            Err(error) => return end(Some(error.to_string())),
        };
        let has_hook = source
            .text
            .as_ref()
            .is_some_and(|text| FlowFile::read(Path::new(&source.path), text).has_on_exit());
        if !has_hook {
            return end(None);
        }
        let limits = self.limits.clone();
        let plan = match Recipe::of_source(
            run,
            &source,
            &reader,
            &self.sandbox,
            BTreeMap::new(),
            limits,
        ) {
            Ok(Recipe::File(file)) => file.plan,
            Ok(Recipe::Code(_)) => return end(None),
            Err(error) => return end(Some(error.to_string())),
        };
        let start = StartOptions {
            journal: Some(store.take_up(run, Clock::system().now())?),
            granted: self.granted,
            cancelled: Some(Arc::from(why)),
            ..StartOptions::default()
        };
        Ok(CancelledFlow::Ending(self.runner.start_with(plan, start)))
    }

    /// The same for a flow of which nobody here holds a handle.
    pub(super) fn cancel_unheld(
        &self,
        store: &Store,
        run: RunId,
        why: &str,
    ) -> Result<Option<FlowRunFuture>, FlowError> {
        Ok(match self.cancel(store, run, why)? {
            CancelledFlow::Ended { .. } => None,
            CancelledFlow::Ending(future) => {
                future.detach();
                Some(future)
            }
        })
    }
}
