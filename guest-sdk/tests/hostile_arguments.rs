//! Whatever bytes a caller sends, a task answers with a failure, not a panic.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sandmill_guest::__rt::Task;
use sandmill_guest::{Bytes, Failure, task};

#[task]
fn many(
    a: Vec<Option<i16>>,
    #[default] b: BTreeMap<String, (u8, f32)>,
    c: Option<Bytes>,
    d: Option<Result<String, bool>>,
) -> usize {
    a.len() + b.len() + c.map_or(0, |c| c.len()) + usize::from(d.is_some())
}

/// Any MessagePack value a few levels deep, well formed.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        Just(vec![0xc0]),
        any::<bool>().prop_map(|value| vec![0xc2 | u8::from(value)]),
        any::<i64>().prop_map(|value| [&[0xd3][..], &value.to_be_bytes()].concat()),
        any::<u8>().prop_map(|value| vec![value & 0x7f]),
        any::<f64>().prop_map(|value| [&[0xcb][..], &value.to_be_bytes()].concat()),
        "[a-d]{0,3}".prop_map(|text| [&[0xd9, text.len() as u8], text.as_bytes()].concat()),
        any::<[u8; 3]>().prop_map(|data| [&[0xc4, 3][..], &data].concat()),
        any::<[u8; 5]>().prop_map(|data| [&[0xc7, 4][..], &data].concat()),
        any::<[u8; 17]>().prop_map(|data| [&[0xd8][..], &data].concat()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| [
                vec![0xdc, 0, items.len() as u8],
                items.concat()
            ]
            .concat()),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(|entries| {
                let body: Vec<u8> =
                    entries.iter().flat_map(|(k, v)| [&k[..], v].concat()).collect();
                [vec![0xde, 0, entries.len() as u8], body].concat()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Err(failure) = many::ENTRY.run(&bytes) {
            prop_assert_eq!(failure.kind(), Failure::INVALID_ARGUMENTS);
        }
    }

    #[test]
    fn any_values_are_taken_or_refused_and_cut_ones_refused(
        a in value(), b in value(), c in value(), d in value(), cut in any::<prop::sample::Index>(),
    ) {
        let bytes =
            [&[0x84, 0xa1, b'a'][..], &a, b"\xa1b", &b, b"\xa1c", &c, b"\xa1d", &d].concat();
        if let Err(failure) = many::ENTRY.run(&bytes) {
            prop_assert_eq!(failure.kind(), Failure::INVALID_ARGUMENTS);
            // Each value ended where it ends, so the only complaints are about types.
            for fault in failure.message().split("; ") {
                prop_assert!(fault.contains(" does not fit "), "{}", fault);
            }
        }
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(many::ENTRY.run(cut).is_err());
    }
}
