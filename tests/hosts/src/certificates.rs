//! Certificates, made as users make them.

use std::path::{Path, PathBuf};

use crate::binary;
use crate::network::Network;

/// An authority in a folder, and certificates that it issued.
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// An authority in a new folder.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let certificates = Self { folder: folder.to_owned() };
        certificates.call(&["init"], &[]);
        certificates
    }

    /// Issues a certificate of a role under a name; what else is said of it follows. The arguments
    /// that show it.
    ///
    /// # Panics
    /// When it cannot be issued.
    #[must_use]
    pub fn issue(&self, role: &str, name: &str, more: &[&str]) -> Vec<String> {
        self.call(&["issue"], &[&["--role", role, "--name", name], more].concat());
        self.files(name)
    }

    /// Arguments that show the certificate of this name, and ask for one of the same authority.
    #[must_use]
    pub fn files(&self, name: &str) -> Vec<String> {
        let path = |file: &str| self.folder.join(file).display().to_string();
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let files = [("--cert", &*certificate), ("--key", &*key), ("--ca", "ca.pem")];
        files.into_iter().flat_map(|(flag, file)| [flag.to_owned(), path(file)]).collect()
    }

    /// Issues one to each host of a network.
    #[must_use]
    pub fn issue_to_hosts(&self, network: &Network) -> Vec<Vec<String>> {
        (0..network.hosts()).map(|host| self.issue("worker", &network.address(host), &[])).collect()
    }

    fn call(&self, words: &[&str], more: &[&str]) {
        let folder = self.folder.display().to_string();
        let arguments = [&["cert"], words, more, &["--dir", &folder]].concat();
        binary::call(&self.folder, &arguments).unwrap_or_else(|error| panic!("{error}"));
    }
}
