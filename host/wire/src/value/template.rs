//! [`ArgumentTemplate`]: the argument maps of a mapped task, alike but for a few values.

use bytes::Bytes;
use smallvec::SmallVec;

use super::bounds::{Bounds, Shape};
use super::build::{Sum, distinct};
use super::error::ValueError;
use super::handle::Value;
use super::writer;

/// An argument map whose fixed entries are written once; each call copies them and puts its own
/// values behind the varying names, with one allocation.
#[derive(Debug, Clone)]
pub struct ArgumentTemplate {
    /// The map's header and the fixed entries, then each varying name as an encoded string.
    written: Bytes,
    /// Where each varying name ends, in `written`.
    name_ends: SmallVec<[usize; 2]>,
    /// The map with its fixed entries and all its names, but no varying values.
    shape: Shape,
    /// The fixed values, in case their depth has to be measured.
    fixed: Box<[Value]>,
    bounds: Bounds,
}

impl ArgumentTemplate {
    /// A template with entries that stay and names that vary, in this order in each map, which
    /// is kept within the default [`Bounds`].
    ///
    /// # Errors
    /// If a name comes twice, or the fixed entries alone break a limit.
    pub fn new<'a>(
        fixed: impl IntoIterator<Item = (&'a str, &'a Value)>,
        varying: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ValueError> {
        Self::within(fixed, varying, Bounds::DEFAULT)
    }

    /// Like [`new`](Self::new), with other limits.
    ///
    /// # Errors
    /// The same.
    pub fn within<'a>(
        fixed: impl IntoIterator<Item = (&'a str, &'a Value)>,
        varying: impl IntoIterator<Item = &'a str>,
        bounds: Bounds,
    ) -> Result<Self, ValueError> {
        let fixed: Vec<(&str, &Value)> = fixed.into_iter().collect();
        let varying: Vec<&str> = varying.into_iter().collect();
        let names: Vec<&str> =
            fixed.iter().map(|(name, _)| *name).chain(varying.iter().copied()).collect();
        distinct(names.iter().copied())?;

        let mut sum = Sum::new(names.len());
        names.iter().for_each(|name| sum.name(name));
        fixed.iter().for_each(|(_, value)| sum.value(value));
        let shape = sum.admit(&bounds, || fixed.iter().map(|(_, value)| *value))?;

        let mut written = Vec::with_capacity(sum.size);
        writer::put_map_header(&mut written, names.len());
        for (name, value) in &fixed {
            writer::put_str(&mut written, name.as_bytes());
            written.extend_from_slice(value.as_bytes());
        }
        let mut name_ends = SmallVec::new();
        for name in &varying {
            writer::put_str(&mut written, name.as_bytes());
            name_ends.push(written.len());
        }
        let fixed = fixed.iter().map(|(_, value)| (*value).clone()).collect();
        Ok(Self { written: Bytes::from(written), name_ends, shape, fixed, bounds })
    }

    /// How many values [`render`](Self::render) takes.
    pub fn varying(&self) -> usize {
        self.name_ends.len()
    }

    /// The argument map with `values` behind the varying names, in the order of the names.
    ///
    /// # Errors
    /// If there are too few or too many values, or the map breaks a limit.
    pub fn render(&self, values: &[&Value]) -> Result<Value, ValueError> {
        if values.len() != self.name_ends.len() {
            return Err(ValueError::WrongCount {
                expected: self.name_ends.len(),
                found: values.len(),
            });
        }
        let mut sum = Sum { size: self.written.len(), shape: self.shape };
        values.iter().for_each(|value| sum.value(value));
        let shape = sum.admit(&self.bounds, || self.fixed.iter().chain(values.iter().copied()))?;

        let mut out = Vec::with_capacity(sum.size);
        let mut start = 0;
        for (value, end) in values.iter().zip(&self.name_ends) {
            out.extend_from_slice(self.written.get(start..*end).unwrap_or_default());
            out.extend_from_slice(value.as_bytes());
            start = *end;
        }
        out.extend_from_slice(self.written.get(start..).unwrap_or_default());
        Ok(Value::trusted(Bytes::from(out), shape))
    }
}
