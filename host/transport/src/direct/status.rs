//! Looking at a worker: one question on a connection of its own, without a hello, so that whoever
//! may only look on can ask it too.

use http::uri::PathAndQuery;
use tokio::time::{Instant, timeout_at};
use tonic::Request;

use super::codec::BytesCodec;
use super::connect::{dial, enter};
use super::refusal::understand;
use super::{LinkError, Method, Timeouts};
use crate::message::WorkerStatusReport;
use crate::security::ClientSecurity;
use crate::{Address, MAX_RECEIVED_FRAME, frame};

/// Asks a worker how it stands.
///
/// # Errors
/// Why it does not tell.
pub async fn status(
    address: &Address,
    security: &ClientSecurity,
    timeouts: Timeouts,
) -> Result<WorkerStatusReport, LinkError> {
    let timed_out = |what, after| LinkError::TimedOut { what, after };
    let pipe = tokio::time::timeout(timeouts.connect, dial(address, security))
        .await
        .map_err(|_| timed_out("connecting", timeouts.connect))??;
    let deadline = Instant::now() + timeouts.handshake;
    let asking = async {
        let (http, trouble) = enter(address, pipe, security, timeouts).await?;
        let mut grpc = http.grpc(MAX_RECEIVED_FRAME);
        let ready = grpc.ready().await;
        ready.map_err(|error| {
            trouble.error().unwrap_or_else(|| LinkError::Lost(error.to_string()))
        })?;
        let path = PathAndQuery::from_static(Method::Status.path());
        let response = grpc
            .unary(Request::new(bytes::Bytes::new()), path, BytesCodec)
            .await
            .map_err(|status| understand(&status, &trouble))?;
        frame::decode_status(&response.into_inner())
            .map_err(|error| LinkError::Protocol(error.to_string()))
    };
    timeout_at(deadline, asking)
        .await
        .map_err(|_| timed_out("the handshake", timeouts.handshake))?
}
