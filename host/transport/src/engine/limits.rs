//! The limits and ages of everything that lives in an engine, in one place.

use std::time::Duration;

/// The oldest server that has what is used here: keys that age in buckets, markers where they did,
/// and settings that are not dropped without a word.
pub const LEAST_SERVER: (u64, u64, u64) = (2, 12, 0);
/// The prefix of all names in an engine, where none is given.
pub const DEFAULT_NAME: &str = "sandmill";
/// The longest name, and the longest tenant.
pub const MAX_NAME: usize = 32;
/// The payload that a server has to take: its own default, 1 MiB.
pub const LEAST_PAYLOAD: usize = 1 << 20;
/// The largest batch of orders or of answers in one message. One large item may make it larger, by
/// what an item may have ([`crate::message::MAX_INLINE`]).
pub const ITEM_BYTES: usize = 512 << 10;
/// Runs in one item.
pub const ITEM_RUNS: usize = 64;

/// How long a first connection may take, with all of its handshakes.
pub const ENGINE_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one answer of the server may take.
pub const ENGINE_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take until something that is published is kept. Short, since it may be published
/// twice: where the server that kept it is gone, another does.
pub const ENGINE_PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of a pull may take that the server ends. Short, since a server that is gone ends
/// none, and what was to be pulled with it has no other way.
pub const ENGINE_PULL_SLACK: Duration = Duration::from_secs(1);
/// How often a silent connection is tried; after two tries without an answer it is taken for broken,
/// so that a client does not stay with a server that was cut off.
pub const ENGINE_PING: Duration = Duration::from_secs(2);
/// The wait before a broken connection is made again, at first; twice as long after each failure.
pub const RECONNECT_LEAST: Duration = Duration::from_millis(50);
/// The longest such wait.
pub const RECONNECT_MOST: Duration = Duration::from_secs(2);
/// Messages that wait in a subscription.
pub const SUBSCRIPTION_QUEUE: usize = 65_536;

/// Items that wait or are under way. One more is refused: whoever has it waits.
pub const WORK_MESSAGES: i64 = 100_000;
/// Bytes of them: 1 GiB.
pub const WORK_BYTES: i64 = 1 << 30;
/// How long an item nobody took is kept: a day. Whoever still wants it orders it anew.
pub const WORK_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Messages of answers that wait for one coordinator. A worker that has more to say waits.
pub const OUT_MESSAGES_A_SESSION: i64 = 65_536;
/// Bytes of all answers that wait: 1 GiB.
pub const OUT_BYTES: i64 = 1 << 30;
/// How long an answer nobody took is kept: an hour. A worker keeps it for longer if it is asked to.
pub const OUT_AGE: Duration = Duration::from_secs(60 * 60);
/// How long a message that is said twice is known for the same.
pub const DEDUPE_WINDOW: Duration = Duration::from_secs(120);
/// Bytes of components: 2 GiB.
pub const COMPONENT_STORE_BYTES: i64 = 2 << 30;
/// How long a component is kept: a week. It is brought again when a worker needs it.
pub const COMPONENT_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Bytes of large arguments and results on their way: 4 GiB.
pub const VALUE_STORE_BYTES: i64 = 4 << 30;
/// How long a large value is kept that nobody has taken away: a day.
pub const VALUE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of what is known of workers and classes, each: 64 MiB.
pub const KNOWN_BYTES: i64 = 64 << 20;
/// What all of these take of the server's or the account's storage: reserved, not used.
pub const RESERVED_BYTES: i64 =
    WORK_BYTES + OUT_BYTES + COMPONENT_STORE_BYTES + VALUE_STORE_BYTES + 2 * KNOWN_BYTES;
/// How long a worker that is not heard of is listed.
pub const WORKER_AGE: Duration = Duration::from_secs(30);
/// How long a class is known that nobody has told of again, and its consumer kept: a day.
pub const CLASS_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the marker of a key that aged is kept.
pub const MARKER_AGE: Duration = Duration::from_secs(60);
/// How often a coordinator tells of the classes that it uses.
pub const CLASS_REFRESH: Duration = Duration::from_secs(60 * 60);
/// Classes that one coordinator uses, and that one worker knows of.
pub const MAX_CLASSES: usize = 1_024;
/// Classes with items that are looked at: those of many coordinators.
pub const MAX_BUSY: usize = 16_384;

/// How long a worker may be silent of an item before the server gives it to another.
pub const ACK_WAIT: Duration = Duration::from_secs(15);
/// How often one item is given out.
pub const MAX_DELIVER: i64 = 5;
/// Items of one class that may be with workers at a time.
pub const MAX_ACK_PENDING: i64 = 10_000;
/// How long a coordinator may be silent of an answer before the server says it again. It only takes
/// note of it meanwhile, so this is short: a run may wait for it.
pub const OUT_ACK_WAIT: Duration = Duration::from_secs(10);
/// Messages of answers that a coordinator may have taken and not acknowledged.
pub const OUT_ACK_PENDING: i64 = 1_024;
/// How long the consumer of a coordinator's answers outlives it.
pub const OUT_CONSUMER_AGE: Duration = Duration::from_secs(60 * 60);
/// Workers that are listed.
pub const MAX_WORKERS: usize = 10_000;
