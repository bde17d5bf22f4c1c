//! What a flow says of a call, taken from the guest's words into ours and held to bounds. A guest
//! that goes beyond one of them breaks the contract; what is wrong with a call that keeps them (a
//! task that is not there, arguments that do not fit) is the outcome of its run, and not looked at
//! here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sandmill_core::{
    CachePolicy, FlowArgument, FlowCallOptions, FlowElements, FlowTarget, MAX_RETRY_DELAYS,
    RetryDelay, RetryPolicy,
};
use sandmill_wire::Value;
use sandmill_wire::value::{Bounds, MAX_NODES};
use wasmtime::component::ResourceTable;

use crate::bindings::flow::sandmill::task::futures as wit;
use crate::futures::Misuse;

/// Parameters of one call of a flow.
pub const MAX_CALL_PARAMETERS: usize = 1_000;
/// Bytes of a name that a flow gives: of a component, a task, a parameter, or a call.
pub const MAX_CALL_NAME_BYTES: usize = 256;
/// Tags of one call of a flow; also its labels, its resources, and the outcomes that it retries.
pub const MAX_CALL_WORDS: usize = 100;
/// Bytes of one tag, label, name of a resource or of an outcome, or of the key of a cached result.
pub const MAX_WORD_BYTES: usize = 1 << 10;
/// Values in the arrays that a flow maps over: more than in a single argument, because each run
/// gets but one element.
pub const MAX_MAP_NODES: usize = 8 * MAX_NODES;

/// The arguments of a map: those that differ from run to run, and the others.
type MapArguments = (Vec<(String, FlowElements)>, Vec<(String, FlowArgument)>);

/// How large the values may be that a flow passes on.
#[derive(Clone, Copy)]
pub(crate) struct ValueLimits {
    /// Bytes of all values of one call together.
    pub(crate) bytes: u64,
}

/// Refuses a list that is too long.
pub(crate) fn check_count(what: &'static str, count: usize, limit: usize) -> Result<(), Misuse> {
    if count > limit {
        return Err(Misuse::TooMany { what, count, limit });
    }
    Ok(())
}

fn check_text(what: &'static str, text: &str, limit: usize) -> Result<(), Misuse> {
    if text.len() > limit {
        return Err(Misuse::TooLong { what, bytes: text.len(), limit });
    }
    // Names go to terminals and into files of people who look at the run.
    if text.chars().any(char::is_control) {
        return Err(Misuse::ControlCharacter { what });
    }
    Ok(())
}

fn name(what: &'static str, text: String) -> Result<String, Misuse> {
    check_text(what, &text, MAX_CALL_NAME_BYTES)?;
    Ok(text)
}

fn words(what: &'static str, list: Vec<String>) -> Result<BTreeSet<String>, Misuse> {
    check_count(what, list.len(), MAX_CALL_WORDS)?;
    list.iter().try_for_each(|word| check_text(what, word, MAX_WORD_BYTES))?;
    Ok(list.into_iter().collect())
}

/// What is called, and how.
pub(crate) fn target(target: wit::Target, options: wit::CallOptions) -> Result<FlowTarget, Misuse> {
    Ok(FlowTarget {
        component: target.component.map(|text| name("a component's name", text)).transpose()?,
        task: name("a task's name", target.task)?,
        options: call_options(options)?,
    })
}

fn call_options(options: wit::CallOptions) -> Result<FlowCallOptions, Misuse> {
    check_count("resources", options.resources.len(), MAX_CALL_WORDS)?;
    let mut resources = BTreeMap::new();
    for (resource, amount) in options.resources {
        check_text("the name of a resource", &resource, MAX_WORD_BYTES)?;
        if !amount.is_finite() || amount < 0.0 {
            return Err(Misuse::Number { what: "the amount of a resource" });
        }
        resources.insert(resource, amount);
    }
    Ok(FlowCallOptions {
        name: options.name.map(|text| name("a call's name", text)).transpose()?,
        retries: options.retries.map(retry_policy).transpose()?,
        timeout: options.timeout.map(Duration::from_nanos),
        queue_timeout: options.queue_timeout.map(Duration::from_nanos),
        memory: options.memory,
        cache: options.cache.map(cache_policy).transpose()?,
        tags: words("tags", options.tags)?,
        labels: words("labels", options.labels)?,
        resources,
        detach: options.detach,
    })
}

