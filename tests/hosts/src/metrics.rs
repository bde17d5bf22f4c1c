//! What a worker says of itself at `/metrics`, asked for from inside of its host, so that it can be
//! asked while its link is cut.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::inside::inside;

/// Longer than an answer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Numbers by their names, with their labels where they have some.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks inside of a namespace.
    ///
    /// # Errors
    /// There is no answer, or another than the numbers.
    pub fn ask(namespace: &str, address: SocketAddr) -> Result<Self, String> {
        let text = get(namespace, address, "/metrics")?;
        let line = |line: &str| {
            let (name, number) = line.rsplit_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        let numbers = text.lines().filter(|line| !line.starts_with('#')).filter_map(line);
        Ok(Self(numbers.collect()))
    }

    /// The sum of all numbers of this name, whatever their labels; or, where the name has labels
    /// itself, of those with the same.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let fits = |key: &str| key == name || key.split('{').next() == Some(name);
        self.0.iter().filter(|(key, _)| fits(key)).map(|(_, number)| number).sum()
    }
}

/// Asks an HTTP server inside of a namespace for a page.
///
/// # Errors
/// There is no answer, or one that says that something is wrong.
pub fn get(namespace: &str, address: SocketAddr, page: &str) -> Result<String, String> {
    let page = page.to_owned();
    let asking = inside(namespace, move || {
        ask(address, &page).map_err(|error| format!("http://{address}{page}: {error}"))
    });
    let answer = asking.join().map_err(|_| "the thread panicked".to_owned())???;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("it is no answer")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(format!("{status}: {body}"))
    }
}

fn ask(address: SocketAddr, page: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // An older version of HTTP, in which an answer comes in one piece and then the connection ends.
    write!(stream, "GET {page} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
