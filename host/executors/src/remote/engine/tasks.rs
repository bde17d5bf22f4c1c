//! The tasks beside the driver: what they hear at the engine, they tell it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sandmill_transport::engine::{
    Beat, Engine, EngineError, Incarnation, OutSaid, Presence, Published, Said, ToSession,
    ValueName,
};
use sandmill_transport::message::{Hello, ToWorker, WorkerId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::direct::outbox::Fetch;
use super::super::direct::{TRANSFER_TRIES, WayError};
use super::checking::Found;
use super::config::{ENSURE_EVERY, EngineFleetConfig};

/// The wait before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the driver is told.
pub(super) enum News {
    /// An item is in the engine, or will not be.
    Published(u64, Result<Published, EngineError>),
    /// Workers said these things.
    Said(Vec<OutSaid>),
    /// A worker told what it has.
    Beat(Box<Beat>),
    /// These workers are listed.
    Listed(Vec<Presence>),
    /// The engine's stores are these.
    Ensured(Incarnation),
    /// An item is not given out again.
    Spent(u64),
    /// An item was looked for.
    Found(u64, Found),
    /// A result was got, or could not be.
    Fetched(WorkerId, Fetch, Result<Bytes, WayError>),
}

/// Starts the tasks that go on for the whole session.
pub(super) fn spawn_all(
    tasks: &mut JoinSet<()>,
    engine: &Engine,
    hello: &Hello,
    config: &Arc<EngineFleetConfig>,
    news: &mpsc::Sender<News>,
) {
    tasks.spawn(hear_answers(engine.clone(), hello.clone(), news.clone()));
    tasks.spawn(hear_beats(engine.clone(), hello.clone(), news.clone()));
    tasks.spawn(hear_spent(engine.clone(), news.clone()));
    tasks.spawn(introduce(engine.clone(), hello.clone()));
    tasks.spawn(list(engine.clone(), config.beat, news.clone()));
    tasks.spawn(ensure(engine.clone(), news.clone()));
    tasks.spawn(say_alive(engine.clone(), hello.clone(), config.beat));
}

async fn hear_answers(engine: Engine, hello: Hello, news: mpsc::Sender<News>) {
    loop {
        if let Ok(mut reader) = engine.open_out(hello.session).await {
            loop {
                match reader.next().await {
                    Ok(said) if said.is_empty() => {}
                    Ok(said) => {
                        if news.send(News::Said(said)).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => break,
                }
            }
        }
        sleep(PAUSE).await;
    }
}

async fn hear_beats(engine: Engine, hello: Hello, news: mpsc::Sender<News>) {
    loop {
        if let Ok(mut words) = engine.hear_workers(hello.session).await {
            while let Some(said) = words.next().await {
                if let Said::Beat(beat) = said
                    && news.send(News::Beat(beat)).await.is_err()
                {
                    return;
                }
            }
        }
        sleep(PAUSE).await;
    }
}

async fn hear_spent(engine: Engine, news: mpsc::Sender<News>) {
    loop {
        if let Ok(mut spent) = engine.spent_items().await {
            while let Some(sequence) = spent.next().await {
                if news.send(News::Spent(sequence)).await.is_err() {
                    return;
                }
            }
        }
        sleep(PAUSE).await;
    }
}

/// Tells workers that ask who this is.
async fn introduce(engine: Engine, hello: Hello) {
    loop {
        let _ = engine.answer_workers(&hello).await;
        sleep(PAUSE).await;
    }
}

async fn list(engine: Engine, every: Duration, news: mpsc::Sender<News>) {
    loop {
        if engine.is_up()
            && let Ok(listed) = engine.workers().await
            && news.send(News::Listed(listed)).await.is_err()
        {
            return;
        }
        sleep(every).await;
    }
}

/// Sees to it that what has to be in the engine is.
async fn ensure(engine: Engine, news: mpsc::Sender<News>) {
    let mut link = engine.link();
    loop {
        if engine.is_up() {
            match engine.ensure().await {
                Ok(incarnation) => {
                    if news.send(News::Ensured(incarnation)).await.is_err() {
                        return;
                    }
                }
                Err(_) => {
                    sleep(PAUSE).await;
                    continue;
                }
            }
        }
        tokio::select! {
            () = sleep(ENSURE_EVERY) => {}
            changed = link.changed() => if changed.is_err() { return },
        }
    }
}

/// Has workers hear that this is there.
async fn say_alive(engine: Engine, hello: Hello, every: Duration) {
    loop {
        if engine.is_up() {
            let _ = engine.say(hello.session, ToSession::All, &[ToWorker::Heartbeat]).await;
        }
        sleep(every).await;
    }
}

/// Gets a result.
pub(super) async fn fetch(engine: Engine, worker: WorkerId, fetch: Fetch) -> News {
    let name = ValueName::Result(fetch.of, fetch.digest);
    let mut got = engine.value(name, fetch.limit).await;
    for _ in 1..TRANSFER_TRIES {
        if !got.as_ref().is_err_and(EngineError::is_passing) {
            break;
        }
        sleep(PAUSE).await;
        got = engine.value(name, fetch.limit).await;
    }
    let got = got.map_err(|error| WayError {
        words: error.to_string(),
        is_passing: error.is_passing(),
        is_goodbye: false,
    });
    News::Fetched(worker, fetch, got)
}
