//! What went wrong in TLS, in words for a person.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::verify::WrongRole;
use crate::direct::LinkError;

/// What a client says of an error on its connection.
pub(crate) fn explain_as_client(error: &io::Error) -> LinkError {
    match tls(error) {
        Some(error) => LinkError::Tls(explain(error, "the worker", "this side")),
        None => LinkError::Lost(plain(error)),
    }
}

/// What a server says of one.
pub(crate) fn explain_as_server(error: &io::Error) -> LinkError {
    match tls(error) {
        Some(error) => LinkError::Tls(explain(error, "the other side", "this worker")),
        None => LinkError::Lost(plain(error)),
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the other side closed it".to_owned(),
        _ => error.to_string(),
    }
}

fn explain(error: &Error, them: &str, us: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => refused(error, them),
        Error::NoCertificatesPresented => format!(
            "{them} showed no certificate: it needs one with the role `submit`, or a join token"
        ),
        Error::AlertReceived(alert) => alerted(*alert, them, us),
        Error::PeerIncompatible(error) => {
            format!("{them} does not speak TLS 1.3 as it is needed here: {error:?}")
        }
        Error::NoApplicationProtocol => {
            format!("{them} speaks something else than Sandmill inside TLS")
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => {
            format!("{them} does not speak TLS: {error}")
        }
        other => format!("TLS with {them} failed: {other}"),
    }
}

/// Why this side did not take the other's certificate.
fn refused(error: &CertificateError, them: &str) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate or join token of {them} has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {them} is not valid yet: do the clocks agree?")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("{them} has another token or certificate authority")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "the certificate of {them} is for another host ({}): issue it for the name or the \
                 address that is in the worker's address",
                names(error)
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("the certificate of {them} is not for this side of a connection")
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<WrongRole>() {
            Some(wrong) => format!("refused {them}: {wrong}"),
            None => format!("the certificate of {them} cannot be taken: {error}"),
        },
        other => format!("the certificate of {them} cannot be taken: {other}"),
    }
}

fn names(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            presented.join(", ").chars().take(200).collect()
        }
        _ => "it names none".to_owned(),
    }
}

/// Why the other side did not take this side's certificate, or gave up.
fn alerted(alert: AlertDescription, them: &str, us: &str) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            format!("{them} wants a certificate, and {us} showed none")
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            format!("{them} has another token or certificate authority than {us}")
        }
        AlertDescription::CertificateExpired => format!(
            "{them} says that the certificate or join token of {us} has expired or is not valid \
             yet: issue another, and see that the clocks agree"
        ),
        AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
            format!("{them} says that the certificate of {us} does not have the role it needs")
        }
        AlertDescription::BadCertificate => format!(
            "{them} does not take the certificate of {us}: it may be for another host's name"
        ),
        AlertDescription::UnsupportedCertificate => {
            format!("{them} says that the certificate of {us} is not for this side of a connection")
        }
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            format!("{them} does not speak TLS 1.3 with {us}")
        }
        AlertDescription::NoApplicationProtocol => {
            format!("{them} speaks something else than Sandmill inside TLS")
        }
        other => format!("{them} ended TLS: {other:?}"),
    }
}
