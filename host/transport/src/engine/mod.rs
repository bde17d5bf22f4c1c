//! The engine: a NATS server with JetStream that carries runs between coordinators and workers who
//! do not know of each other. It is never the record: whatever it loses, repeats or reorders is made
//! good by whoever ordered. Who publishes what and when is for the executors.

mod blobs;
mod class;
mod config;
mod connect;
mod error;
mod item;
mod layout;
mod limits;
mod login;
mod out;
mod presence;
mod words;

pub use blobs::ValueName;
pub use class::{Class, ClassId, ClassNews, ClassState};
pub use config::{Credentials, EngineBounds, EngineConfig, EngineTls};
pub use connect::{Engine, EngineLink};
pub use error::EngineError;
pub use item::{Item, ItemQueue, ItemState, Published, Pulled, SpentItems};
pub use layout::Incarnation;
pub use limits::*;
pub use out::{OutReader, OutSaid};
pub use presence::{Beat, Presence};
pub use words::{Said, ToSession, Words};
