//! Who may use a server: certificates of both sides, passwords, keys, credentials files. What is
//! wrong is said at once, in words that name no secret.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair as CertificateKey, date_time_ymd,
};
use sandmill_transport::engine::{Credentials, Engine, EngineConfig, EngineError};

use crate::server::{LONG, Server, config_at, free_port};

/// Files of one test, which go with it.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("engine-files-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Connects, says how that went, and how long it took.
fn connect(config: &EngineConfig) -> Result<(), EngineError> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = Engine::connect(config.clone()).await?;
        engine.close().await;
        Ok(())
    })
}

/// Connects in vain: at once, by its own words.
fn refused(config: &EngineConfig) -> EngineError {
    let start = Instant::now();
    let error = connect(config).expect_err("it is not refused");
    let words = error.to_string();
    assert!(!words.contains("no answer within"), "after {:?}: {words}", start.elapsed());
    error
}

/// An authority, and what it signs.
struct Authority {
    params: CertificateParams,
    key: CertificateKey,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = CertificateKey::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// A certificate and its key, in files.
    fn sign(&self, files: &Files, name: &str, host: &str, is_over: bool) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if is_over {
            (params.not_before, params.not_after) =
                (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        }
        let key = CertificateKey::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        (
            files.put(&format!("{name}.pem"), &certificate.pem()),
            files.put(&format!("{name}.key"), &key.serialize_pem()),
        )
    }
}

fn tls(pair: &(PathBuf, PathBuf), ca: &Path) -> String {
    format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {ca:?}, verify: true }}",
        pair.0, pair.1
    )
}

