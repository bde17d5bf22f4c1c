//! The connection to an engine: made within a deadline, with every refusal said at once; kept from
//! then on, however long the engine is away.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use super::config::EngineConfig;
use super::error::EngineError;
use super::layout::Layout;
use super::limits::{
    ENGINE_PING, ENGINE_REQUEST_TIMEOUT, LEAST_PAYLOAD, LEAST_SERVER, RECONNECT_LEAST,
    RECONNECT_MOST, SUBSCRIPTION_QUEUE,
};
use super::login::{refusal, with_login};

/// A connection to an engine. Its copies are the same connection.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    layout: Layout,
    client: Client,
    context: Context,
    link: watch::Receiver<EngineLink>,
}

/// How the connection stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineLink {
    /// Whether it is there.
    pub is_up: bool,
    /// How often it was made.
    pub count: u64,
    /// Why it is not there, where that is so and known.
    pub why: Option<String>,
}

impl Engine {
    /// Connects, sees whether the server does, and makes what has to be there.
    ///
    /// # Errors
    /// Why there is no engine: nobody there, credentials that it does not take, a server that is
    /// too old or lacks JetStream, or something else under its names.
    pub async fn connect(config: EngineConfig) -> Result<Self, EngineError> {
        config.check()?;
        let patience = config.connect_timeout;
        let urls = config.shown();
        let connecting = Self::connect_to(config);
        match tokio::time::timeout(patience, connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                Err(EngineError::Connect { urls, why: format!("no answer within {patience:?}") })
            }
        }
    }

    async fn connect_to(config: EngineConfig) -> Result<Self, EngineError> {
        let (tell, link) = watch::channel(EngineLink::default());
        let mut options = options(&config, tell).await?;
        let mut addresses = Vec::with_capacity(config.urls.len());
        for url in &config.urls {
            let address: Result<ServerAddr, _> = url.parse();
            addresses.push(address.map_err(|error| {
                EngineError::Config(format!("an engine's address cannot be read: {error}"))
            })?);
        }
        let login = addresses.iter().find(|address| address.has_user_pass());
        if let Some(login) = login {
            // The client knows them from here only.
            let user = login.username().unwrap_or_default().to_owned();
            options =
                options.user_and_password(user, login.password().unwrap_or_default().to_owned());
        }
        let client = options.connect(addresses).await.map_err(|error| refusal(&config, &error))?;
        // Before it is answered, nothing is known of the server.
        client.flush().await.map_err(|error| EngineError::Connect {
            urls: config.shown(),
            why: error.to_string(),
        })?;
        // Told by another task, and counted from: no connection is taken for a later one.
        let _ = link.clone().wait_for(|link| link.is_up).await;
        let info = client.server_info();
        if version(&info.version).is_none_or(|found| found < LEAST_SERVER) {
            return Err(EngineError::Version { found: info.version });
        }
        if info.max_payload < LEAST_PAYLOAD || !info.headers {
            return Err(EngineError::Lacks(format!(
                "the engine takes messages of {} bytes at most, but {LEAST_PAYLOAD} are needed: \
                 raise `max_payload` in its configuration",
                info.max_payload
            )));
        }
        let mut context = async_nats::jetstream::new(client.clone());
        context.set_timeout(ENGINE_REQUEST_TIMEOUT);
        let layout = Layout::new(&config);
        let engine = Self { inner: Arc::new(Inner { config, layout, client, context, link }) };
        engine.ensure().await?;
        Ok(engine)
    }

    /// What it was connected with.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The server's name and version, for people.
    #[must_use]
    pub fn server(&self) -> String {
        let info = self.inner.client.server_info();
        format!("nats-server {} at {}", info.version, self.config().shown())
    }

    /// How the connection stands, now and from now on.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<EngineLink> {
        self.inner.link.clone()
    }

    /// Whether the connection is there.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.inner.link.borrow().is_up
    }

    /// Sends what is to be sent yet, if that goes at once, and ends the connection.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, self.inner.client.flush()).await;
        let _ = tokio::time::timeout(ENGINE_REQUEST_TIMEOUT, self.inner.client.drain()).await;
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub(super) fn client(&self) -> &Client {
        &self.inner.client
    }

    pub(super) fn context(&self) -> &Context {
        &self.inner.context
    }

    pub(super) const fn timed_out(what: &'static str) -> EngineError {
        EngineError::TimedOut { what, after: ENGINE_REQUEST_TIMEOUT }
    }

    /// Waits for an answer of the server, but not for ever, and not for one that was asked for over
    /// a connection that has broken since: that one does not come. So what is asked for has to be
    /// such that it may be asked for twice.
    pub(super) fn answered<T>(
        &self,
        what: &'static str,
        answer: impl IntoFuture<Output = T>,
    ) -> impl Future<Output = Result<T, EngineError>> {
        self.answered_within(ENGINE_REQUEST_TIMEOUT, what, answer)
    }

    /// The same with a time of its own.
    pub(super) fn answered_within<T>(
        &self,
        after: Duration,
        what: &'static str,
        answer: impl IntoFuture<Output = T>,
    ) -> impl Future<Output = Result<T, EngineError>> {
        // Those of the client are large, and would be copied from one future into the next.
        let answer = Box::pin(answer.into_future());
        let mut link = self.link();
        async move {
            let before = link.borrow_and_update().count;
            let is_another = async {
                if link.wait_for(|link| link.count != before).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                answer = answer => Ok(answer),
                () = is_another => Err(EngineError::failed(what, "the connection broke meanwhile")),
                () = tokio::time::sleep(after) => Err(EngineError::TimedOut { what, after }),
            }
        }
    }

    /// The same for what may fail.
    pub(super) fn bounded<T, E: std::fmt::Display>(
        &self,
        what: &'static str,
        answer: impl IntoFuture<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, EngineError>> {
        let answered = self.answered(what, answer);
        async move { answered.await?.map_err(|error| EngineError::failed(what, error)) }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.config.fmt(f)
    }
}

