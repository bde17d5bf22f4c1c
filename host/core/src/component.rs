//! A component: bytes with a name. What is in it is for the sandbox to find out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use sandmill_wire::Digest;

/// The bytes of a component, named by their digest. Cheap to clone.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    digest: Digest,
    bytes: Bytes,
    origin: String,
}

impl Component {
    /// Takes the bytes of a component. `origin` says where they came from (a path, a URL), for
    /// messages only. Whether they are a component is checked when one is prepared.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>, origin: impl Into<String>) -> Self {
        let bytes = bytes.into();
        Self(Arc::new(Inner { digest: Digest::of(&bytes), bytes, origin: origin.into() }))
    }

    /// The SHA-256 of the bytes: what names this component everywhere.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Where the bytes came from.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({} {})", self.0.origin, self.0.digest.short())
    }
}

/// What a component says of one of its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDescriptor {
    /// The name by which it is called.
    pub name: String,
    /// What it does; the first line is its summary.
    pub doc: Option<String>,
    /// JSON Schema of the argument map, as JSON text.
    pub parameters: String,
    /// JSON Schema of the result, as JSON text.
    pub result: String,
}

/// What can be known of a component before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Its tasks, in the order in which it lists them.
    pub tasks: Vec<TaskDescriptor>,
    /// The interfaces it imports, such as `wasi:random/random@0.2.6`.
    pub imports: Vec<String>,
    /// Which of its tasks are flows, by name, in the order of the component's word.
    pub flows: Vec<String>,
}

impl ComponentInfo {
    /// The task of that name.
    #[must_use]
    pub fn task(&self, name: &str) -> Option<&TaskDescriptor> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// Whether the task of that name is a flow.
    #[must_use]
    pub fn is_flow(&self, name: &str) -> bool {
        self.flows.iter().any(|flow| flow == name)
    }
}
