//! The direct link: a coordinator connects to a worker, says hello, and both speak over one long
//! stream; large values go by digest beside it. HTTP/2 and gRPC's framing by `hyper` and `tonic`,
//! MessagePack inside, over TLS 1.3, a Unix socket, or TCP on this machine.

mod blobs;
mod chunks;
mod codec;
mod connect;
mod error;
mod life;
mod link;
mod listener;
mod methods;
mod notices;
mod peer;
mod pump;
mod refusal;
mod requests;
mod serve;
mod server_connection;
mod service;
mod socket;
mod status;
mod strangers;
mod tally;

pub use blobs::BlobClient;
pub use chunks::{ChunkError, ChunkStream};
pub use connect::{Connection, Timeouts, connect};
pub use error::{LinkError, SendError, ServeError};
pub use life::Life;
pub use link::{LinkReceiver, LinkSender};
pub use listener::Listener;
pub use methods::Method;
pub use notices::{Notice, Notices, Silent};
pub use peer::Peer;
pub use serve::{REFUSALS_A_SECOND, ServeOptions, serve, serve_with};
pub use service::{OpenLink, WorkerService};
pub use status::status;
