//! What a worker tells Prometheus, in the OpenMetrics text format.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sandmill::executors::worker::{Worker, WorkerStatus};

/// The type of the text.
pub(super) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with.
const PREFIX: &str = "sandmill_worker";

/// The metrics as they stand.
pub(super) fn text(worker: &Worker) -> Result<String, fmt::Error> {
    render(worker.status())
}

fn render(status: WorkerStatus) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Status(Arc::new(status))));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Status(Arc<WorkerStatus>);

impl Collector for Status {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = &*self.0;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let bytes = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (name, help, value) in [
            ("slots", "Runs that the worker makes at a time", number(status.slots)),
            ("runs_running", "Runs in slots", number(status.running)),
            ("runs_waiting", "Runs that wait for a slot or a component", number(status.waiting)),
            ("reports_kept", "Results that coordinators have not taken", number(status.kept)),
            ("sessions", "Coordinators that the worker serves", number(status.sessions.len())),
            ("components", "Components that are ready", number(status.components.len())),
            ("component_bytes", "Bytes of components held", bytes(status.component_bytes)),
            ("value_bytes", "Bytes of large arguments held", bytes(status.value_bytes)),
            ("draining", "Whether the worker takes no new runs", i64::from(status.draining)),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let runs = "Runs that ended, by how";
        let mut ended = encoder.encode_descriptor("runs_ended", runs, None, MetricType::Counter)?;
        for (end, count) in &status.ended {
            ConstCounter::new(*count).encode(ended.encode_family(&[("end", *end)])?)?;
        }
        let transfers: u64 = status.transfers.values().sum();
        for (name, help, value) in [
            ("component_transfers", "Components that were sent to the worker", transfers),
            ("runs_refused", "Runs that ask for more than the worker allows", status.refused),
            ("runs_stale", "Orders and ends that came too late", status.stale),
            ("runs_handed_back", "Runs given back before they started", status.handed_back),
            (
                "runs_answered_again",
                "Orders answered by a run that was there already",
                status.answered_again,
            ),
            (
                "log_lines_dropped",
                "Log lines left out since links did not keep up",
                status.lines_left_out,
            ),
            ("received_bytes", "Bytes of arguments and components that came", status.bytes_in),
            ("sent_bytes", "Bytes of results that went", status.bytes_out),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
