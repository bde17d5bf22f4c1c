//! Puts items into the engine, with all that has to be there before: the queue of the class, the
//! component, large arguments. However long that takes: an engine that is away comes back, and one
//! that is full has room again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandmill_core::Component;
use sandmill_transport::engine::{Class, ClassId, Engine, EngineError, Item, Published, ValueName};
use sandmill_wire::Digest;
use tokio::sync::Mutex;
use uuid::Uuid;

/// The wait before something is tried again, at first.
const TRY_LEAST: Duration = Duration::from_millis(20);
/// The longest such wait.
const TRY_MOST: Duration = Duration::from_secs(1);

/// Puts items into an engine.
pub(super) struct Courier {
    pub(super) engine: Engine,
    pub(super) session: Uuid,
    /// What is in the engine, as far as is known.
    known: Mutex<Known>,
    /// Why it takes so long, where it does.
    pub(super) trouble: parking_lot::Mutex<Option<String>>,
}

#[derive(Default)]
struct Known {
    classes: HashSet<ClassId>,
    components: HashSet<Digest>,
}

/// What is to be put there.
pub(super) struct Parcel {
    pub(super) id: String,
    pub(super) class: Arc<Class>,
    pub(super) components: Vec<Component>,
    pub(super) values: Vec<(Digest, Bytes)>,
    pub(super) item: Item,
}

impl Courier {
    pub(super) fn new(engine: Engine, session: Uuid) -> Arc<Self> {
        Arc::new(Self {
            engine,
            session,
            known: Mutex::default(),
            trouble: parking_lot::Mutex::default(),
        })
    }

    /// Puts a parcel there.
    ///
    /// # Errors
    /// Why that will not be possible.
    pub(super) async fn deliver(&self, parcel: Parcel) -> Result<Published, EngineError> {
        let mut pause = TRY_LEAST;
        loop {
            match self.try_to(&parcel).await {
                Ok(published) => {
                    self.trouble.lock().take();
                    return Ok(published);
                }
                Err(error) if error.is_passing() => {
                    *self.trouble.lock() = Some(error.to_string());
                    if matches!(error, EngineError::Missing(_)) {
                        // It was removed: whoever sees it first makes it anew.
                        self.forget().await;
                        let _ = self.engine.ensure().await;
                    }
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(TRY_MOST);
        }
    }

    async fn try_to(&self, parcel: &Parcel) -> Result<Published, EngineError> {
        let class = {
            let mut known = self.known.lock().await;
            let class = parcel.class.id();
            if !known.classes.contains(&class) {
                self.engine.tell_class(&parcel.class).await?;
                known.classes.insert(class.clone());
            }
            for component in &parcel.components {
                if !known.components.contains(&component.digest()) {
                    self.engine.put_component(component.digest(), component.bytes()).await?;
                    known.components.insert(component.digest());
                }
            }
            class
        };
        for (digest, bytes) in &parcel.values {
            let name = ValueName::Arguments(self.session, *digest);
            self.engine.put_value(name, bytes).await?;
        }
        self.engine.publish(&class, &parcel.id, &parcel.item).await
    }

    /// Brings a component that a worker does not find.
    pub(super) async fn component(&self, component: Component) {
        let brought = self.engine.put_component(component.digest(), component.bytes()).await;
        // Where it is not there then, the worker asks again.
        drop(brought);
    }

    /// Nothing is known to be there any more.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = Known::default();
    }

    /// Tells of the classes anew, so that they are not forgotten.
    pub(super) async fn refresh(&self) {
        self.known.lock().await.classes.clear();
    }
}