async fn options(
    config: &EngineConfig,
    tell: watch::Sender<EngineLink>,
) -> Result<ConnectOptions, EngineError> {
    let servers = u32::try_from(config.urls.len()).unwrap_or(1).max(1);
    let options = ConnectOptions::new()
        .name(&config.client)
        .ping_interval(ENGINE_PING)
        // One server that does not answer must not keep the others from being tried.
        .connection_timeout(config.connect_timeout / servers)
        .request_timeout(Some(ENGINE_REQUEST_TIMEOUT))
        .subscription_capacity(SUBSCRIPTION_QUEUE)
        .reconnect_delay_callback(backoff)
        .event_callback(move |event| {
            tell.send_modify(|link| note(link, &event));
            std::future::ready(())
        });
    with_login(options, config).await
}

fn backoff(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1).min(8)).unwrap_or(8);
    // The first try goes at once.
    if attempts == 0 {
        Duration::ZERO
    } else {
        (RECONNECT_LEAST * (1 << doublings)).min(RECONNECT_MOST)
    }
}

fn note(link: &mut EngineLink, event: &Event) {
    match event {
        Event::Connected => {
            link.is_up = true;
            link.count += 1;
            link.why = None;
        }
        Event::Disconnected | Event::Closed => {
            link.is_up = false;
            link.why.get_or_insert_with(|| "the connection broke".to_owned());
        }
        Event::ServerError(error) => link.why = Some(error.to_string()),
        Event::ClientError(error) => link.why = Some(error.to_string()),
        _ => {}
    }
}

/// The numbers of a version; those of a build before a release count as the release's.
fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split(['.', '-', '+']).map(|part| part.parse::<u64>().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert_eq!(version("2.15.1"), Some((2, 15, 1)));
        assert_eq!(version("2.12.0-RC.1"), Some((2, 12, 0)));
        assert_eq!(version("2.9"), None);
        assert_eq!(version(""), None);
        assert!(version("2.9.10").unwrap() < LEAST_SERVER);
        assert!(version("2.11.99").unwrap() < LEAST_SERVER);
        assert!(version("3.0.0").unwrap() > LEAST_SERVER);
    }

    #[test]
    fn waits_grow_to_a_bound() {
        assert_eq!(backoff(0), Duration::ZERO);
        assert_eq!(backoff(1), RECONNECT_LEAST);
        assert_eq!(backoff(100), RECONNECT_MOST);
    }
}
