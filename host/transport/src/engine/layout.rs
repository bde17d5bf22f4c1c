//! What is made in an engine, under which names and with which settings, and whether what is there
//! is that. A server that is too old says that all is well and drops what it does not know, so
//! everything is read back.

use std::fmt::Debug;

use async_nats::jetstream::consumer;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{ErrorCode, context::GetStreamErrorKind, kv, object_store};
use sandmill_core::units::format_size;
use uuid::Uuid;

use super::class::ClassId;
use super::config::EngineConfig;
use super::connect::Engine;
use super::error::EngineError;
use super::limits::{
    CLASS_AGE, COMPONENT_AGE, DEDUPE_WINDOW, KNOWN_BYTES, MARKER_AGE, OUT_AGE, RESERVED_BYTES,
    VALUE_AGE, WORK_AGE, WORKER_AGE,
};

/// The names of everything in an engine.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
}

impl Layout {
    pub(super) fn new(config: &EngineConfig) -> Self {
        Self { prefix: config.prefix() }
    }

    pub(super) fn work(&self) -> String {
        format!("{}-work", self.prefix)
    }

    pub(super) fn out(&self) -> String {
        format!("{}-out", self.prefix)
    }

    /// The bucket of workers.
    pub(super) fn workers(&self) -> String {
        format!("{}-workers", self.prefix)
    }

    /// The bucket of classes.
    pub(super) fn classes(&self) -> String {
        format!("{}-classes", self.prefix)
    }

    /// The bucket of components.
    pub(super) fn components(&self) -> String {
        format!("{}-components", self.prefix)
    }

    /// The bucket of large values.
    pub(super) fn values(&self) -> String {
        format!("{}-values", self.prefix)
    }

    pub(super) fn work_subject(&self, class: &ClassId) -> String {
        format!("{}.work.{class}", self.prefix)
    }

    pub(super) fn out_subject(&self, session: Uuid) -> String {
        format!("{}.out.{}", self.prefix, session.simple())
    }

    /// Where a coordinator says what all workers of its session, or one of them, are to hear.
    pub(super) fn say_subject(&self, session: Uuid, to: Option<Uuid>) -> String {
        let to = to.map_or_else(|| "all".to_owned(), |worker| worker.simple().to_string());
        format!("{}.say.{}.{to}", self.prefix, session.simple())
    }

    /// Where a coordinator answers who it is.
    pub(super) fn ask_subject(&self, session: Uuid) -> String {
        format!("{}.ask.{}", self.prefix, session.simple())
    }

    /// Where workers tell a coordinator what they hold of its session.
    pub(super) fn beat_subject(&self, session: Uuid) -> String {
        format!("{}.beat.{}", self.prefix, session.simple())
    }

    /// Where the server tells of items that it will not give out again.
    pub(super) fn spent_subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{}.*", self.work())
    }

    /// What is to be there.
    fn streams(&self, config: &EngineConfig) -> Vec<Config> {
        let bounds = &config.bounds;
        let base = Config {
            storage: StorageType::File,
            max_messages: -1,
            max_messages_per_subject: -1,
            duplicate_window: DEDUPE_WINDOW,
            discard: DiscardPolicy::New,
            num_replicas: config.replicas.unwrap_or(1),
            ..Config::default()
        };
        let known = |bucket: String, age| Config {
            name: format!("KV_{bucket}"),
            subjects: vec![format!("$KV.{bucket}.>")],
            max_messages_per_subject: 1,
            max_bytes: KNOWN_BYTES,
            max_age: age,
            duplicate_window: DEDUPE_WINDOW.min(age),
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(MARKER_AGE),
            ..base.clone()
        };
        let objects = |bucket: String, age, bytes| Config {
            name: format!("OBJ_{bucket}"),
            subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
            max_bytes: bytes,
            max_age: age,
            allow_rollup: true,
            allow_direct: true,
            ..base.clone()
        };
        vec![
            Config {
                name: self.work(),
                subjects: vec![format!("{}.work.*", self.prefix)],
                retention: RetentionPolicy::WorkQueue,
                max_messages: bounds.work_messages,
                max_bytes: bounds.work_bytes,
                max_age: WORK_AGE,
                ..base.clone()
            },
            Config {
                name: self.out(),
                subjects: vec![format!("{}.out.*", self.prefix)],
                retention: RetentionPolicy::WorkQueue,
                max_messages_per_subject: bounds.out_messages,
                discard_new_per_subject: true,
                max_bytes: bounds.out_bytes,
                max_age: OUT_AGE,
                ..base.clone()
            },
            known(self.workers(), WORKER_AGE),
            known(self.classes(), CLASS_AGE),
            objects(self.components(), COMPONENT_AGE, bounds.component_bytes),
            objects(self.values(), VALUE_AGE, bounds.value_bytes),
        ]
    }
}

/// Tells an engine's stores from others that were made later under the same names: what was put
/// into the former is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incarnation(Vec<i64>);

impl Engine {
    /// Makes what is not there, and compares what is.
    ///
    /// # Errors
    /// When the engine does not answer, has no room, or something is set up otherwise.
    pub async fn ensure(&self) -> Result<Incarnation, EngineError> {
        let mut made = Vec::new();
        for wanted in self.layout().streams(self.config()) {
            let info = self.ensure_stream(&wanted).await?;
            compare_stream(&info.config, &wanted, self.config().replicas.is_some())?;
            let nanos = info.created.unix_timestamp_nanos();
            made.push(i64::try_from(nanos / 1_000).unwrap_or(i64::MAX));
        }
        Ok(Incarnation(made))
    }

