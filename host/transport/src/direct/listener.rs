//! Where a worker listens: a TCP port, or a Unix socket that only its user can reach.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener, lookup_host};
use uuid::Uuid;

use super::ServeError;
use super::socket::{Pipe, prepare};
use crate::Address;

/// A place that is listened at. A Unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    address: Address,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf, inode: (u64, u64) },
}

impl Listener {
    /// Listens at an address. Port 0 is any free port. A socket that a process left which is no
    /// longer there is replaced; one that somebody listens at is not.
    ///
    /// # Errors
    /// The address is taken, or cannot be listened at.
    pub async fn bind(address: &Address) -> Result<Self, ServeError> {
        let failed = |error: io::Error| ServeError::Bind {
            address: address.to_string(),
            why: error.to_string(),
        };
        match address {
            Address::Unix(path) => {
                let (listener, inode) = bind_unix(path).await.map_err(failed)?;
                let kind = Kind::Unix { listener, path: path.clone(), inode };
                Ok(Self { kind, address: address.clone() })
            }
            Address::Tcp(wanted) => {
                let listener = TcpListener::bind(wanted).await.map_err(failed)?;
                let address = Address::Tcp(listener.local_addr().map_err(failed)?);
                Ok(Self { kind: Kind::Tcp(listener), address })
            }
            Address::Tls { host, port } => {
                let found: Vec<SocketAddr> =
                    lookup_host((host.as_str(), *port)).await.map_err(failed)?.collect();
                let listener = TcpListener::bind(found.as_slice()).await.map_err(failed)?;
                let port = listener.local_addr().map_err(failed)?.port();
                let address = Address::Tls { host: host.clone(), port };
                Ok(Self { kind: Kind::Tcp(listener), address })
            }
        }
    }

    /// Where it listens, with the port that was given.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection, and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Box<dyn Pipe>, String)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, from) = listener.accept().await?;
                // What cannot be set on a connection that is gone already is no fault of the
                // listener's.
                let _ = prepare(&stream);
                // An IPv4 address that came over an IPv6 socket is shown as people know it.
                let ip: IpAddr = from.ip().to_canonical();
                Ok((Box::new(stream), SocketAddr::new(ip, from.port()).to_string()))
            }
            Kind::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), "unix".to_owned()))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix { path, inode, .. } = &self.kind
            && std::fs::symlink_metadata(path).is_ok_and(|meta| (meta.dev(), meta.ino()) == *inode)
        {
            // That it is still there is all that can go wrong, and then the next one replaces it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes the socket in a directory that nobody else can enter, and moves it to its place when it
/// is closed to others: there is no moment in which they could connect.
async fn bind_unix(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    free(path).await?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mark = Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext)).simple().to_string();
    let own = directory.join(format!(".{}", &mark[mark.len() - 8..]));
    std::fs::create_dir(&own)?;
    let bound = (|| {
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700))?;
        let first = own.join("s");
        let listener = UnixListener::bind(&first)?;
        std::fs::set_permissions(&first, std::fs::Permissions::from_mode(0o600))?;
        let meta = std::fs::symlink_metadata(&first)?;
        std::fs::rename(&first, path)?;
        Ok((listener, (meta.dev(), meta.ino())))
    })();
    let _ = std::fs::remove_file(own.join("s"));
    std::fs::remove_dir(&own)?;
    bound
}

/// Sees that nobody is at the path.
async fn free(path: &Path) -> io::Result<()> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file that is not a socket",
        ));
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there")),
    }
}
