//! One entry of the compile cache: machine code and what is known of its component, sealed with a
//! key, so that nothing else than what this user's own process wrote is ever run. Where entries
//! are kept is in `compile_cache`.

use sandmill_core::{ComponentInfo, TaskDescriptor};
use serde::{Deserialize, Serialize};

/// First bytes of an entry. The number changes with the format.
const MAGIC: &[u8; 8] = b"sandmil2";
const MAC_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + MAC_BYTES + 8;
/// Bytes of an entry that are read.
pub(crate) const MAX_ENTRY_BYTES: u64 = 1 << 30;

/// Names an entry, and goes into its seal: an entry under another's name does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryName([u8; 32]);

impl EntryName {
    /// The name of what `component` becomes for an engine with this hash.
    pub(crate) fn new(component: &sandmill_wire::Digest, engine: &blake3::Hash) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("sandmill 2026-01 compile cache name v1");
        hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(b"\0");
        hasher.update(component.as_bytes()).update(engine.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    pub(crate) fn file_name(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// Why bytes are not an entry that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("it is damaged, or was not written by this user's host")]
    Seal,
    #[error("it holds something else than it should")]
    Content,
}

/// Machine code and what is known of its component.
pub(crate) struct Entry<'a> {
    pub(crate) info: ComponentInfo,
    pub(crate) code: &'a [u8],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    tasks: Vec<Task>,
    imports: Vec<String>,
    flows: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Task {
    name: String,
    doc: Option<String>,
    parameters: String,
    result: String,
}

fn mac(key: &[u8; 32], name: &EntryName, content: &[u8]) -> blake3::Hash {
    blake3::Hasher::new_keyed(key).update(MAGIC).update(&name.0).update(content).finalize()
}

/// Puts an entry together.
pub(crate) fn seal(
    key: &[u8; 32],
    name: &EntryName,
    info: &ComponentInfo,
    code: &[u8],
) -> serde_json::Result<Vec<u8>> {
    let tasks = info.tasks.iter().map(|task| Task {
        name: task.name.clone(),
        doc: task.doc.clone(),
        parameters: task.parameters.clone(),
        result: task.result.clone(),
    });
    let (imports, flows) = (info.imports.clone(), info.flows.clone());
    let info = Info { tasks: tasks.collect(), imports, flows };
    let info = serde_json::to_vec(&info)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + info.len() + code.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[0; MAC_BYTES]);
    bytes.extend_from_slice(&(info.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&info);
    bytes.extend_from_slice(code);
    let content = MAGIC.len() + MAC_BYTES;
    let mac = mac(key, name, &bytes[content..]);
    bytes[MAGIC.len()..content].copy_from_slice(mac.as_bytes());
    Ok(bytes)
}

/// Opens an entry; every byte of it is checked first.
pub(crate) fn open<'a>(
    key: &[u8; 32],
    name: &EntryName,
    bytes: &'a [u8],
) -> Result<Entry<'a>, EntryError> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(EntryError::Seal)?;
    let (seal, content) = rest.split_first_chunk::<MAC_BYTES>().ok_or(EntryError::Seal)?;
    // Comparing two hashes takes the same time wherever they differ.
    if magic != MAGIC || mac(key, name, content) != blake3::Hash::from_bytes(*seal) {
        return Err(EntryError::Seal);
    }
    let (length, rest) = content.split_first_chunk::<8>().ok_or(EntryError::Content)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| EntryError::Content)?;
    let (info, code) = rest.split_at_checked(length).ok_or(EntryError::Content)?;
    let info: Info = serde_json::from_slice(info).map_err(|_| EntryError::Content)?;
    let tasks = info.tasks.into_iter().map(|task| TaskDescriptor {
        name: task.name,
        doc: task.doc,
        parameters: task.parameters,
        result: task.result,
    });
    let info = ComponentInfo { tasks: tasks.collect(), imports: info.imports, flows: info.flows };
    Ok(Entry { info, code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_opens_only_whole_with_its_key_and_its_name() {
        let (key, hash) = ([7; 32], blake3::hash(b"engine"));
        let name = EntryName::new(&sandmill_wire::Digest::of(b"a"), &hash);
        let info = ComponentInfo {
            tasks: vec![TaskDescriptor {
                name: "t".to_owned(),
                doc: Some("d".to_owned()),
                parameters: "{}".to_owned(),
                result: "true".to_owned(),
            }],
            imports: vec!["wasi:io/poll@0.2.0".to_owned()],
            flows: vec!["t".to_owned()],
        };
        let sealed = seal(&key, &name, &info, b"machine code").unwrap();
        let opened = open(&key, &name, &sealed).unwrap();
        assert_eq!((opened.info, opened.code), (info, &b"machine code"[..]));

        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[index] ^= 1 << bit;
                assert_eq!(open(&key, &name, &flipped).err(), Some(EntryError::Seal));
            }
            assert!(open(&key, &name, &sealed[..index]).is_err());
        }
        assert!(open(&[8; 32], &name, &sealed).is_err());
        let other = EntryName::new(&sandmill_wire::Digest::of(b"b"), &hash);
        assert!(open(&key, &other, &sealed).is_err());
        let longer = [&sealed[..], b"x"].concat();
        assert!(open(&key, &name, &longer).is_err());
    }
}
