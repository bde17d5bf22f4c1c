//! MessagePack values the host carries but never decodes: checked, sliced, spliced, put into
//! canonical form and turned to and from JSON, always by walking bytes. Run ids, failures and
//! outcomes are elsewhere in this crate.
//!
//! # What is checked
//! [`Value::from_msgpack`] accepts exactly one well-formed MessagePack value within [`Bounds`].
//! It is stricter than the format: no trailing bytes, strings are UTF-8, and no map has two
//! equal keys. Keys are equal when their canonical forms are, so `1` as `uint8` and `1` as
//! `uint64` clash, and `1` and `1.0` do not. An array or map used as a key must not itself hold
//! a map with an array or map as a key: that keeps the check linear, and no one writes such keys.
//!
//! # Canonical form
//! [`Value::canonical`] is for comparing and hashing by meaning (cache keys). Integers, strings,
//! binaries, extensions and containers take their shortest encoding; a float takes four bytes
//! where those hold exactly the same number, else eight; every NaN becomes the quiet
//! `ca 7f c0 00 00`; `-0.0` stays apart from `0.0`, and an integer from a float. Map entries are
//! sorted by the bytes of their canonical keys. The canonical form is never longer than the
//! original, and equal values have equal canonical bytes.
//!
//! # JSON form
//! | MessagePack | JSON | read back as |
//! |---|---|---|
//! | nil, booleans | `null`, `true`, `false` | the same |
//! | integer, magnitude up to 2^53 - 1 | `7` | the shortest integer |
//! | other integer | `{"$int":"18446744073709551615"}` | the shortest integer |
//! | finite float | `1.0`, `1e300`: always a fraction or an exponent | float 64 |
//! | infinities, the quiet NaN | `{"$float":"Infinity"}`, `"-Infinity"`, `"NaN"` | float 64 |
//! | any other NaN | `{"$float":"0x7ff8000000000001"}`: its 64 bits | float 64 |
//! | string | `"text"` | the shortest string |
//! | binary | `{"$bytes":"<base64>"}`: standard alphabet, padded | the shortest binary |
//! | extension | `{"$ext":[-1,"<base64>"]}` | the shortest extension |
//! | array | `[…]` | the shortest array |
//! | map with string keys | `{…}`, entries in the same order | the shortest map |
//! | any other map | `{"$map":[[key,value],…]}` | the shortest map |
//!
//! *Any other map* has a key that is not a string, or a key that is one of `$int`, `$float`,
//! `$bytes`, `$ext`, `$map`. In JSON input such a name must be its object's only key; other names
//! that begin with `$` are ordinary. No number is lost: a float 32 is widened, exactly, to a
//! float 64 (its width is not kept; the canonical forms are equal, save that a NaN's payload is
//! kept here and not there). On input, integer literals are read up to the ranges of `i64` and
//! `u64`, larger ones are errors, `-0` is the float, and an object that names a key twice is an
//! error.

mod bounds;
mod build;
mod canonical;
mod check;
mod compact;
mod embedded;
mod error;
mod handle;
mod json_read;
mod json_scan;
mod json_write;
mod keys;
mod kind;
mod path;
mod reader;
mod template;
mod typed;
mod walk;
mod writer;

pub use bounds::{Bounds, DEPTH_CEILING, MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use build::MapBuilder;
pub use compact::CompactValue;
pub use error::{JsonError, ValueError};
pub use handle::Value;
pub use kind::Kind;
pub use template::ArgumentTemplate;
pub use walk::{Elements, Entries};
