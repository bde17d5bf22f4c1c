//! Who is not let in: both sides say why, and not a byte of a component comes through.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sandmill_transport::cert::{CertAuthority, DEFAULT_VALIDITY};
use sandmill_transport::direct::{LinkError, ServeOptions, connect};
use sandmill_transport::message::{Goodbye, ToWorker, Versions};
use sandmill_transport::security::{ClientSecurity, Role, ServerSecurity};
use sandmill_transport::token::Token;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::certificates::{Pki, client, server};
use crate::support::*;

/// A client is refused in `its` words, the worker's host is told in `theirs`, nothing comes through.
async fn refused(served: &Served, security: &ClientSecurity, its: &str, theirs: &str) {
    let error = served.connect(security).await.map(|_| "a link").unwrap_err();
    assert!(error.to_string().contains(its), "the client says: {error}");
    assert!(!error.is_passing(), "{error:?}");
    served.told(theirs).await;
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 0);
    assert_eq!(served.echo.put_calls.load(Ordering::SeqCst), 0);
    assert_eq!(served.echo.put_bytes.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let served = Served::on("tls://localhost:0", ours.server("localhost")).await;
    // The client sees it first, because the server shows its certificate first.
    refused(
        &served,
        &theirs.client(),
        "the worker has another token or certificate authority",
        "the other side has another token or certificate authority than this worker",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_authority_that_takes_the_server() {
    // A client that trusts the server, with a certificate that the server does not.
    let (ours, theirs) = (Pki::new(), Pki::new());
    let served = Served::on("tls://localhost:0", ours.server("localhost")).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    ours.0.save(&file("ca.pem"), &file("ca.key")).unwrap();
    let issued = theirs.0.issue(Role::Submit, Vec::new(), DEFAULT_VALIDITY).unwrap();
    issued.save(&file("c.pem"), &file("c.key")).unwrap();
    let identity = sandmill_transport::security::Identity::load(
        &file("c.pem"),
        &file("c.key"),
        &file("ca.pem"),
    )
    .unwrap();
    refused(
        &served,
        &client(&identity),
        "the worker has another token or certificate authority than this side",
        "the other side has another token or certificate authority",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_certificates() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let short = Duration::from_secs(1);
    let old_client = client(&pki.identity(Role::Submit, &["a"], short));
    let old_server = server(&pki.identity(Role::Worker, &["localhost"], short));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    refused(
        &served,
        &old_client,
        "the worker says that the certificate or join token of this side has expired",
        "the certificate or join token of the other side has expired",
    )
    .await;
    let served = Served::on("tls://localhost:0", old_server).await;
    refused(
        &served,
        &pki.client(),
        "the certificate or join token of the worker has expired",
        "the other side says that the certificate or join token of this worker has expired",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_may_not() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    for role in [Role::Worker, Role::Observe] {
        let words = format!("a certificate with the role `{role}` may not give runs to a worker");
        refused(&served, &pki.client_as(role), &words, &words).await;
    }
    let (_, mut connection) = served.connect(&pki.client_as(Role::Admin)).await.unwrap();
    echoes(&mut connection, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_hosts_name() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("a.example")).await;
    refused(
        &served,
        &pki.client(),
        "the certificate of the worker is for another host",
        "it may be for another host's name",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_in_and_another_does_not() {
    let hour = Duration::from_secs(3600);
    let (ours, other) = (Token::new(hour).unwrap(), Token::new(hour).unwrap());
    let security = server(&ours.identity(Role::Worker).unwrap());
    let served = Served::on("tls://127.0.0.1:0", security).await;
    refused(
        &served,
        &client(&other.identity(Role::Submit).unwrap()),
        "the worker has another token or certificate authority",
        "the other side has another token or certificate authority",
    )
    .await;
    // A token whose time was changed is another token, however well its check fits.
    let read: Token = ours.reveal().parse().unwrap();
    let (_, mut connection) =
        served.connect(&client(&read.identity(Role::Submit).unwrap())).await.unwrap();
    echoes(&mut connection, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_since() {
    let token = Token::new(Duration::from_secs(2)).unwrap();
    let ours = server(&token.identity(Role::Worker).unwrap());
    let theirs = client(&token.identity(Role::Submit).unwrap());
    let served = Served::on("tls://127.0.0.1:0", ours).await;
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    refused(
        &served,
        &theirs,
        "the certificate or join token of the worker has expired",
        "the certificate or join token of this worker has expired",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_and_newer_protocols() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    for versions in [Versions { least: 0, most: 0 }, Versions { least: 90, most: 99 }] {
        let hello = sandmill_transport::message::Hello { versions, ..hello() };
        let security = ClientSecurity::Plain;
        let error = connect(&served.address, &security, hello, patient()).await.unwrap_err();
        let (least, most) = (versions.least, versions.most);
        assert_eq!(
            error.to_string(),
            format!(
                "the worker refused: it speaks versions 1 to 1 of the protocol, this side {least} \
                 to {most}: use releases that are closer"
            )
        );
        assert!(matches!(error, LinkError::Refused(Goodbye::Version { .. })));
        served.told(&format!("it speaks versions {least} to {most} of the protocol")).await;
    }
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 0);

    let newer = Echo { protocol: 7, ..Echo::default() };
    let served =
        Served::with("unix:DIR/s", ServerSecurity::Plain, newer, ServeOptions::default()).await;
    let error = served.connect(&ClientSecurity::Plain).await.map(|_| "a link").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the worker speaks version 7 of the protocol, this side 1 to 1: use releases that are closer"
    );
    eventually("the worker to hear why", || {
        matches!(
            served.echo.said.lock().as_slice(),
            [ToWorker::Goodbye(Goodbye::Version { theirs: Versions { least: 7, most: 7 }, .. })]
        )
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_does_not_want_to() {
    let served = Served::on("unix:DIR/s", ServerSecurity::Plain).await;
    let unwelcome = sandmill_transport::message::Hello { name: "unwelcome".into(), ..hello() };
    let error = connect(&served.address, &ClientSecurity::Plain, unwelcome, patient()).await;
    let error = error.map(|_| "a link").unwrap_err();
    assert_eq!(error.to_string(), "the worker refused: there are two coordinators already");
    assert!(error.is_passing());
    served.told("there are two coordinators already").await;
    let long = sandmill_transport::message::Hello { name: "x".repeat(5_000), ..hello() };
    let error = connect(&served.address, &ClientSecurity::Plain, long, patient()).await;
    assert!(error.map(|_| "a link").unwrap_err().to_string().contains("use a shorter name"));
}

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A client of the library alone, with or without a certificate.
fn raw_client(pki: &Pki, shown: Option<Shown>) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.0.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

/// What a raw client hears in place of an answer.
async fn raw_refusal(served: &Served, connector: tokio_rustls::TlsConnector) -> String {
    let stream = TcpStream::connect(("localhost", served.port())).await.unwrap();
    // In TLS 1.3 the client's part is over before the server has looked at it.
    let mut tls = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let _ = tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    tls.read_to_end(&mut Vec::new()).await.unwrap_err().to_string()
}

fn issued(authority: &CertAuthority, role: Role) -> Shown {
    let issued = authority.issue(role, vec!["localhost".to_owned()], DEFAULT_VALIDITY).unwrap();
    (
        vec![CertificateDer::from_pem_slice(issued.pem().as_bytes()).unwrap()],
        PrivateKeyDer::from_pem_slice(issued.key_pem().as_bytes()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_certificate() {
    let pki = Pki::new();
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let heard = raw_refusal(&served, raw_client(&pki, None)).await;
    assert!(heard.contains("CertificateRequired"), "{heard}");
    served.told("showed no certificate: it needs one with the role `submit`").await;
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_without_a_workers_role() {
    let pki = Pki::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = issued(&pki.0, Role::Submit);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let impostor = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.map(drop).unwrap_err().to_string()
    });
    let address = format!("tls://localhost:{port}").parse().unwrap();
    let error = connect(&address, &pki.client(), hello(), patient()).await.unwrap_err();
    let words = "its certificate has the role `submit`, and that of a worker has `worker`";
    assert!(error.to_string().contains(words), "{error}");
    assert!(matches!(error, LinkError::Tls(_)));
    let heard = impostor.await.unwrap();
    assert!(heard.contains("CertificateUnknown"), "{heard}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_role() {
    // One that the authority's own key signed, by other means than ours.
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let pki = Pki::new();
    pki.0.save(&file("ca.pem"), &file("ca.key")).unwrap();
    let error = sandmill_transport::security::Identity::load(
        &file("ca.pem"),
        &file("ca.key"),
        &file("ca.pem"),
    )
    .unwrap_err();
    assert!(error.to_string().contains("it has no role"), "{error}");

    // The same name and key as our authority's, so the chain is good; but it says no role.
    let mut authority = rcgen::CertificateParams::default();
    authority.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut authority.distinguished_name;
    name.push(rcgen::DnType::CommonName, pki.0.info().subject.clone());
    name.push(rcgen::DnType::OrganizationName, "Sandmill");
    let pem = std::fs::read_to_string(file("ca.key")).unwrap();
    let issuer = rcgen::Issuer::new(authority, rcgen::KeyPair::from_pem(&pem).unwrap());
    let key = rcgen::KeyPair::generate().unwrap();
    let holder = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let certificate = holder.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let shown = (vec![certificate.der().clone()], key);
    let served = Served::on("tls://localhost:0", pki.server("localhost")).await;
    let heard = raw_refusal(&served, raw_client(&pki, Some(shown))).await;
    assert!(heard.contains("CertificateUnknown"), "{heard}");
    served.told("it has no role: it was not made by `sandmill cert issue`").await;
    assert_eq!(served.echo.opened.load(Ordering::SeqCst), 0);
}
