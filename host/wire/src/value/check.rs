//! The check every value from outside passes once: one iterative walk that holds the bytes
//! against the format, the bounds, UTF-8 and the rule that no map has a key twice.

use smallvec::SmallVec;

use super::bounds::{Bounds, Shape};
use super::error::ValueError;
use super::keys::{Keys, MapKey, refuse_duplicates};
use super::reader::{Token, token};

/// Entries up to which a map may take the short way.
const FLAT: usize = 8;

/// Checks that `bytes` are exactly one value within `bounds`, and says how large it is.
pub(crate) fn check(bytes: &[u8], bounds: &Bounds) -> Result<Shape, ValueError> {
    if bytes.len() > bounds.max_bytes {
        return Err(ValueError::TooLarge { size: bytes.len(), limit: bounds.max_bytes });
    }
    let (first, end) = token(bytes, 0)?;
    // Scalars and small flat maps, the commonest results and arguments, need none of the walk's
    // bookkeeping. Whatever is wrong with a map, the walk finds it again and says it.
    match first {
        Token::Map(count) => {
            if let Some(shape) = flat_map(bytes, end, count, bounds) {
                return Ok(shape);
            }
            return walk(bytes, bounds, false);
        }
        Token::Array(_) => return walk(bytes, bounds, false),
        _ => {}
    }
    if bounds.max_nodes == 0 {
        return Err(ValueError::TooManyNodes { offset: 0, limit: 0 });
    }
    utf8(first, 0)?;
    ended(bytes, end)?;
    Ok(Shape::SCALAR)
}

/// Accepts a map of at most [`FLAT`] scalars under distinct names, at the end of `bytes`.
fn flat_map(bytes: &[u8], mut at: usize, count: u32, bounds: &Bounds) -> Option<Shape> {
    let count = usize::try_from(count).ok().filter(|count| *count <= FLAT)?;
    let shape = Shape { depth: 1, nodes: 1 + 2 * count };
    if shape.nodes > bounds.max_nodes || bounds.depth() < shape.depth {
        return None;
    }
    let mut names: [&[u8]; FLAT] = [&[]; FLAT];
    for n in 0..count {
        let (name, value_at) = token(bytes, at).ok()?;
        let Token::Str(text) = name else { return None };
        utf8(name, at).ok()?;
        let (seen, rest) = names.split_at_mut_checked(n)?;
        if seen.contains(&text) {
            return None;
        }
        *rest.first_mut()? = text;
        let (value, next) = token(bytes, value_at).ok()?;
        if matches!(value, Token::Array(_) | Token::Map(_)) {
            return None;
        }
        utf8(value, value_at).ok()?;
        at = next;
    }
    (at == bytes.len()).then_some(shape)
}

/// Checks that a value, checked already, may be a map's key.
pub(crate) fn check_key(bytes: &[u8]) -> Result<(), ValueError> {
    let bounds = Bounds { max_bytes: usize::MAX, max_depth: usize::MAX, max_nodes: usize::MAX };
    walk(bytes, &bounds, true).map(|_| ())
}

/// A container whose children are being walked.
struct Frame {
    start: usize,
    /// Children still to come; in a map, an even number means that a key is next.
    left: u64,
    is_map: bool,
    /// This container is itself a key of the one around it.
    is_key: bool,
    /// How many keys were noted for the maps around this one.
    keys_before: usize,
}

impl Frame {
    fn expects_key(&self) -> bool {
        self.is_map && self.left.is_multiple_of(2)
    }
}

/// The walk proper. Its memory is the stack of open containers, which `max_depth` bounds, and
/// the keys of the open maps; both are inline for small values.
fn walk(bytes: &[u8], bounds: &Bounds, mut inside_key: bool) -> Result<Shape, ValueError> {
    let max_depth = bounds.depth();
    let mut frames: SmallVec<[Frame; 8]> = SmallVec::new();
    let mut keys: Keys<'_> = SmallVec::new();
    let mut shape = Shape { depth: 0, nodes: 0 };
    let mut at = 0;
    loop {
        let start = at;
        let (token, next) = token(bytes, at)?;
        at = next;
        shape.nodes += 1;
        let is_key = frames.last().is_some_and(Frame::expects_key);
        let is_map = matches!(token, Token::Map(_));
        if is_map || matches!(token, Token::Array(_)) {
            if frames.len() >= max_depth {
                return Err(ValueError::TooDeep { offset: start, limit: max_depth });
            }
            if is_key && inside_key {
                return Err(ValueError::KeyTooNested { offset: start });
            }
            shape.depth = shape.depth.max(frames.len() + 1);
        }
        let children = token.children();
        if shape.nodes as u64 + children > bounds.max_nodes as u64 {
            return Err(ValueError::TooManyNodes { offset: start, limit: bounds.max_nodes });
        }
        if children > 0 {
            inside_key |= is_key;
            let keys_before = keys.len();
            frames.push(Frame { start, left: children, is_map, is_key, keys_before });
            continue;
        }
        utf8(token, start)?;
        if is_key {
            keys.push(MapKey::new(token, bytes.get(start..at).unwrap_or_default()));
        }
        // Close what this value was the last child of.
        loop {
            let Some(frame) = frames.last_mut() else {
                ended(bytes, at)?;
                return Ok(shape);
            };
            frame.left -= 1;
            if frame.left > 0 {
                break;
            }
            if frame.is_map {
                let own = keys.get_mut(frame.keys_before..).unwrap_or_default();
                refuse_duplicates(own, frame.start)?;
                keys.truncate(frame.keys_before);
            }
            if frame.is_key {
                inside_key = false;
                keys.push(MapKey::container(bytes.get(frame.start..at).unwrap_or_default()));
            }
            frames.pop();
        }
    }
}

#[inline]
fn utf8(token: Token<'_>, offset: usize) -> Result<(), ValueError> {
    match token {
        Token::Str(text) if !text.is_ascii() && std::str::from_utf8(text).is_err() => {
            Err(ValueError::InvalidUtf8 { offset })
        }
        _ => Ok(()),
    }
}

fn ended(bytes: &[u8], end: usize) -> Result<(), ValueError> {
    match bytes.len() - end {
        0 => Ok(()),
        extra => Err(ValueError::TrailingBytes { offset: end, extra }),
    }
}
