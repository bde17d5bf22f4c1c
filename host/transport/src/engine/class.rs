//! Classes of runs: what a run needs of a worker. Each has a subject and a consumer of its own, so
//! that a worker takes only what it can make. Which worker satisfies which is for the executors.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::kv;
use sandmill_core::{Grants, Limits};
use sandmill_wire::Digest;
use serde::{Deserialize, Serialize};
use tokio_stream::StreamExt as _;

use super::connect::Engine;
use super::error::EngineError;
use super::layout::{compare, consumer_missing, same};
use super::limits::{CLASS_AGE, MAX_ACK_PENDING, MAX_BUSY, MAX_CLASSES};

/// What runs need of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Labels that it must carry, all of them.
    pub labels: BTreeSet<String>,
    /// Amounts that it must have free, for each run.
    pub resources: BTreeMap<String, f64>,
    /// What it must allow to be reached. The values of environment variables are not told.
    pub grants: Grants,
    /// What it must allow to be used.
    pub limits: Limits,
    /// Whether a run may change something outside, so that it must not be made twice unasked.
    pub has_effects: bool,
}

/// Names a class: the same for the same needs, whoever has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClassId(pub(super) String);

impl ClassId {
    /// The name, as it stands in subjects.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ClassId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Class {
    /// The class of runs with these needs.
    #[must_use]
    pub fn new(
        labels: &BTreeSet<String>,
        resources: &BTreeMap<String, f64>,
        grants: &Grants,
        limits: &Limits,
        has_effects: bool,
    ) -> Self {
        let mut grants = grants.clone();
        // They may be secrets, and no worker looks at them to know whether it may make the run.
        grants.env.values_mut().for_each(String::clear);
        let resources = resources.iter().filter(|(_, amount)| **amount > 0.0);
        Self {
            labels: labels.clone(),
            resources: resources.map(|(name, amount)| (name.clone(), *amount)).collect(),
            grants,
            limits: limits.clone(),
            has_effects,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> ClassId {
        let digest = Digest::of(&crate::frame::encode(self)).to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        ClassId(hex.chars().take(16).collect())
    }
}

/// A class that was told of, or is no longer.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassNews {
    /// There is this class.
    Known(ClassId, Box<Class>),
    /// Nobody has told of it for long.
    Gone(ClassId),
}

/// How the queue of a class stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassState {
    /// Items that no worker was given yet.
    pub waiting: u64,
    /// Items that workers were given and have not acknowledged.
    pub taken: usize,
}

impl Engine {
    /// Has workers told of a class, and makes its consumer where there is none.
    ///
    /// # Errors
    /// When the engine does not answer, or a consumer is there and set up otherwise.
    pub async fn tell_class(&self, class: &Class) -> Result<ClassId, EngineError> {
        let id = class.id();
        let store = self.known(self.layout().classes()).await?;
        let put = store.put(id.as_str(), crate::frame::encode(class));
        self.bounded("telling of a class", put).await?;
        let bounds = &self.config().bounds;
        let wanted = pull::Config {
            durable_name: Some(id.0.clone()),
            filter_subject: self.layout().work_subject(&id),
            ack_policy: AckPolicy::Explicit,
            ack_wait: bounds.ack_wait,
            max_deliver: bounds.max_deliver,
            max_ack_pending: MAX_ACK_PENDING,
            inactive_threshold: CLASS_AGE,
            ..pull::Config::default()
        };
        let stream = self.work().await?;
        let name = id.0.clone();
        let made = stream.get_or_create_consumer(&name, wanted.clone());
        let made = self.bounded("making a consumer", made).await?;
        let found = &made.cached_info().config;
        let mut differences = Vec::new();
        same(&mut differences, "filter_subject", &found.filter_subject, &wanted.filter_subject);
        same(&mut differences, "ack_policy", &found.ack_policy, &wanted.ack_policy);
        same(&mut differences, "ack_wait", &found.ack_wait, &wanted.ack_wait);
        same(&mut differences, "max_deliver", &found.max_deliver, &wanted.max_deliver);
        same(&mut differences, "max_ack_pending", &found.max_ack_pending, &wanted.max_ack_pending);
        let age = (&found.inactive_threshold, &wanted.inactive_threshold);
        same(&mut differences, "inactive_threshold", age.0, age.1);
        compare(format!("the consumer {id}"), &differences)?;
        Ok(id)
    }

    /// How the queue of a class stands.
    ///
    /// # Errors
    /// When the engine does not answer or has no such consumer.
    pub async fn class_state(&self, class: &ClassId) -> Result<ClassState, EngineError> {
        let stream = self.work().await?;
        let info = stream.consumer_info(class.as_str());
        let info = self.answered("looking at a consumer", info).await?;
        let info = info.map_err(|error| consumer_missing(class.as_str(), &error))?;
        Ok(ClassState { waiting: info.num_pending, taken: info.num_ack_pending })
    }

    /// The classes that have items, waiting or taken.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn busy_classes(&self) -> Result<HashSet<ClassId>, EngineError> {
        const WHAT: &str = "looking at the queues";
        let stream = self.work().await?;
        let all = self.layout().work_subject(&ClassId("*".to_owned()));
        let prefix = all.trim_end_matches('*');
        let mut found = self.bounded(WHAT, stream.info_with_subjects(&all)).await?;
        let mut busy = HashSet::new();
        while busy.len() < MAX_BUSY {
            let Some(next) = self.answered(WHAT, found.next()).await? else { break };
            let (subject, _) = next.map_err(|error| EngineError::failed(WHAT, error))?;
            busy.extend(subject.strip_prefix(prefix).map(|id| ClassId(id.to_owned())));
        }
        Ok(busy)
    }

    /// All classes that are known now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn classes(&self) -> Result<Vec<(ClassId, Class)>, EngineError> {
        let store = self.known(self.layout().classes()).await?;
        let mut keys = self.bounded("listing classes", store.keys()).await?;
        let mut classes = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| EngineError::failed("listing classes", error))?;
            if classes.len() >= MAX_CLASSES {
                break;
            }
            let value = self.bounded("reading a class", store.get(key.clone())).await?;
            if let Some(class) = value.and_then(|bytes| rmp_serde::from_slice(&bytes).ok()) {
                classes.push((ClassId(key), class));
            }
        }
        Ok(classes)
    }

    /// Tells `news` of all classes that are known, and of those to come, until nobody listens or
    /// the engine does not tell any more; then it has to be called again.
    ///
    /// # Errors
    /// Why it does not tell any more.
    pub async fn watch_classes(
        &self,
        news: &tokio::sync::mpsc::Sender<ClassNews>,
    ) -> Result<(), EngineError> {
        let store = self.known(self.layout().classes()).await?;
        let watch = store.watch_with_history(">");
        let mut watch = self.bounded("watching classes", watch).await?;
        while let Some(entry) = watch.next().await {
            let entry = entry.map_err(|error| EngineError::failed("watching classes", error))?;
            let id = ClassId(entry.key);
            let told = match entry.operation {
                kv::Operation::Put => match rmp_serde::from_slice::<Class>(&entry.value) {
                    // Whoever may write there may name anything; what is run is what an item says.
                    Ok(class) if class.id() == id => ClassNews::Known(id, Box::new(class)),
                    _ => continue,
                },
                _ => ClassNews::Gone(id),
            };
            if news.send(told).await.is_err() {
                return Ok(());
            }
        }
        Err(EngineError::failed("watching classes", "the engine tells no more"))
    }
}