fn retry_policy(policy: wit::RetryPolicy) -> Result<RetryPolicy, Misuse> {
    let delay = match policy.delay {
        wit::RetryDelay::Fixed(list) => {
            check_count("delays before retries", list.len(), MAX_RETRY_DELAYS)?;
            RetryDelay::List(list.into_iter().map(Duration::from_nanos).collect())
        }
        wit::RetryDelay::Exponential((base, factor)) => {
            RetryDelay::Exponential { base: Duration::from_nanos(base), factor }
        }
    };
    Ok(RetryPolicy {
        retries: policy.retries,
        delay,
        jitter: policy.jitter,
        on: policy.on.map(|list| words("outcomes to retry", list)).transpose()?,
        memory_factor: policy.memory_factor,
        ..RetryPolicy::default()
    })
}

fn cache_policy(policy: wit::CachePolicy) -> Result<CachePolicy, Misuse> {
    if let Some(key) = &policy.key {
        check_text("the key of a cached result", key, MAX_WORD_BYTES)?;
    }
    Ok(CachePolicy {
        expires: policy.expires.map(Duration::from_nanos),
        key: policy.key.map(Arc::from),
        refresh: policy.refresh,
    })
}

/// Takes values until all together have too many bytes.
struct Taker {
    left: u64,
    limit: u64,
}

impl Taker {
    fn take(&mut self, bytes: Vec<u8>, max_nodes: usize) -> Result<Value, Misuse> {
        let too_large = Misuse::ArgumentsTooLarge { limit: self.limit };
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(too_large)?;
        let max_bytes = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let bounds = Bounds { max_bytes, max_nodes, ..Bounds::DEFAULT };
        Value::check(bytes, &bounds).map_err(Misuse::Value)
    }
}

impl ValueLimits {
    const fn taker(self) -> Taker {
        Taker { left: self.bytes, limit: self.bytes }
    }

    /// The arguments of one call.
    pub(crate) fn arguments(
        self,
        table: &ResourceTable,
        list: Vec<(String, wit::Argument)>,
    ) -> wasmtime::Result<Vec<(String, FlowArgument)>> {
        check_count("parameters", list.len(), MAX_CALL_PARAMETERS)?;
        let mut taker = self.taker();
        list.into_iter().map(|argument| one(&mut taker, table, argument)).collect()
    }

    /// The arguments of a map: those that differ from run to run, and the others.
    pub(crate) fn mapped(
        self,
        table: &ResourceTable,
        each: Vec<(String, wit::Elements)>,
        same: Vec<(String, wit::Argument)>,
    ) -> wasmtime::Result<MapArguments> {
        check_count("parameters", each.len().saturating_add(same.len()), MAX_CALL_PARAMETERS)?;
        let mut taker = self.taker();
        let same: wasmtime::Result<_> =
            same.into_iter().map(|argument| one(&mut taker, table, argument)).collect();
        let each = each.into_iter().map(|(parameter, elements)| {
            let parameter = name("a parameter's name", parameter)?;
            let elements = match elements {
                wit::Elements::Values(bytes) => {
                    FlowElements::Values(taker.take(bytes, MAX_MAP_NODES)?)
                }
                wit::Elements::Result(future) => FlowElements::Result(table.get(&future)?.key),
                wit::Elements::Results(list) => FlowElements::Results(table.get(&list)?.command),
            };
            Ok((parameter, elements))
        });
        let each: wasmtime::Result<_> = each.collect();
        Ok((each?, same?))
    }
}

