//! The cache of results: what names a result, what is kept, and the invoker that takes results
//! from it. The history of runs is not here: deleting a flow run leaves its cached results, and
//! emptying the cache changes what runs cost and never what they give.

mod cacheable;
mod entry;
mod explain;
mod filter;
mod flight;
mod handle;
mod invoker;
mod key;
mod pending;
mod reader;
mod table;
mod write;

pub use cacheable::{NotCacheable, cacheable, keepable};
pub use entry::{CacheRecord, CachedValue, MAX_KEPT_ARGUMENTS, NewCached};
pub use explain::{
    ArgumentDifference, Difference, Expired, Explanation, MAX_LISTED_ARGUMENTS, Nearest,
};
pub use filter::{CacheFilter, CacheTotals, Cleared, DEFAULT_CACHE_LIST};
pub use handle::{Cache, CacheBounds, MAX_CACHE_BYTES, MAX_CACHE_ENTRIES};
pub use invoker::CachingInvoker;
pub use key::{CacheKey, DETERMINISM_PROFILE, KeyDigest};
pub use pending::MAX_PENDING_CACHE_BYTES;
pub use reader::CacheReader;
pub(crate) use write::CacheWrite;
