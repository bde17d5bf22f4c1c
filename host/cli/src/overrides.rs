//! Flags over everything: an executor that gives each call the limits and grants of the command
//! line, over those that a flow's file gives it, and hands it on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandmill::core::{Calls, ExecutorId, StartContext, StartError};
use sandmill::future::FutureList;
use sandmill::{Call, CallOptions, Executor, Grants, LimitOverrides, MapOptions, TaskFuture};

/// The future that the executor's methods return.
type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Gives each call the limits and grants of the command line.
pub(crate) struct Overrides {
    inner: Arc<dyn Executor>,
    limits: LimitOverrides,
    grants: Grants,
    /// What comes of options that were seen before: the calls of a stage share theirs. The key is
    /// kept alive by the entry, so no other options can come to have its address.
    made: Mutex<HashMap<usize, Made>>,
}

/// Options as a flow gives them, and as they come out.
type Made = (Arc<CallOptions>, Arc<CallOptions>);

/// Options that are remembered; a flow has no more stages than that.
const REMEMBERED: usize = 4_096;

impl Overrides {
    /// `inner` with these limits and grants; `inner` itself where there are none.
    pub(crate) fn over(
        inner: &Arc<dyn Executor>,
        limits: &LimitOverrides,
        grants: &Grants,
    ) -> Arc<dyn Executor> {
        if *limits == LimitOverrides::default() && grants.is_empty() {
            return Arc::clone(inner);
        }
        let (limits, grants) = (limits.clone(), grants.clone());
        Arc::new(Self { inner: Arc::clone(inner), limits, grants, made: Mutex::default() })
    }

    fn apply(&self, mut call: Call) -> Call {
        let key = Arc::as_ptr(&call.options) as usize;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= REMEMBERED {
            made.clear();
        }
        let (_, over) = made.entry(key).or_insert_with(|| {
            let options = CallOptions {
                limits: self.limits.over(&call.options.limits),
                grants: call.options.grants.clone().and(&self.grants),
                ..(*call.options).clone()
            };
            (Arc::clone(&call.options), Arc::new(options))
        });
        call.options = Arc::clone(over);
        call
    }
}

impl Executor for Overrides {
    fn id(&self) -> &ExecutorId {
        self.inner.id()
    }

    fn slots(&self) -> usize {
        self.inner.slots()
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
        let (limits, grants) = (self.limits.clone(), self.grants.clone());
        let inner = Arc::clone(&self.inner);
        let own = Self { inner, limits, grants, made: Mutex::default() };
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
    use sandmill::{Component, DirGrant, Value};

    struct Nothing;

    impl sandmill::core::Invoker for Nothing {
        fn invoke(&self, _: sandmill::core::Attempt<'_>) -> sandmill::core::Report {
            sandmill::core::Report::new(
                sandmill::Outcome::Value(Value::default()),
                sandmill::core::Usage::default(),
            )
        }

        fn prepare(&self, _: &Component) -> Result<Arc<sandmill::ComponentInfo>, sandmill::End> {
            Ok(Arc::new(sandmill::ComponentInfo { tasks: Vec::new(), imports: Vec::new() }))
        }
    }

    #[test]
    fn flags_win_and_the_rest_stays() {
        let inner: Arc<dyn Executor> = Arc::new(InlineExecutor::new(Arc::new(Nothing)));
        let limits = LimitOverrides { timeout: Some(Duration::from_secs(1)), ..Default::default() };
        let dir: DirGrant = "/a::/x".parse().expect("it is a directory");
        let grants = Grants { dirs: vec![dir.clone()], ..Grants::default() };
        let over = Overrides { inner: Arc::clone(&inner), limits, grants, made: Mutex::default() };
        let mut options = CallOptions::default();
        options.limits.memory = 7;
        options.grants.clock = true;
        let call = Call::new(&Component::new(Vec::new(), "x"), "t", Value::default())
            .with_options(options);
        let made = over.apply(call.clone());
        assert_eq!(made.options.limits.timeout, Duration::from_secs(1));
        assert_eq!(made.options.limits.memory, 7);
        assert!(made.options.grants.clock);
        assert_eq!(made.options.grants.dirs, [dir]);
        assert!(Arc::ptr_eq(&made.options, &over.apply(call).options));
        assert!(Arc::ptr_eq(
            &inner,
            &Overrides::over(&inner, &Default::default(), &Grants::default())
        ));
    }
}
