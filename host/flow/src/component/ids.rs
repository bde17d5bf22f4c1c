//! Ids of a flow component's runs: known before a run is called, and the same whenever its flow is
//! taken up again.

use sandmill_wire::RunId;

/// Sets these ids apart from every other use of the hash.
const CONTEXT: &str = "sandmill 2026-11 ids of the runs of a flow component v1";

/// The id of one of a flow's runs: a UUIDv7 with the time of the flow's own, and for the rest a
/// hash of the flow's id, the command and the position.
pub(super) fn run_id(flow: RunId, command: u32, index: Option<u64>) -> RunId {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(flow.as_uuid().as_bytes());
    hasher.update(&command.to_le_bytes());
    if let Some(index) = index {
        hasher.update(&index.to_le_bytes());
    }
    let mut bytes = *flow.as_uuid().as_bytes();
    bytes[6..].copy_from_slice(&hasher.finalize().as_bytes()[..10]);
    // Version 7 and the variant of RFC 9562.
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    RunId::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_of_version_7_with_the_time_of_their_flow() {
        let (flow, other) = (RunId::new(), RunId::new());
        let mut seen = HashSet::new();
        for flow in [flow, other] {
            for command in 0..10 {
                for index in std::iter::once(None).chain((0..100).map(Some)) {
                    let id = run_id(flow, command, index);
                    assert_eq!(id, run_id(flow, command, index));
                    assert_eq!(id.as_uuid().get_version_num(), 7);
                    assert_eq!(id.as_uuid().as_bytes()[..6], flow.as_uuid().as_bytes()[..6]);
                    assert!(seen.insert(id));
                }
            }
        }
    }
}
