//! The limits of direct links, in one place.

use std::time::Duration;

/// The largest frame of the link's long stream. What does not fit goes by digest.
pub const MAX_FRAME: usize = 1 << 20;
/// The largest frame that is taken. A frame says its length first, so one that is larger ends the
/// link before anything is allocated for it.
pub const MAX_RECEIVED_FRAME: usize = MAX_FRAME + (64 << 10);
/// The bytes that a large value travels in at a time. What came of a chunk that broke off is lost: on
/// a link of 64 kbit/s, at most eight seconds' worth.
pub const CHUNK: usize = 64 << 10;
/// The largest chunk that is taken.
pub const MAX_RECEIVED_CHUNK: usize = CHUNK + 1024;
/// The largest value that is carried by digest.
pub const MAX_BLOB: u64 = 1 << 30;
/// The largest hello: what a side may say before anything is known of it.
pub const MAX_HELLO: usize = 4 << 10;
/// The largest block of headers of one request, the hello among them.
pub const MAX_HEADERS: u32 = 16 << 10;

/// How long it may take until a connection is there, before anything is said over it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long TLS, HTTP/2 and the hello may take together.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long nothing may come before a side asks whether the other is there. Longer than heartbeats are
/// apart by default: the library reads nothing while its answer to such a question waits for room behind
/// a value, so that over a slow link heartbeats that had come have been seen to lie unread for six seconds.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(7);
/// How long nothing may come after that either, before the connection is given up; together with the
/// interval it stays below 15 seconds. Any byte counts, so a connection that is only slow stays.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(7);
/// How long a connection that has been refused or is done may take to go, so that the other side
/// can read why.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long it may take until a server that was told to stop has told everybody.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections at a time that have not said hello. When one more comes, the oldest of them goes:
/// who means it is done in a moment, and slow strangers keep nobody out.
pub const MAX_STRANGERS: usize = 256;
/// Connections at a time in all.
pub const MAX_CONNECTIONS: usize = 1_024;
/// Requests at a time on one connection: the link, and values on their way.
pub const MAX_STREAMS: u32 = 32;
/// Values at a time on their way in each direction of one connection. With the link itself they
/// cannot fill the connection's window, so values that nobody reads do not hold up the link.
pub const MAX_TRANSFERS: usize = 3;
/// What may be on its way to a side that does not read, for each request and for the connection.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// What is kept to be sent for each request.
pub const SEND_BUFFER: usize = 256 << 10;
/// What the kernel and TLS are asked to hold unsent of one connection, each. The kernel takes what it is
/// given at a time beyond that, so that on a link of 64 kbit/s a heartbeat has been seen to wait twelve
/// seconds behind a value; that is why parts of values count as life too.
pub const UNSENT: u32 = 16 << 10;
/// Bytes of messages that wait in a [`LinkSender`](crate::direct::LinkSender) to be sent. Whoever
/// has more waits.
pub const LINK_QUEUE_BYTES: usize = 4 << 20;
/// Messages that wait in a link, for each direction.
pub const LINK_QUEUE: usize = 1_024;
