//! An executor that gives each call what the command line says over what its flow says, and hands
//! it on. What that is, is in `overrides`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandmill::core::{Calls, ExecutorId, StartContext, StartError};
use sandmill::future::FutureList;
use sandmill::{Call, CallOptions, Executor, MapOptions, TaskFuture};

use crate::overrides::Overrides;

/// The future that the executor's methods return.
type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gives each call what the command line says.
pub(crate) struct OverridingExecutor {
    inner: Arc<dyn Executor>,
    overrides: Arc<Overrides>,
    /// What comes of options that were seen before: the calls of a stage share theirs. The key is
    /// kept alive by the entry, so no other options can come to have its address.
    made: Mutex<HashMap<usize, Made>>,
}

/// Options as a flow gives them, and as they come out.
type Made = (Arc<CallOptions>, Arc<CallOptions>);

/// Options that are remembered; a flow has no more stages than that.
const REMEMBERED: usize = 4_096;

impl OverridingExecutor {
    /// `inner` with these; `inner` itself where they say nothing of calls.
    pub(crate) fn over(inner: Arc<dyn Executor>, overrides: &Overrides) -> Arc<dyn Executor> {
        if !overrides.touch_calls() {
            return inner;
        }
        Arc::new(Self { inner, overrides: Arc::new(overrides.clone()), made: Mutex::default() })
    }

    fn apply(&self, mut call: Call) -> Call {
        let key = Arc::as_ptr(&call.options) as usize;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= REMEMBERED {
            made.clear();
        }
        let (_, over) = made.entry(key).or_insert_with(|| {
            let options = self.overrides.apply(&call.options);
            (Arc::clone(&call.options), Arc::new(options))
        });
        call.options = Arc::clone(over);
        call
    }
}

impl Executor for OverridingExecutor {
    fn id(&self) -> &ExecutorId {
        self.inner.id()
    }

    fn slots(&self) -> usize {
        self.inner.slots()
    }

    fn wanted(&self) -> usize {
        self.inner.wanted()
    }

    fn start(&self, context: StartContext) -> BoxFuture<'_, Result<(), StartError>> {
        self.inner.start(context)
    }

    fn submit(&self, call: Call) -> TaskFuture {
        self.inner.submit(self.apply(call))
    }

    fn room(&self) -> BoxFuture<'_, ()> {
        self.inner.room()
    }

    fn map(&self, calls: Calls, options: MapOptions) -> FutureList {
        let (inner, overrides) = (Arc::clone(&self.inner), Arc::clone(&self.overrides));
        let own = Self { inner, overrides, made: Mutex::default() };
        self.inner.map(Box::new(calls.map(move |call| own.apply(call))), options)
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.inner.shutdown()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use sandmill::executors::InlineExecutor;
    use sandmill::{Component, Value};

    struct Nothing;

    impl sandmill::core::Invoker for Nothing {
        fn invoke(&self, _: sandmill::core::Attempt<'_>) -> sandmill::core::Report {
            sandmill::core::Report::new(
                sandmill::Outcome::Value(Value::default()),
                sandmill::core::Usage::default(),
            )
        }

        fn prepare(&self, _: &Component) -> Result<Arc<sandmill::ComponentInfo>, sandmill::End> {
            let (tasks, imports, flows) = (Vec::new(), Vec::new(), Vec::new());
            Ok(Arc::new(sandmill::ComponentInfo { tasks, imports, flows }))
        }
    }

    #[test]
    fn equal_options_are_made_once_and_nothing_costs_nothing() {
        let inner: Arc<dyn Executor> = Arc::new(InlineExecutor::new(Arc::new(Nothing)));
        let overrides =
            Overrides { queue_timeout: Some(Duration::from_secs(1)), ..Overrides::default() };
        let over = OverridingExecutor {
            inner: Arc::clone(&inner),
            overrides: Arc::new(overrides),
            made: Mutex::default(),
        };
        let call = Call::new(&Component::new(Vec::new(), "x"), "t", Value::default());
        let made = over.apply(call.clone());
        assert_eq!(made.options.queue_timeout, Some(Duration::from_secs(1)));
        assert!(Arc::ptr_eq(&made.options, &over.apply(call).options));
        let same = OverridingExecutor::over(Arc::clone(&inner), &Overrides::default());
        assert!(Arc::ptr_eq(&inner, &same));
    }
}
