//! Arbitrary MessagePack for the property tests: models by rmpv, in rmpv's encoding or in one
//! that takes needlessly wide forms.

use proptest::collection::vec;
use proptest::prelude::*;
use rmpv::Value as Model;
use sandmill_wire::value::Value;

/// A model and choices of width for [`wide`].
pub(crate) fn model_and_widths() -> impl Strategy<Value = (Model, Vec<u8>)> {
    (model(), vec(any::<u8>(), 1..40))
}

/// A model without a map that has a key twice.
pub(crate) fn model() -> impl Strategy<Value = Model> {
    scalar().prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Model::Array),
            vec((any::<String>().prop_map(Model::from), inner.clone()), 0..8).prop_map(distinct),
            vec((key(), inner), 0..20).prop_map(distinct),
        ]
    })
}

/// Also containers, one level of them.
fn key() -> impl Strategy<Value = Model> {
    prop_oneof![
        4 => scalar(),
        2 => prop::sample::select(vec!["$int", "$float", "$bytes", "$ext", "$map", "$other"])
            .prop_map(Model::from),
        1 => vec(scalar(), 0..3).prop_map(Model::Array),
        1 => vec((scalar(), scalar()), 0..3).prop_map(distinct),
    ]
}

fn scalar() -> impl Strategy<Value = Model> {
    prop_oneof![
        Just(Model::Nil),
        any::<bool>().prop_map(Model::from),
        (-40_i64..300).prop_map(Model::from),
        any::<i64>().prop_map(Model::from),
        any::<u64>().prop_map(Model::from),
        (0_u32..64, any::<bool>()).prop_map(|(shift, minus)| {
            let edge = 1_u64 << shift;
            if minus { Model::from(0_i64.wrapping_sub_unsigned(edge)) } else { Model::from(edge) }
        }),
        any::<u32>().prop_map(|bits| Model::F32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Model::F64(f64::from_bits(bits))),
        any::<f32>().prop_map(|narrow| Model::F64(f64::from(narrow))),
        prop::sample::select(vec![0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, -f64::INFINITY, 1e300])
            .prop_map(Model::F64),
        any::<String>().prop_map(Model::from),
        "[a-z]{0,40}".prop_map(Model::from),
        vec(any::<u8>(), 0..40).prop_map(Model::Binary),
        (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Model::Ext(kind, data)),
    ]
}

/// Keeps the first entry of each key, by what the key means.
fn distinct(entries: Vec<(Model, Model)>) -> Model {
    let mut seen = std::collections::HashSet::new();
    let kept = entries.into_iter().filter(|(key, _)| {
        let key = Value::from_msgpack(encoded(key)).expect("a key is a value");
        seen.insert(key.canonical())
    });
    Model::Map(kept.collect())
}

/// rmpv's own encoding.
pub(crate) fn encoded(model: &Model) -> Vec<u8> {
    let mut out = Vec::new();
    rmpv::encode::write_value(&mut out, model).expect("a Vec takes all");
    out
}

/// An encoding whose headers and integers are as wide as `widths` say, used over and over.
pub(crate) fn wide(model: &Model, widths: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Wide { out: &mut out, widths: widths.iter().copied().cycle() }.put(model);
    out
}

struct Wide<'a, I> {
    out: &'a mut Vec<u8>,
    widths: I,
}

impl<I: Iterator<Item = u8>> Wide<'_, I> {
    fn width(&mut self) -> u8 {
        self.widths.next().unwrap_or(0) % 4
    }

    /// A header with one of the markers for lengths of 8, 16 and 32 bits.
    fn header(&mut self, len: usize, markers: [Option<u8>; 3]) {
        let len = u32::try_from(len).expect("tests are small");
        let wide = self.width();
        match (wide, markers) {
            (0, [Some(marker), ..]) if len < 256 => self.out.extend([marker, len as u8]),
            (1, [_, Some(marker), _]) if len < 65_536 => {
                self.out.push(marker);
                self.out.extend((len as u16).to_be_bytes());
            }
            (_, [.., marker]) => {
                self.out.push(marker.expect("all have a form with 32 bits"));
                self.out.extend(len.to_be_bytes());
            }
        }
    }

    fn put(&mut self, model: &Model) {
        match model {
            Model::Integer(number) => {
                if let (Some(value), 0..=2) = (number.as_u64(), self.width()) {
                    self.out.push(0xcf);
                    self.out.extend(value.to_be_bytes());
                } else if let Some(value) = number.as_i64() {
                    self.out.push(0xd3);
                    self.out.extend(value.to_be_bytes());
                } else {
                    self.out.extend(encoded(model));
                }
            }
            Model::F32(value) if !value.is_nan() && self.width() == 0 => {
                self.out.push(0xcb);
                self.out.extend(f64::from(*value).to_be_bytes());
            }
            Model::String(text) => {
                let text = text.as_bytes();
                self.header(text.len(), [Some(0xd9), Some(0xda), Some(0xdb)]);
                self.out.extend(text);
            }
            Model::Binary(content) => {
                self.header(content.len(), [Some(0xc4), Some(0xc5), Some(0xc6)]);
                self.out.extend(content);
            }
            Model::Ext(kind, content) => {
                self.header(content.len(), [Some(0xc7), Some(0xc8), Some(0xc9)]);
                self.out.extend(kind.to_be_bytes());
                self.out.extend(content);
            }
            Model::Array(elements) => {
                self.header(elements.len(), [None, Some(0xdc), Some(0xdd)]);
                elements.iter().for_each(|element| self.put(element));
            }
            Model::Map(entries) => {
                self.header(entries.len(), [None, Some(0xde), Some(0xdf)]);
                // Another order, too: it means nothing.
                for (key, value) in entries.iter().rev() {
                    self.put(key);
                    self.put(value);
                }
            }
            other => self.out.extend(encoded(other)),
        }
    }
}
