//! A worker's HTTP side: `/healthz` for whoever starts and stops workers, `/metrics` for Prometheus.
//! Nothing can be changed through it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sandmill::WorkerHost;
use sandmill::executors::worker::Worker;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::metrics::{self, METRICS_TYPE};
use crate::error::{CliError, Result};

/// Connections at a time; more wait.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may take in all: whoever scrapes makes a new one or is done by then.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// How long the head of a request may take.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// How long it waits after connections could not be taken, for lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves both as long as the worker's runtime is there.
pub(super) struct Http {
    address: SocketAddr,
}

impl Http {
    /// Begins to serve at this address.
    pub(super) fn start(host: &WorkerHost, address: SocketAddr) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            CliError::infrastructure(format!("cannot listen at http://{address}")).detail(error)
        };
        let listener = host.runtime().block_on(TcpListener::bind(address)).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let worker = Arc::clone(host.worker());
        host.runtime().spawn(accept(listener, worker));
        Ok(Self { address })
    }

    /// Where it is, with the port that was given.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, worker: Arc<Worker>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let worker = Arc::clone(&worker);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&worker, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .serve_connection(TokioIo::new(stream), service);
            // How it ends is the other side's affair.
            let _ = timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
    }
}

fn answer(worker: &Worker, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/healthz" if worker.status().draining => {
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "draining\n".to_owned())
        }
        "/healthz" => respond(StatusCode::OK, TEXT, "ok\n".to_owned()),
        "/metrics" => match metrics::text(worker) {
            Ok(text) => respond(StatusCode::OK, METRICS_TYPE, text),
            Err(error) => respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        _ => respond(StatusCode::NOT_FOUND, TEXT, "there are /healthz and /metrics\n".to_owned()),
    }
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
