//! One task of a component, ready to be called: the short way to make calls and maps.

use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{
    CachePolicy, Call, CallOptions, Component, Executor, FutureList, Grants, LimitOverrides,
    MapOptions, RetryPolicy, TaskFuture,
};
use sandmill_wire::Value;
use sandmill_wire::value::{ArgumentTemplate, ValueError};
use serde::Serialize;

use crate::zip::{Zip, ZipError, zip_lengths};

/// One task of a component, with arguments and options that its calls have in common.
#[derive(Clone)]
pub struct Task {
    executor: Arc<dyn Executor>,
    component: Component,
    name: Arc<str>,
    options: Arc<CallOptions>,
    fixed: Vec<(String, Value)>,
    map: MapOptions,
}

impl Task {
    pub(crate) fn new(
        executor: &Arc<dyn Executor>,
        component: &Component,
        name: &str,
        options: &Arc<CallOptions>,
    ) -> Self {
        Self {
            executor: Arc::clone(executor),
            component: component.clone(),
            name: name.into(),
            options: Arc::clone(options),
            fixed: Vec::new(),
            map: MapOptions::default(),
        }
    }

    /// The same with this argument in every call. A later value for the same name wins.
    ///
    /// # Errors
    /// When `value` is not one that MessagePack can hold.
    pub fn with<T: Serialize + ?Sized>(
        mut self,
        name: &str,
        value: &T,
    ) -> Result<Self, ValueError> {
        let value = Value::encode(value)?;
        self.fixed.retain(|(other, _)| other != name);
        self.fixed.push((name.to_owned(), value));
        Ok(self)
    }

    /// The same with these limits over those it had.
    #[must_use]
    pub fn limits(mut self, limits: &LimitOverrides) -> Self {
        let options = Arc::make_mut(&mut self.options);
        options.limits = limits.over(&options.limits);
        self
    }

    /// The same, tried again as this policy says when a call does not complete. The executor tries
    /// again, in the same run: its future ends with the last attempt.
    #[must_use]
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        Arc::make_mut(&mut self.options).retries = policy;
        self
    }

    /// The same, ended as `timed-out` when a call waits longer than this for a slot: from its
    /// submission, and again from whenever a retry is due. The calls of a map are made when there
    /// is a slot for them, so only their retries wait.
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.options).queue_timeout = Some(timeout);
        self
    }

    /// The same, with results taken from the cache as this policy says, where the host has one.
    #[must_use]
    pub fn cache(mut self, policy: CachePolicy) -> Self {
        Arc::make_mut(&mut self.options).cache = Some(policy);
        self
    }

    /// The same with these grants besides those it had.
    #[must_use]
    pub fn grants(mut self, grants: &Grants) -> Self {
        let options = Arc::make_mut(&mut self.options);
        options.grants = std::mem::take(&mut options.grants).and(grants);
        self
    }

    /// The same with whatever `change` does to its options.
    #[must_use]
    pub fn options(mut self, change: impl FnOnce(&mut CallOptions)) -> Self {
        change(Arc::make_mut(&mut self.options));
        self
    }

    /// The same with these options for its maps.
    #[must_use]
    pub const fn map_options(mut self, options: MapOptions) -> Self {
        self.map = options;
        self
    }

    /// Calls the task with this argument map (see [`args!`](crate::args)) beside its own arguments.
    pub fn call(&self, arguments: Value) -> TaskFuture {
        self.executor.submit(match self.merged(&arguments) {
            Ok(arguments) => self.make(arguments),
            Err(error) => self.make(arguments).refused(unfit(&error)),
        })
    }

    /// Calls the task once for each of `values`, as the argument `name`. Values are taken as slots
    /// get free, so there may be any number of them.
    pub fn map_over<T: Serialize>(
        &self,
        name: &str,
        values: impl IntoIterator<Item = T, IntoIter: Send + 'static>,
    ) -> FutureList {
        let template = self.template([name]);
        let task = self.clone();
        let calls = values.into_iter().zip(0..).map(move |(value, index)| {
            let rendered = Value::encode(&value).and_then(|value| match &template {
                Ok(template) => template.render(&[&value]),
                Err(error) => Err(error.clone()),
            });
            task.at(index, rendered)
        });
        self.executor.map(Box::new(calls), self.map)
    }

    /// Calls the task once for each position of several lists of values, each for an argument.
    ///
    /// # Errors
    /// [`ZipError::MappingLengthMismatch`] when the lists differ in length and `zip` is
    /// [`Zip::Strict`].
    pub fn map_zip(
        &self,
        lists: Vec<(String, Vec<Value>)>,
        zip: Zip,
    ) -> Result<FutureList, ZipError> {
        let count = zip_lengths(lists.iter().map(|(name, list)| (name.as_str(), list.len())), zip)?;
        let template = self.template(lists.iter().map(|(name, _)| name.as_str()));
        let task = self.clone();
        let calls = (0..count).map(move |index| {
            let values: Vec<&Value> =
                lists.iter().filter_map(|(_, list)| list.get(index)).collect();
            let rendered = match &template {
                Ok(template) => template.render(&values),
                Err(error) => Err(error.clone()),
            };
            task.at(index as u64, rendered)
        });
        Ok(self.executor.map(Box::new(calls), self.map))
    }

    /// Calls the task once for each argument map.
    pub fn map(
        &self,
        arguments: impl IntoIterator<Item = Value, IntoIter: Send + 'static>,
    ) -> FutureList {
        let task = self.clone();
        let calls = arguments.into_iter().zip(0..).map(move |(arguments, index)| {
            let merged = task.merged(&arguments);
            task.at(index, merged)
        });
        self.executor.map(Box::new(calls), self.map)
    }

    fn template<'a>(
        &self,
        varying: impl IntoIterator<Item = &'a str>,
    ) -> Result<ArgumentTemplate, ValueError> {
        let varying: Vec<&str> = varying.into_iter().collect();
        let fixed = self.fixed.iter().filter(|(name, _)| !varying.contains(&name.as_str()));
        ArgumentTemplate::new(
            fixed.map(|(name, value)| (name.as_str(), value)),
            varying.iter().copied(),
        )
    }

    /// The task's own arguments and these; these win.
    fn merged(&self, arguments: &Value) -> Result<Value, ValueError> {
        if self.fixed.is_empty() {
            return Ok(arguments.clone());
        }
        let given: Vec<(Value, Value)> = arguments.entries()?.collect();
        let given: Vec<(&str, &Value)> =
            given.iter().filter_map(|(name, value)| Some((name.as_str()?, value))).collect();
        let own = self.fixed.iter().map(|(name, value)| (name.as_str(), value));
        let own = own.filter(|(name, _)| given.iter().all(|(other, _)| other != name));
        Value::map_from(own.collect::<Vec<_>>().into_iter().chain(given.iter().copied()))
    }

    fn at(&self, index: u64, arguments: Result<Value, ValueError>) -> Call {
        match arguments {
            Ok(arguments) => self.make(arguments),
            Err(error) => self.make(Value::nil()).refused(unfit(&error)),
        }
        .at_index(index)
    }

    fn make(&self, arguments: Value) -> Call {
        Call::new(&self.component, Arc::clone(&self.name), arguments)
            .with_options(Arc::clone(&self.options))
    }
}

fn unfit(error: &ValueError) -> String {
    format!("the arguments do not fit: {error}")
}
