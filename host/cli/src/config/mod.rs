//! The configuration: which keys there are, the layers that set them, and what comes of it.

mod effective;
mod engine;
mod environment;
mod exclusive;
mod file;
mod form;
mod hosts;
mod key;
mod layers;
mod remote;

pub(crate) use effective::{Config, ExecutorKind, IsolationChoice, LogChoice};
pub(crate) use engine::EngineSettings;
pub(crate) use form::Form;
pub(crate) use key::{Key, Setting, keys};
pub(crate) use layers::{Layers, Origin};
pub(crate) use remote::{Credentials, RemoteConfig, WorkerConfig};
