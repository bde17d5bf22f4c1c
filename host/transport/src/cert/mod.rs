//! Certificates: an authority that issues them, and what is in them. How they are checked is in
//! `security`.

mod authority;
mod describe;
mod error;
mod files;
mod params;

pub use authority::{CertAuthority, IssuedCertificate};
pub use describe::{CertificateInfo, describe, describe_der};
pub use error::CertError;
pub use files::write_private;
pub use params::{CLOCK_SLACK, DEFAULT_AUTHORITY_VALIDITY, DEFAULT_VALIDITY, MAX_VALIDITY};

pub(crate) use params::{authority_params, holder_params, unix_now};
