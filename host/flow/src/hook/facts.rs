//! What a hook is told of its flow.

use std::sync::Arc;

use sandmill_core::State;
use sandmill_wire::value::ValueError;
use sandmill_wire::{RunId, Value};

/// Most bytes of a state's message that a hook is told: 8 KiB, far below what systems allow for
/// one variable of the environment.
pub const MAX_HOOK_MESSAGE: usize = 8 << 10;

/// What a hook is told of its flow.
pub(crate) struct Facts {
    pub(crate) flow: Arc<str>,
    pub(crate) run: RunId,
    pub(crate) state: State,
}

impl Facts {
    fn message(&self) -> &str {
        let message = self.state.message.as_deref().unwrap_or_default();
        &message[..message.floor_char_boundary(MAX_HOOK_MESSAGE)]
    }

    /// As variables of the environment. None of them has a zero byte in it, which no variable can.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        let plain = |text: &str| text.replace('\0', "\u{fffd}");
        [
            ("SANDMILL_RUN_ID", self.run.to_string()),
            ("SANDMILL_FLOW", plain(&self.flow)),
            ("SANDMILL_STATE", self.state.kind.name().to_owned()),
            ("SANDMILL_STATE_NAME", plain(&self.state.name)),
            ("SANDMILL_MESSAGE", plain(self.message())),
        ]
    }

    /// As one JSON object: `name`, `run`, `state`, `state_name`, `message`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": &*self.flow,
            "run": self.run.to_string(),
            "state": self.state.kind.name(),
            "state_name": &*self.state.name,
            "message": self.state.message.as_ref().map(|_| self.message()),
        })
    }

    /// The same object as a task gets it.
    pub(crate) fn value(&self) -> Result<Value, ValueError> {
        Value::encode(&self.json())
    }
}
