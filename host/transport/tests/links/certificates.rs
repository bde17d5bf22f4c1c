//! Authorities, certificates and join tokens, and what is in them.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use sandmill_transport::cert::{CertAuthority, CertError, DEFAULT_VALIDITY, describe};
use sandmill_transport::security::{
    ClientSecurity, Identity, IdentityError, Role, ServerSecurity, TlsClient, TlsServer,
};
use sandmill_transport::token::{MAX_TOKEN_VALIDITY, Token, TokenError};

/// An authority, and what it issues.
pub(crate) struct Pki(pub(crate) CertAuthority);

impl Pki {
    pub(crate) fn new() -> Self {
        Self(CertAuthority::create("test", Duration::from_secs(3600)).unwrap())
    }

    pub(crate) fn identity(&self, role: Role, names: &[&str], validity: Duration) -> Identity {
        let names = names.iter().map(ToString::to_string).collect();
        self.0.issue(role, names, validity).unwrap().identity().unwrap()
    }

    pub(crate) fn server(&self, name: &str) -> ServerSecurity {
        server(&self.identity(Role::Worker, &[name], DEFAULT_VALIDITY))
    }

    pub(crate) fn client(&self) -> ClientSecurity {
        self.client_as(Role::Submit)
    }

    pub(crate) fn client_as(&self, role: Role) -> ClientSecurity {
        client(&self.identity(role, &["tester"], DEFAULT_VALIDITY))
    }
}

pub(crate) fn server(identity: &Identity) -> ServerSecurity {
    ServerSecurity::Tls(TlsServer::new(identity).unwrap())
}

pub(crate) fn client(identity: &Identity) -> ClientSecurity {
    ClientSecurity::Tls(TlsClient::new(identity).unwrap())
}

#[test]
fn certificates_are_kept_in_files_and_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let made = CertAuthority::create("ours", Duration::from_secs(3600)).unwrap();
    made.save(&file("ca.pem"), &file("ca.key")).unwrap();
    let mode = |name: &str| std::fs::metadata(file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("ca.key"), 0o600);
    assert_eq!(std::fs::read_to_string(file("ca.pem")).unwrap(), made.pem());

    let again = made.save(&file("ca.pem"), &file("ca.key")).unwrap_err();
    assert!(matches!(&again, CertError::Exists(_)), "{again}");
    let loaded = CertAuthority::load(&file("ca.pem"), &file("ca.key")).unwrap();
    assert_eq!(loaded.info(), made.info());
    assert!(loaded.info().is_authority);

    let names = vec!["a.example".to_owned(), "10.0.0.7".to_owned(), "2001:db8::1".to_owned()];
    let issued = loaded.issue(Role::Worker, names.clone(), Duration::from_secs(7200)).unwrap();
    issued.save(&file("a.pem"), &file("a.key")).unwrap();
    assert_eq!(mode("a.key"), 0o600);
    let said = describe(&std::fs::read(file("a.pem")).unwrap()).unwrap();
    assert_eq!(said.role, Some(Role::Worker));
    assert_eq!(said.names, names);
    assert_eq!(said.subject, "a.example");
    assert_eq!(said.issuer, made.info().subject);
    // It does not outlive its authority.
    assert_eq!(said.not_after, made.info().not_after);
    assert_eq!(said.to_string(), "a.example, worker, for a.example, 10.0.0.7, 2001:db8::1");

    let identity = Identity::load(&file("a.pem"), &file("a.key"), &file("ca.pem")).unwrap();
    assert_eq!(identity.role(), Role::Worker);
    assert!(TlsServer::new(&identity).is_ok());
    let swapped = Identity::load(&file("a.key"), &file("a.pem"), &file("ca.pem")).unwrap_err();
    assert!(swapped.to_string().contains("not a certificate in PEM"), "{swapped}");
    let gone = Identity::load(&file("b.pem"), &file("a.key"), &file("ca.pem")).unwrap_err();
    assert!(gone.to_string().contains("cannot read"), "{gone}");
    let mixed = CertAuthority::load(&file("ca.pem"), &file("a.key")).unwrap_err();
    assert!(mixed.to_string().contains("the key is not that of the certificate"), "{mixed}");
    let no_authority = CertAuthority::load(&file("a.pem"), &file("a.key")).unwrap_err();
    assert!(no_authority.to_string().contains("not an authority"), "{no_authority}");
}

#[test]
fn what_cannot_stand_in_a_certificate_is_refused() {
    let pki = Pki::new();
    let hour = Duration::from_secs(3600);
    for name in ["", "a b", "a/b", "https://a", "é", &"a".repeat(300)] {
        let error = pki.0.issue(Role::Worker, vec![name.to_owned()], hour).unwrap_err();
        assert!(matches!(error, CertError::Name(_)), "{name}: {error}");
    }
    for validity in [Duration::ZERO, Duration::from_secs(u64::MAX)] {
        let error = pki.0.issue(Role::Worker, Vec::new(), validity).unwrap_err();
        assert!(matches!(error, CertError::Validity), "{error}");
        assert!(CertAuthority::create("x", validity).is_err());
    }
    let many = vec!["a".to_owned(); 1_000];
    assert!(pki.0.issue(Role::Worker, many, hour).is_err());
    let submit = pki.identity(Role::Submit, &["a"], hour);
    let error = TlsServer::new(&submit).unwrap_err();
    assert!(matches!(&error, IdentityError::Role { .. }));
    assert!(error.to_string().contains("sandmill cert issue worker"), "{error}");
}

#[test]
fn a_token_survives_its_text_and_shows_itself_nowhere_else() {
    let token = Token::new(Duration::from_secs(3600)).unwrap();
    let text = token.reveal();
    assert!(text.starts_with("smj1.") && text.len() < 120, "{}", text.len());
    assert_eq!(text.parse::<Token>().unwrap(), token);
    assert_eq!(format!(" {text}\n").parse::<Token>().unwrap(), token);
    let secret = text.split('.').nth(2).unwrap();
    assert!(!format!("{token:?}").contains(secret));
    assert_ne!(Token::new(Duration::from_secs(3600)).unwrap(), token);

    for (wrong, words) in [
        (String::new(), "four parts"),
        (text.replace("smj1", "smj2"), "does not start"),
        (text.replace("smj1.", "smj1.9"), "was changed"),
        (text[..text.len() - 1].to_owned(), "was changed"),
        (text.replacen('.', "..", 1), "four parts"),
        ("x".repeat(10_000), "too long"),
    ] {
        let error = wrong.parse::<Token>().unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{wrong}: {said}");
        assert!(!said.contains(secret), "the secret is shown");
    }
    assert_eq!(Token::new(MAX_TOKEN_VALIDITY * 2).unwrap_err(), TokenError::TooLong);
}

#[test]
fn an_expired_token_is_good_for_nothing() {
    let token = Token::new(Duration::from_secs(1)).unwrap();
    assert!(token.identity(Role::Submit).is_ok());
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(token.is_expired());
    let read: Token = token.reveal().parse().unwrap();
    let error = read.identity(Role::Worker).unwrap_err();
    assert_eq!(error, TokenError::Expired);
    assert!(error.to_string().contains("expired"), "{error}");
}
