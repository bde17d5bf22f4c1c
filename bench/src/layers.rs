//! What each layer of Sandmill adds to a run that does nothing: CPU time, of all processes that take
//! part, in the longest map that all of them were in.

use serde::Serialize;

use crate::measure::Measure;
use crate::results::Results;

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Layer {
    pub(crate) subject: &'static str,
    pub(crate) what: &'static str,
    /// CPU microseconds of one run, with all layers below.
    pub(crate) micros: f64,
    /// The layer that it stands on, where that was measured.
    pub(crate) over: Option<&'static str>,
    /// How much more that is than the layer below.
    pub(crate) more: Option<f64>,
}

/// Each layer, and what it stands on.
const LAYERS: &[(&str, Option<&str>, &str)] = &[
    ("bare-1", None, "a store, an instance, the call (1 thread)"),
    ("bare", None, "the same on all cores"),
    ("sandbox", Some("bare-1"), "the sandbox: limits, stops, hermetic imports, the checked result"),
    ("inline", Some("sandbox"), "futures, states, arguments spliced"),
    ("pool", Some("bare"), "all of that in slots, with queues between threads"),
    ("flow", Some("pool"), "the flow's schedule"),
    ("journal", Some("flow"), "the journal"),
    ("processes", Some("pool"), "processes of a slot each, and links to them"),
    ("remote-1", Some("pool"), "one worker process, and a link to it"),
    ("nats", Some("remote-1"), "a NATS server between them"),
];

/// The layers that were measured.
pub(crate) fn layers(results: &Results) -> Vec<Layer> {
    let maps = results.0.iter().filter(|step| matches!(step.measure, Measure::Nothing { .. }));
    let measured = |step: &crate::results::StepResults| {
        let has = |name: &str| step.cell(name).and_then(|cell| cell.cpu_micros()).is_some();
        LAYERS.iter().filter(|(name, ..)| has(name)).count()
    };
    // The most layers first, then the most runs.
    let step = maps.max_by_key(|step| (measured(step), step.measure.runs()));
    let Some(step) = step else { return Vec::new() };
    let micros = |name: &str| step.cell(name).and_then(|cell| cell.cpu_micros());
    let layer = |&(subject, over, what): &(&'static str, Option<&'static str>, &'static str)| {
        let below = over.and_then(micros);
        let micros = micros(subject)?;
        let (over, more) = (over.filter(|_| below.is_some()), below.map(|below| micros - below));
        Some(Layer { subject, what, micros, over, more })
    };
    LAYERS.iter().filter_map(layer).collect()
}
