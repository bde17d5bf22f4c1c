//! What names a result in the cache. Where results are kept is in `cache`.

use std::fmt;
use std::sync::Arc;

use sandmill_core::Call;
use sandmill_wire::{Digest, Value};

/// What a result depends on besides component, task and arguments: how this host runs guests. It
/// changes with every part of that which can change a result: canonical NaNs and deterministic
/// relaxed SIMD (the engine's configuration), the random streams that follow from a call, the
/// virtual clock, what a guest finds of the system when nothing is granted, the contract with the
/// guest. A new version of the engine changes it only when results are no longer the same bytes.
///
/// Limits are no part of it: a guest that is denied memory, table elements, handles, stack or time
/// ends there and then, so a run that returned a value never saw its limits.
pub const DETERMINISM_PROFILE: &str = "nan=canonical; relaxed-simd=deterministic; \
     random=of-call-v1; clock=virtual-2026-01-01; system=hermetic-v1; contract=sandmill:task@0.1";

/// Sets these digests apart from every other use of the hash. It changes when what goes in does.
const KEY_CONTEXT: &str = "sandmill 2026-11 key of a cached result v1";

/// The BLAKE3 digest of everything that names a result.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What names a result, part by part.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheKey {
    component: Digest,
    task: Arc<str>,
    arguments: Value,
    arguments_digest: KeyDigest,
    user_key: Option<Arc<str>>,
    profile: Arc<str>,
}

impl CacheKey {
    /// The key of a call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let policy = call.options.cache.as_ref();
        let user_key = policy.and_then(|policy| policy.key.clone());
        Self::new(call.component.digest(), Arc::clone(&call.task), &call.arguments, user_key)
    }

    /// The key of a call of this task with these arguments, and this key of its author's own.
    #[must_use]
    pub fn new(
        component: Digest,
        task: impl Into<Arc<str>>,
        arguments: &Value,
        user_key: Option<Arc<str>>,
    ) -> Self {
        let arguments = arguments.canonical();
        let arguments_digest = KeyDigest(*blake3::hash(arguments.as_bytes()).as_bytes());
        let profile = DETERMINISM_PROFILE.into();
        Self { component, task: task.into(), arguments, arguments_digest, user_key, profile }
    }

    /// The same key as another host would make it, one that runs guests in another way.
    #[must_use]
    pub fn with_profile(self, profile: impl Into<Arc<str>>) -> Self {
        Self { profile: profile.into(), ..self }
    }

    /// The digest of all parts.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        let mut hasher = blake3::Hasher::new_derive_key(KEY_CONTEXT);
        // Every part has a fixed length or says its own, so no two keys run into the same bytes.
        hasher.update(self.component.as_bytes());
        let mut text = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.task);
        text(&self.profile);
        match &self.user_key {
            Some(key) => {
                text("key");
                text(key);
            }
            None => text("pure"),
        }
        hasher.update(&self.arguments_digest.0);
        KeyDigest(*hasher.finalize().as_bytes())
    }

    /// The component's digest.
    #[must_use]
    pub const fn component(&self) -> Digest {
        self.component
    }

    /// The task's name.
    #[must_use]
    pub const fn task(&self) -> &Arc<str> {
        &self.task
    }

    /// The arguments in canonical form.
    #[must_use]
    pub const fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// BLAKE3 of the arguments in canonical form.
    #[must_use]
    pub const fn arguments_digest(&self) -> KeyDigest {
        self.arguments_digest
    }

    /// The author's own part.
    #[must_use]
    pub const fn user_key(&self) -> Option<&Arc<str>> {
        self.user_key.as_ref()
    }

    /// How guests are run (see [`DETERMINISM_PROFILE`]).
    #[must_use]
    pub const fn profile(&self) -> &Arc<str> {
        &self.profile
    }
}
