//! HTTP requests, as the host offers them.

use sandmill_guest::{Failure, task};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, IncomingResponse, OutgoingRequest, Scheme};

/// Gets a page: the status and the text.
#[task]
pub(crate) fn http_get(
    scheme: String,
    authority: String,
    path: String,
) -> Result<(u16, String), Failure> {
    let response = get(&scheme, &authority, &path)?;
    let status = response.status();
    let body = response.consume().map_err(|()| invalid("body"))?;
    let stream = body.stream().map_err(|()| invalid("stream"))?;
    let mut text = Vec::new();
    while let Ok(part) = stream.blocking_read(1 << 16) {
        text.extend(part);
    }
    Ok((status, String::from_utf8_lossy(&text).into_owned()))
}

/// Makes requests, and does not care for any answer.
#[task]
pub(crate) fn http_hold(authority: String, count: usize) -> Result<usize, Failure> {
    let held: Result<Vec<_>, Failure> =
        (0..count).map(|_| Ok(handle(request("http", &authority, "/")?, None)?)).collect();
    Ok(held?.len())
}

fn get(scheme: &str, authority: &str, path: &str) -> Result<IncomingResponse, Failure> {
    let future = handle(request(scheme, authority, path)?, None)?;
    future.subscribe().block();
    let answer = future.get().ok_or_else(|| invalid("answer"))?;
    Ok(answer.map_err(|()| invalid("second answer"))??)
}

fn request(scheme: &str, authority: &str, path: &str) -> Result<OutgoingRequest, Failure> {
    let request = OutgoingRequest::new(Fields::new());
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    request.set_scheme(Some(&scheme)).map_err(|()| invalid("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| invalid("authority"))?;
    request.set_path_with_query(Some(path)).map_err(|()| invalid("path"))?;
    Ok(request)
}

fn invalid(what: &str) -> Failure {
    Failure::new("invalid", what)
}
