//! The server of a worker: who is let in, how many at a time, and how it stops. What one
//! connection does is in `server_connection`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::server_connection::attend;
use super::strangers::Strangers;
use super::tally::Tally;
use super::{Listener, Notice, Notices, ServeError, Silent, WorkerService};
use crate::security::ServerSecurity;
use crate::{
    Address, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_CONNECTIONS,
    MAX_STRANGERS, STOP_TIMEOUT,
};

/// Refusals a second of which its host is told one by one; of the others it is told their number.
pub const REFUSALS_A_SECOND: u32 = 10;

/// How long it waits after connections could not be taken, for lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server can be told besides.
#[derive(Clone)]
pub struct ServeOptions {
    /// Takes what its host's log should have.
    pub notices: Arc<dyn Notices>,
    /// How long TLS, HTTP/2 and the hello may take together.
    pub handshake: Duration,
    /// How long nothing may come before it asks whether the other side is there.
    pub keepalive_interval: Duration,
    /// How long the answer to that may take: where no byte at all has come by then, the connection
    /// is given up.
    pub keepalive_timeout: Duration,
    /// Connections at a time that have not said hello.
    pub max_strangers: usize,
    /// Connections at a time in all.
    pub max_connections: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            notices: Arc::new(Silent),
            handshake: HANDSHAKE_TIMEOUT,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalive_timeout: KEEPALIVE_TIMEOUT,
            max_strangers: MAX_STRANGERS,
            max_connections: MAX_CONNECTIONS,
        }
    }
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("handshake", &self.handshake)
            .field("max_strangers", &self.max_strangers)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

/// What all connections of a server share.
pub(super) struct Server {
    pub(super) security: ServerSecurity,
    pub(super) service: Arc<dyn WorkerService>,
    pub(super) options: ServeOptions,
    pub(super) stop: CancellationToken,
    tally: Tally,
}

impl Server {
    pub(super) fn refused(&self, peer: &impl fmt::Display, why: impl fmt::Display) {
        if self.tally.tells(Instant::now()) {
            let (peer, why) = (peer.to_string(), why.to_string());
            self.options.notices.notice(Notice::Refused { peer, why });
        }
    }

    /// Tells of the refusals that were only counted, as long as it serves.
    async fn tell_counted(&self) {
        while self.stop.run_until_cancelled(self.tally.due()).await.is_some() {
            self.tell_counted_now();
        }
    }

    fn tell_counted_now(&self) {
        let count = self.tally.take();
        if count > 0 {
            self.options.notices.notice(Notice::MoreRefused { count });
        }
    }
}

/// Serves a worker until `stop`, with the usual limits and without notices.
///
/// # Errors
/// The address needs certificates, or has none.
pub async fn serve(
    listener: Listener,
    security: ServerSecurity,
    service: Arc<dyn WorkerService>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    serve_with(listener, security, service, ServeOptions::default(), stop).await
}

/// Serves a worker until `stop`. Then nobody is let in any more, what the worker has said is sent,
/// each link ends with [`Goodbye::Leaving`](crate::message::Goodbye::Leaving), and after
/// [`STOP_TIMEOUT`] what is left is cut off.
///
/// # Errors
/// The address needs certificates, or has none.
pub async fn serve_with(
    listener: Listener,
    security: ServerSecurity,
    service: Arc<dyn WorkerService>,
    options: ServeOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    match (listener.address(), &security) {
        (address @ Address::Tls { .. }, ServerSecurity::Plain) => {
            return Err(ServeError::Open(address.to_string()));
        }
        (address @ (Address::Tcp(_) | Address::Unix(_)), ServerSecurity::Tls(_)) => {
            return Err(ServeError::NotTls(address.to_string()));
        }
        _ => {}
    }
    let strangers = Strangers::new(options.max_strangers);
    let room = Arc::new(Semaphore::new(options.max_connections));
    // Children end when this call is dropped, too.
    let stop = stop.child_token();
    let _stopped = stop.clone().drop_guard();
    let cut = CancellationToken::new();
    let _cut = cut.clone().drop_guard();
    let tally = Tally::new();
    let server = Arc::new(Server { security, service, options, stop: stop.clone(), tally });
    let tasks = TaskTracker::new();
    let telling = Arc::clone(&server);
    tasks.spawn(async move { telling.tell_counted().await });
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (pipe, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                let why = error.to_string();
                server.options.notices.notice(Notice::Accept { why });
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            server.refused(&address, "there are as many connections as there may be");
            continue;
        };
        let (server, stranger, cut) = (Arc::clone(&server), strangers.enter(), cut.clone());
        tasks.spawn(async move {
            let _place = place;
            // Cutting drops what the connection was doing.
            cut.run_until_cancelled(attend(server, pipe, address, stranger)).await;
        });
    }
    drop(listener);
    tasks.close();
    // What is not done by then is cut off by the guard.
    let _ = tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await;
    server.tell_counted_now();
    Ok(())
}
