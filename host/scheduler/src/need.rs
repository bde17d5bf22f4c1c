//! What the runs of one stage ask of a host. What a host has is in `event` and `host`.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use sandmill_core::{Access, CallOptions, Grants, Limits};
use sandmill_wire::Digest;

use crate::{ResourceError, Resources};

/// What the runs of one stage ask of a host. Shared by all of them, as an `Arc`; runs of equal
/// needs wait in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Labels that the host must carry, all of them.
    pub labels: BTreeSet<String>,
    /// Amounts that the host must have free for as long as the run is there.
    pub resources: Resources,
    /// What the run reaches: the host must allow it.
    pub grants: Grants,
    /// What the run uses: the host must allow it.
    pub limits: Limits,
    /// The component.
    pub component: Digest,
    /// The component's bytes.
    pub component_size: u64,
}

impl Need {
    /// What calls with these options ask for.
    ///
    /// # Errors
    /// [`ResourceError`] when an amount is no number of at least 0.
    pub fn of(
        component: Digest,
        component_size: u64,
        options: &CallOptions,
    ) -> Result<Self, ResourceError> {
        Ok(Self {
            labels: options.labels.clone(),
            resources: Resources::from_numbers(&options.resources)?,
            grants: options.grants.clone(),
            limits: options.limits.clone(),
            component,
            component_size,
        })
    }

    /// Whether such a run may change something outside of itself, so that it must not be made twice
    /// unasked: it reaches peers or servers, or may change a directory.
    #[must_use]
    pub fn has_effects_outside(&self) -> bool {
        let Grants { clock: _, random: _, env: _, dirs, net, http } = &self.grants;
        !net.is_empty()
            || !http.is_empty()
            || dirs.iter().any(|dir| dir.access == Access::ReadWrite)
    }
}

impl Hash for Need {
    /// By what mostly tells needs apart; grants and limits are compared only.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.component.hash(state);
        self.labels.hash(state);
        self.resources.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_what_others_could_see() {
        let with = |grants: Grants| {
            let options = CallOptions { grants, ..CallOptions::default() };
            Need::of(Digest::of(b"c"), 1, &options).unwrap().has_effects_outside()
        };
        let dir = |text: &str| vec![text.parse().unwrap()];
        assert!(!with(Grants::default()));
        assert!(!with(Grants {
            clock: true,
            random: true,
            env: [("A".to_owned(), "1".to_owned())].into(),
            dirs: dir("/data::/data"),
            ..Grants::default()
        }));
        assert!(with(Grants { dirs: dir("/data::/data:rw"), ..Grants::default() }));
        assert!(with(Grants { net: vec!["a:1".parse().unwrap()], ..Grants::default() }));
        assert!(with(Grants { http: vec!["a".parse().unwrap()], ..Grants::default() }));
    }
}