    async fn ensure_stream(&self, wanted: &Config) -> Result<Info, EngineError> {
        let context = self.context();
        let got = context.get_stream(&wanted.name);
        let stream = match self.answered("looking for a stream", got).await? {
            Ok(stream) => stream,
            Err(error) if is_missing(&error.kind()) => {
                let made = context.create_stream(wanted.clone());
                self.answered("making a stream", made).await?.map_err(|error| {
                    self.lacking(error.to_string())
                        .unwrap_or_else(|| EngineError::failed("making a stream", &error))
                })?
            }
            Err(error) => {
                return Err(self
                    .lacking(error.to_string())
                    .unwrap_or_else(|| EngineError::failed("looking for a stream", &error)));
            }
        };
        Ok(stream.cached_info().clone())
    }

    /// What an error of the server says that it lacks.
    fn lacking(&self, why: String) -> Option<EngineError> {
        let lacks = ["not enabled", "insufficient", "permissions", "resource limits", "10023"];
        lacks.iter().any(|word| why.contains(word)).then(|| {
            let shown = self.config().shown();
            let reserved = format_size(RESERVED_BYTES.unsigned_abs());
            EngineError::Lacks(format!(
                "the engine at {shown} cannot keep runs: {why}; it needs JetStream (nats-server \
                 -js), {reserved} for the stores (`max_file` of its configuration; by default three \
                 quarters of the free disk), and as many servers as there are to be replicas"
            ))
        })
    }

    pub(super) async fn work(&self) -> Result<Stream<()>, EngineError> {
        let stream = self.context().get_stream_no_info(self.layout().work());
        self.bounded("finding the work", stream).await
    }

    pub(super) async fn out(&self) -> Result<Stream<()>, EngineError> {
        let stream = self.context().get_stream_no_info(self.layout().out());
        self.bounded("finding the answers", stream).await
    }

    pub(super) async fn known(&self, bucket: String) -> Result<kv::Store, EngineError> {
        self.bounded("finding a bucket", self.context().get_key_value(bucket)).await
    }

    pub(super) async fn objects(
        &self,
        bucket: String,
    ) -> Result<object_store::ObjectStore, EngineError> {
        self.bounded("finding a bucket", self.context().get_object_store(bucket)).await
    }
}

fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn compare_stream(found: &Config, wanted: &Config, also_replicas: bool) -> Result<(), EngineError> {
    let differences = &mut Vec::new();
    same(differences, "subjects", &found.subjects, &wanted.subjects);
    same(differences, "retention", &found.retention, &wanted.retention);
    same(differences, "storage", &found.storage, &wanted.storage);
    same(differences, "discard", &found.discard, &wanted.discard);
    let per_subject = (found.discard_new_per_subject, wanted.discard_new_per_subject);
    same(differences, "discard_new_per_subject", &per_subject.0, &per_subject.1);
    same(differences, "max_messages", &found.max_messages, &wanted.max_messages);
    let most = (found.max_messages_per_subject, wanted.max_messages_per_subject);
    same(differences, "max_messages_per_subject", &most.0, &most.1);
    same(differences, "max_bytes", &found.max_bytes, &wanted.max_bytes);
    same(differences, "max_age", &found.max_age, &wanted.max_age);
    same(differences, "duplicate_window", &found.duplicate_window, &wanted.duplicate_window);
    same(differences, "allow_rollup", &found.allow_rollup, &wanted.allow_rollup);
    same(differences, "allow_direct", &found.allow_direct, &wanted.allow_direct);
    same(differences, "deny_delete", &found.deny_delete, &wanted.deny_delete);
    same(differences, "allow_message_ttl", &found.allow_message_ttl, &wanted.allow_message_ttl);
    let markers = (found.subject_delete_marker_ttl, wanted.subject_delete_marker_ttl);
    same(differences, "subject_delete_marker_ttl", &markers.0, &markers.1);
    if also_replicas {
        same(differences, "num_replicas", &found.num_replicas, &wanted.num_replicas);
    }
    compare(format!("the stream {}", wanted.name), differences)
}

/// Notes where what was found is not what is wanted.
pub(super) fn same<T: PartialEq + Debug>(
    differences: &mut Vec<String>,
    what: &str,
    found: &T,
    wanted: &T,
) {
    if found != wanted {
        differences.push(format!("{what} is {found:?}, and has to be {wanted:?}"));
    }
}

/// An error where there are differences.
pub(super) fn compare(what: String, differences: &[String]) -> Result<(), EngineError> {
    if differences.is_empty() {
        return Ok(());
    }
    Err(EngineError::Different { what, differences: differences.join("; ") })
}

/// What it means that a consumer cannot be looked at.
pub(super) fn consumer_missing(
    name: &str,
    error: &async_nats::jetstream::context::ConsumerInfoError,
) -> EngineError {
    use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
    match error.kind() {
        Kind::NotFound | Kind::StreamNotFound => {
            EngineError::Missing(format!("the consumer {name}"))
        }
        _ => EngineError::failed("looking at a consumer", error),
    }
}

/// The name of a coordinator's consumer of answers.
pub(super) fn out_consumer(session: Uuid) -> String {
    session.simple().to_string()
}

/// How a coordinator's answers are taken.
pub(super) fn out_consumer_config(layout: &Layout, session: Uuid) -> consumer::pull::Config {
    consumer::pull::Config {
        durable_name: Some(out_consumer(session)),
        filter_subject: layout.out_subject(session),
        ack_policy: consumer::AckPolicy::Explicit,
        ack_wait: super::limits::OUT_ACK_WAIT,
        max_ack_pending: super::limits::OUT_ACK_PENDING,
        inactive_threshold: super::limits::OUT_CONSUMER_AGE,
        ..consumer::pull::Config::default()
    }
}
