//! `wasi:http/outgoing-handler`: which servers a run may send requests to. A redirect is a new
//! request of the guest's, so it comes by here too.

use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use sandmill_core::{CallOptions, HttpGrant};
use sandmill_wire::RunId;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Bytes of all fields of one set of HTTP headers or trailers: 64 KiB.
pub(crate) const MAX_FIELDS_BYTES: usize = 64 << 10;
/// Bytes of a request's body that are held before they are sent.
const BODY_CHUNK_BYTES: usize = 64 << 10;

/// The header of W3C's Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Lets requests through to granted servers.
pub(crate) struct HttpGate {
    run: RunId,
    options: Arc<CallOptions>,
}

impl HttpGate {
    pub(crate) fn new(run: RunId, options: Arc<CallOptions>) -> Self {
        Self { run, options }
    }

    /// Says which trace the request is part of, unless the guest does.
    fn trace(&self, headers: &mut HeaderMap) {
        let Some(context) = self.options.trace_context() else { return };
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        if let Ok(value) = HeaderValue::try_from(context.below(self.run).to_string()) {
            headers.insert(TRACEPARENT, value);
        }
    }
}

/// Whether a request to `uri` is granted, by its host and port.
fn admits(grants: &[HttpGrant], uri: &Uri) -> bool {
    let default_port = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        _ => return false,
    };
    let Some(authority) = uri.authority() else { return false };
    // `user@host` has no place in a request, and hides where it goes.
    if authority.as_str().contains('@') {
        return false;
    }
    // Text after the host that is not a port would leave the port to whoever reads it next.
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => default_port,
        Some(rest) => match rest.strip_prefix(':').and_then(|port| port.parse().ok()) {
            Some(port) => port,
            None => return false,
        },
        None => return false,
    };
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let host = host.parse::<std::net::IpAddr>().map_or(host, |address| address.to_string());
    grants.iter().any(|grant| {
        let granted = grant.host.strip_suffix('.').unwrap_or(&grant.host);
        granted == host && grant.port.unwrap_or(default_port) == port
    })
}

type Sent = wasmtime_wasi_http::Result<(
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
)>;

impl WasiHttpHooks for HttpGate {
    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !admits(&self.options.grants.http, request.uri()) {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        }
        self.trace(request.headers_mut());
        wasmtime_wasi_http::default_hooks().send_request(request, options, done)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_where_they_are_granted_and_nowhere_else() {
        let grants = ["example.com", "10.0.0.1:8080", "[::1]:80", "rooted.example."];
        let grants = grants.map(|grant| grant.parse::<HttpGrant>().unwrap());
        let good = [
            "http://example.com/a",
            "https://EXAMPLE.com./",
            "https://example.com:443/",
            "http://rooted.example/",
            "http://rooted.example./",
            "http://10.0.0.1:8080/",
            "https://10.0.0.1:8080/",
            "http://[::1]/",
        ];
        for uri in good {
            assert!(admits(&grants, &uri.parse().unwrap()), "{uri}");
        }
        let bad = [
            "https://example.com:80/",
            "http://example.com.evil.org/",
            "http://evil.org/",
            "http://example.com@evil.org/",
            "http://evil@example.com/",
            "http://10.0.0.1/",
            "http://[::1]:81/",
            "http://127.0.0.1/",
            "ftp://example.com/",
            "/a",
            "http://0x0a000001:8080/",
        ];
        for uri in bad {
            assert!(!admits(&grants, &uri.parse().unwrap()), "{uri}");
        }
    }
}