fn one(
    taker: &mut Taker,
    table: &ResourceTable,
    (parameter, argument): (String, wit::Argument),
) -> wasmtime::Result<(String, FlowArgument)> {
    let parameter = name("a parameter's name", parameter)?;
    let argument = match argument {
        wit::Argument::Value(bytes) => FlowArgument::Value(taker.take(bytes, MAX_NODES)?),
        wit::Argument::Result(future) => FlowArgument::Result(table.get(&future)?.key),
        wit::Argument::Results(list) => FlowArgument::Results(table.get(&list)?.command),
    };
    Ok((parameter, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> wit::CallOptions {
        wit::CallOptions {
            name: Some("n".to_owned()),
            retries: Some(wit::RetryPolicy {
                retries: 3,
                delay: wit::RetryDelay::Fixed(vec![1, 2]),
                jitter: 0.5,
                on: Some(vec!["timed-out".to_owned()]),
                memory_factor: Some(2.0),
            }),
            timeout: Some(1_000),
            queue_timeout: None,
            memory: Some(1 << 20),
            cache: Some(wit::CachePolicy { expires: Some(9), key: None, refresh: true }),
            tags: vec!["b".to_owned(), "a".to_owned()],
            labels: Vec::new(),
            resources: vec![("gpu".to_owned(), 0.5)],
            detach: true,
        }
    }

    #[test]
    fn options_are_taken_over() {
        let taken = call_options(options()).unwrap();
        assert_eq!(taken.name.as_deref(), Some("n"));
        let retries = taken.retries.unwrap();
        assert_eq!((retries.retries, retries.memory_factor), (3, Some(2.0)));
        let delays = vec![Duration::from_nanos(1), Duration::from_nanos(2)];
        assert_eq!(retries.delay, RetryDelay::List(delays));
        assert_eq!(taken.timeout, Some(Duration::from_micros(1)));
        assert_eq!(taken.memory, Some(1 << 20));
        assert!(taken.cache.is_some_and(|cache| cache.refresh) && taken.detach);
        assert_eq!(taken.tags.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(taken.resources["gpu"].to_bits(), 0.5_f64.to_bits());
    }

    #[test]
    fn options_have_bounds() {
        let long = || "x".repeat(MAX_WORD_BYTES + 1);
        let wrong: [fn(&mut wit::CallOptions, String); 7] = [
            |options, long| options.name = Some(long),
            |options, _| options.name = Some("a\u{1b}[2J".to_owned()),
            |options, _| options.tags = vec!["t".to_owned(); MAX_CALL_WORDS + 1],
            |options, long| options.labels = vec![long],
            |options, _| options.resources = vec![("gpu".to_owned(), f64::NAN)],
            |options, long| {
                let cache = wit::CachePolicy { expires: None, key: Some(long), refresh: false };
                options.cache = Some(cache);
            },
            |options, _| {
                let delay = wit::RetryDelay::Fixed(vec![0; MAX_RETRY_DELAYS + 1]);
                options.retries.as_mut().unwrap().delay = delay;
            },
        ];
        for (number, change) in wrong.iter().enumerate() {
            let mut options = options();
            change(&mut options, long());
            assert!(call_options(options).is_err(), "number {number}");
        }
    }

    #[test]
    fn arguments_share_one_bound_and_are_values() {
        let table = ResourceTable::new();
        let limits = ValueLimits { bytes: 10 };
        let argument = |bytes: &[u8]| ("a".to_owned(), wit::Argument::Value(bytes.to_vec()));
        let taken = limits.arguments(&table, vec![argument(&[1]), argument(&[2])]).unwrap();
        assert_eq!(taken.len(), 2);
        let six = [0xa5, b'a', b'b', b'c', b'd', b'e'];
        assert!(limits.arguments(&table, vec![argument(&six)]).is_ok());
        for bad in [vec![argument(&six), argument(&six)], vec![argument(&[0xc1])]] {
            assert!(limits.arguments(&table, bad).is_err());
        }
        let many = (0..=MAX_CALL_PARAMETERS).map(|_| argument(&[1])).collect();
        assert!(ValueLimits { bytes: 1 << 20 }.arguments(&table, many).is_err());
        let each = vec![("e".to_owned(), wit::Elements::Values(six.to_vec()))];
        assert!(limits.mapped(&table, each, vec![argument(&six)]).is_err());
    }
}
