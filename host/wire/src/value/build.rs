//! Putting values together by copying their bytes: argument maps and arrays. Nothing is decoded.

use bytes::Bytes;
use smallvec::SmallVec;

use super::bounds::{Bounds, Shape};
use super::error::ValueError;
use super::handle::Value;
use super::keys::{Keys, MapKey, refuse_duplicates};
use super::writer;

/// Gathers entries, then writes them as one map with a single allocation.
///
/// ```
/// # use sandmill_wire::value::{MapBuilder, Value};
/// let width = Value::encode(&200)?;
/// let map = MapBuilder::new().push("width", &width).finish()?;
/// assert_eq!(map.get("width"), Some(width));
/// # Ok::<(), sandmill_wire::value::ValueError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct MapBuilder<'a> {
    entries: SmallVec<[(Key<'a>, Value); 4]>,
    bounds: Bounds,
}

#[derive(Debug, Clone)]
enum Key<'a> {
    Name(&'a str),
    Encoded(Value),
}

impl<'a> MapBuilder<'a> {
    /// An empty map, to be kept within the default [`Bounds`].
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty map, to be kept within the given limits.
    pub fn within(bounds: Bounds) -> Self {
        Self { entries: SmallVec::new(), bounds }
    }

    /// Adds an entry at the end.
    pub fn push(&mut self, name: &'a str, value: &Value) -> &mut Self {
        self.entries.push((Key::Name(name), value.clone()));
        self
    }

    /// Adds an entry whose key may be any value.
    pub fn push_entry(&mut self, key: &Value, value: &Value) -> &mut Self {
        self.entries.push((Key::Encoded(key.clone()), value.clone()));
        self
    }

    /// Writes the map.
    ///
    /// # Errors
    /// If a key comes twice or is a key within a key, or the map breaks a limit.
    pub fn finish(&self) -> Result<Value, ValueError> {
        let mut keys: Keys<'_> = SmallVec::with_capacity(self.entries.len());
        for (key, _) in &self.entries {
            keys.push(match key {
                Key::Name(name) => MapKey::name(name),
                Key::Encoded(value) => MapKey::read(value.as_bytes())?,
            });
        }
        refuse_duplicates(&mut keys, 0)?;
        let mut sum = Sum::new(self.entries.len());
        for (key, value) in &self.entries {
            match key {
                Key::Name(name) => sum.name(name),
                Key::Encoded(key) => sum.value(key),
            }
            sum.value(value);
        }
        let shape = sum.admit(&self.bounds, || {
            self.entries.iter().flat_map(|(key, value)| match key {
                Key::Name(_) => [value, value],
                Key::Encoded(key) => [key, value],
            })
        })?;
        let mut out = Vec::with_capacity(sum.size);
        writer::put_map_header(&mut out, self.entries.len());
        for (key, value) in &self.entries {
            match key {
                Key::Name(name) => writer::put_str(&mut out, name.as_bytes()),
                Key::Encoded(key) => out.extend_from_slice(key.as_bytes()),
            }
            out.extend_from_slice(value.as_bytes());
        }
        Ok(Value::trusted(Bytes::from(out), shape))
    }
}

impl Value {
    /// A map of the given entries, in their order, within the default [`Bounds`].
    ///
    /// # Errors
    /// If a name comes twice or the map breaks a limit.
    pub fn map_from<'a>(
        entries: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Result<Self, ValueError> {
        // Like `MapBuilder::finish`, but nothing is cloned.
        let entries: SmallVec<[(&str, &Self); 8]> = entries.into_iter().collect();
        distinct(entries.iter().map(|(name, _)| *name))?;
        let mut sum = Sum::new(entries.len());
        for (name, value) in &entries {
            sum.name(name);
            sum.value(value);
        }
        let shape = sum.admit(&Bounds::DEFAULT, || entries.iter().map(|(_, value)| *value))?;
        let mut out = Vec::with_capacity(sum.size);
        writer::put_map_header(&mut out, entries.len());
        for (name, value) in &entries {
            writer::put_str(&mut out, name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        Ok(Self::trusted(Bytes::from(out), shape))
    }

    /// A map of the given entries, whose keys may be any values, within the default [`Bounds`].
    ///
    /// # Errors
    /// If a key comes twice or is a key within a key, or the map breaks a limit.
    pub fn map_from_entries(entries: &[(Self, Self)]) -> Result<Self, ValueError> {
        let mut map = MapBuilder::new();
        for (key, value) in entries {
            map.push_entry(key, value);
        }
        map.finish()
    }

    /// An array of the given elements, within the default [`Bounds`].
    ///
    /// # Errors
    /// If the array breaks a limit.
    pub fn array_from<'a, I>(elements: I) -> Result<Self, ValueError>
    where
        I: IntoIterator<Item = &'a Self>,
        I::IntoIter: Clone,
    {
        Self::array_within(elements, &Bounds::DEFAULT)
    }

    /// Like [`array_from`](Self::array_from), with other limits.
    ///
    /// # Errors
    /// The same.
    pub fn array_within<'a, I>(elements: I, bounds: &Bounds) -> Result<Self, ValueError>
    where
        I: IntoIterator<Item = &'a Self>,
        I::IntoIter: Clone,
    {
        let elements = elements.into_iter();
        let mut sum = Sum::new(0);
        let mut count = 0;
        for element in elements.clone() {
            sum.value(element);
            count += 1;
        }
        sum.size += writer::container_header_len(count) - writer::container_header_len(0);
        let shape = sum.admit(bounds, || elements.clone())?;
        let mut out = Vec::with_capacity(sum.size);
        writer::put_array_header(&mut out, count);
        for element in elements {
            out.extend_from_slice(element.as_bytes());
        }
        Ok(Self::trusted(Bytes::from(out), shape))
    }
}

/// Adds up what a container of given parts will be, before it is written.
pub(crate) struct Sum {
    pub(crate) size: usize,
    pub(crate) shape: Shape,
}

impl Sum {
    /// A container with `count` elements or entries, and none of them added yet.
    pub(crate) fn new(count: usize) -> Self {
        let shape = Shape { depth: 1, nodes: 1 };
        Self { size: writer::container_header_len(count), shape }
    }

    pub(crate) fn name(&mut self, name: &str) {
        self.size = self.size.saturating_add(writer::str_header_len(name.len()) + name.len());
        self.shape.nodes += 1;
    }

    pub(crate) fn value(&mut self, value: &Value) {
        self.size = self.size.saturating_add(value.len_bytes());
        self.shape.nodes = self.shape.nodes.saturating_add(value.shape().nodes);
        self.shape.depth = self.shape.depth.max(value.shape().depth + 1);
    }

    /// Holds the sum against the limits. The parts' depths may be guessed too high; they are
    /// measured only when the guess would refuse the whole.
    pub(crate) fn admit<'a, I: Iterator<Item = &'a Value>>(
        &self,
        bounds: &Bounds,
        parts: impl FnOnce() -> I,
    ) -> Result<Shape, ValueError> {
        let mut shape = self.shape;
        if shape.depth > bounds.depth() {
            shape.depth = 1 + parts().map(|part| part.exact_shape().depth).max().unwrap_or(0);
        }
        bounds.admit(self.size, shape)?;
        Ok(shape)
    }
}

/// Refuses a name that comes twice.
pub(crate) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), ValueError> {
    let mut keys: Keys<'a> = names.map(MapKey::name).collect();
    refuse_duplicates(&mut keys, 0)
}