#[test]
fn certificates_are_asked_of_both_sides() {
    let files = Files::new("tls");
    let (own, other) = (Authority::new("own"), Authority::new("other"));
    let (ca, others) = (files.put("ca.pem", &own.pem), files.put("other.pem", &other.pem));
    let server = Server::with(&tls(&own.sign(&files, "server", "127.0.0.1", false), &ca));
    let mut right = config_at(&format!("tls://127.0.0.1:{}", server.port));
    right.tls.ca = Some(ca.clone());
    right.tls.own = Some(own.sign(&files, "client", "client", false));
    connect(&right).unwrap();
    // The server says that it wants TLS, whatever the address says.
    let plain =
        EngineConfig { urls: vec![right.urls[0].replace("tls:", "nats:")], ..right.clone() };
    connect(&plain).unwrap();

    let with = |change: &dyn Fn(&mut EngineConfig)| {
        let mut config = right.clone();
        change(&mut config);
        refused(&config)
    };
    let none = with(&|config| config.tls.own = None);
    assert!(matches!(none, EngineError::Refused { .. }), "{none:?}");
    assert!(none.to_string().contains("asks for a client certificate"), "{none}");
    let foreign = other.sign(&files, "foreign", "client", false);
    let error = with(&|config| config.tls.own = Some(foreign.clone()));
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("client certificate"), "{error}");
    let over = own.sign(&files, "over", "client", true);
    let error = with(&|config| config.tls.own = Some(over.clone()));
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("client certificate"), "{error}");
    for ca in [Some(others), None] {
        let error = with(&|config| config.tls.ca.clone_from(&ca));
        assert!(matches!(error, EngineError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains("name its CA"), "{error}");
    }
    let text = files.put("text.pem", "no certificate");
    let error = with(&|config| config.tls.ca = Some(text.clone()));
    assert!(error.to_string().contains("holds no certificate"), "{error}");
    let pair = (right.tls.own.clone().unwrap().0, text);
    let error = with(&|config| config.tls.own = Some(pair.clone()));
    assert!(error.to_string().contains("holds no key"), "{error}");
    drop(server);

    for (name, host, is_over, words) in [
        ("over-server", "127.0.0.1", true, "has expired"),
        ("elsewhere", "127.0.0.2", false, "for another name"),
    ] {
        let pair = own.sign(&files, name, host, is_over);
        let server = Server::with(&tls(&pair, &ca));
        let url = format!("tls://127.0.0.1:{}", server.port);
        let error = with(&|config| config.urls = vec![url.clone()]);
        assert!(matches!(error, EngineError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn passwords_and_keys_are_looked_at() {
    let files = Files::new("keys");
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server = Server::with(&format!(
        "authorization {{ users: [{{ user: u, password: right }}, {{ nkey: {} }}] }}",
        user.public_key()
    ));
    let url = |login: &str| config_at(&format!("nats://{login}127.0.0.1:{}", server.port));
    connect(&url("u:right@")).unwrap();
    for login in ["", "u:wrong@", "v:right@"] {
        let error = refused(&url(login));
        assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("credentials"), "{error}");
        assert!(!error.to_string().contains("wrong") && !format!("{error:?}").contains("right"));
    }
    let keyed = |text: &str| EngineConfig {
        credentials: Credentials::NkeyFile(files.put("seed", text)),
        ..url("")
    };
    let seed = user.seed().unwrap();
    connect(&keyed(&format!("# a seed\n{seed}\n"))).unwrap();
    let others = other.seed().unwrap();
    let error = refused(&keyed(&others));
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    assert!(!error.to_string().contains(&others), "{error}");
    // A letter of it is another.
    let last = if seed.ends_with('A') { "B" } else { "A" };
    let damaged = format!("{}{last}", &seed[..seed.len() - 1]);
    for (text, words) in [
        (damaged.as_str(), "seed may be damaged"),
        ("nothing", "holds no seed"),
        (&seed[..30], "holds no seed"),
    ] {
        let error = refused(&keyed(text));
        assert!(matches!(error, EngineError::Config(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains(&seed[..20]), "{error}");
    }
    let missing =
        EngineConfig { credentials: Credentials::NkeyFile(files.0.join("nowhere")), ..url("") };
    assert!(refused(&missing).to_string().contains("nowhere"));
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token as `nsc` makes them.
fn token(
    issuer: &KeyPair,
    subject: &KeyPair,
    name: &str,
    nats: &str,
    until: Option<u64>,
) -> String {
    let (iat, iss, sub) = (now() - 60, issuer.public_key(), subject.public_key());
    let until = until.map(|until| format!("\"exp\":{until},")).unwrap_or_default();
    let claims = format!(
        "{{\"jti\":\"{name}\",\"iat\":{iat},{until}\"iss\":\"{iss}\",\"sub\":\"{sub}\",\
         \"name\":\"{name}\",\"nats\":{nats}}}"
    );
    let head = URL_SAFE_NO_PAD.encode("{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}");
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn account(operator: &KeyPair, account: &KeyPair, name: &str, with_store: bool) -> String {
    let store = if with_store {
        ",\"mem_storage\":-1,\"disk_storage\":-1,\"streams\":-1,\"consumer\":-1"
    } else {
        ""
    };
    let nats = format!(
        "{{\"limits\":{{\"subs\":-1,\"data\":-1,\"payload\":-1,\"imports\":-1,\"exports\":-1,\
         \"wildcards\":true,\"conn\":-1,\"leaf\":-1{store}}},\"type\":\"account\",\"version\":2}}"
    );
    token(operator, account, name, &nats, None)
}

fn user(account: &KeyPair, user: &KeyPair, until: Option<u64>) -> String {
    let nats = "{\"pub\":{},\"sub\":{},\"subs\":-1,\"data\":-1,\"payload\":-1,\
                \"type\":\"user\",\"version\":2}";
    token(account, user, "worker", nats, until)
}

/// Connects, and waits until the server does not take it any more: then it says why.
fn runs_out(config: &EngineConfig) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let engine = Engine::connect(config.clone()).await.unwrap();
        let mut link = engine.link();
        let told = link.wait_for(|link| {
            let why = link.why.as_deref().unwrap_or_default();
            !link.is_up && why.contains("authorization")
        });
        let told = tokio::time::timeout(LONG, told).await;
        assert!(told.is_ok(), "{:?}", engine.link().borrow());
    });
}

#[test]
fn credentials_files_are_looked_at() {
    let files = Files::new("jwt");
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (blue, poor, unknown) =
        (KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_account());
    let itself =
        token(&operator, &operator, "operator", "{\"type\":\"operator\",\"version\":2}", None);
    let server = Server::with(&format!(
        "operator: {itself}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n\
         {}: {}\n{}: {}\n{}: {}\n}}",
        system.public_key(),
        system.public_key(),
        account(&operator, &system, "system", false),
        blue.public_key(),
        account(&operator, &blue, "blue", true),
        poor.public_key(),
        account(&operator, &poor, "poor", false),
    ));
    let with = |name: &str, jwt: &str, seed: &str| {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        EngineConfig {
            credentials: Credentials::File(files.put(name, &text)),
            ..config_at(&format!("nats://127.0.0.1:{}", server.port))
        }
    };
    let (worker, other) = (KeyPair::new_user(), KeyPair::new_user());
    let seed = worker.seed().unwrap();
    runs_out(&with("short", &user(&blue, &worker, Some(now() + 5)), &seed));
    connect(&with("right", &user(&blue, &worker, Some(now() + 3_600)), &seed)).unwrap();
    for (name, jwt, seed) in [
        ("over", user(&blue, &worker, Some(now() - 10)), &seed),
        ("unknown", user(&unknown, &worker, None), &seed),
        ("other", user(&blue, &worker, None), &other.seed().unwrap()),
    ] {
        let error = refused(&with(name, &jwt, seed));
        assert!(matches!(error, EngineError::Refused { .. }), "{name}: {error:?}");
        assert!(!error.to_string().contains(seed.as_str()), "{error}");
        assert!(!error.to_string().contains(&jwt[..40]), "{error}");
    }
    let error = refused(&with("poor", &user(&poor, &worker, None), &seed));
    assert!(matches!(error, EngineError::Lacks(_)), "{error:?}");
    assert!(error.to_string().contains("JetStream"), "{error}");
    let error = refused(&with("broken", "x", "y"));
    assert!(matches!(error, EngineError::Config(_)), "{error:?}");
    let error = refused(&config_at(&format!("nats://127.0.0.1:{}", server.port)));
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
}

#[test]
fn a_server_that_does_not_answer_does_not_hide_one_that_does() {
    let server = Server::start();
    // Takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (silent, dead) = (silent.local_addr().unwrap().port(), free_port());
    let mut config = config_at(&format!(
        "nats://127.0.0.1:{silent},nats://127.0.0.1:{dead},nats://127.0.0.1:{}",
        server.port
    ));
    config.connect_timeout = Duration::from_secs(9);
    for _ in 0..3 {
        connect(&config).unwrap();
    }
}
