//! Runs the built `check-status` as AWS Lambda would, against an AWS on loopback: where its calls go, whose
//! certificates it believes, how long it waits, and what it says when its environment is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// Longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of our own, in a file as `SSL_CERT_FILE` names it, and the server settings with a certificate of it.
struct Authority {
    file: PathBuf,
    server: Arc<ServerConfig>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
        std::fs::write(&file, issuer.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        Self {
            file,
            server: Arc::new(server),
        }
    }
}

/// One request: its line and headers in lower case, and its body; `None` at the end of the connection.
fn request(stream: &mut BufReader<impl Read>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line.to_ascii_lowercase());
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// What a server does with a request.
#[derive(Clone)]
enum Answer {
    With(String),
    Never,
    /// What opens a connection is answered with its end; everything else like this.
    HangUpOnOpening(String),
    /// What opens a connection is answered like this, and with its end; everything else like this.
    HangUpAfterOpening(String),
}

/// A request that a server had: on which of its connections, and its line and headers.
type Seen = (usize, String);

/// A server on loopback, with TLS or without, that gives every request the same answer.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    fn new(tls: Option<Arc<ServerConfig>>, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!(
            "{scheme}://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let heads = Arc::<Mutex<Vec<Seen>>>::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            for (number, connection) in listener.incoming().flatten().enumerate() {
                let (tls, answer, seen) = (tls.clone(), answer.clone(), Arc::clone(&seen));
                let seen = move |head| seen.lock().unwrap().push((number, head));
                std::thread::spawn(move || match tls {
                    None => serve(connection, &answer, seen),
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(tls, connection), &answer, seen);
                    }
                });
            }
        });
        Self { url, heads }
    }

    /// What the function wanted of it, without what opened connections.
    fn requests(&self) -> Vec<String> {
        let all = self.all().into_iter().map(|(_, head)| head);
        all.filter(|head| !opens(head)).collect()
    }

    fn all(&self) -> Vec<Seen> {
        self.heads.lock().unwrap().clone()
    }
}

/// Whether a request only opens a connection.
fn opens(head: &str) -> bool {
    head.starts_with("get / ")
}

fn serve(stream: impl Read + Write, answer: &Answer, seen: impl Fn(String)) {
    let mut stream = BufReader::new(stream);
    while let Some((head, _)) = request(&mut stream) {
        let opens = opens(&head);
        seen(head);
        match answer {
            Answer::HangUpOnOpening(_) if opens => return,
            Answer::With(text)
            | Answer::HangUpOnOpening(text)
            | Answer::HangUpAfterOpening(text) => {
                stream.get_mut().write_all(text.as_bytes()).unwrap();
            }
            Answer::Never => std::thread::sleep(PATIENCE),
        }
        if opens && matches!(answer, Answer::HangUpAfterOpening(_)) {
            return;
        }
    }
}

/// AWS Lambda's runtime API, which has one event: somebody asks for the status of a payment.
fn runtime_api() -> (String, Receiver<Value>) {
    let (address, _, answered) = runtime_api_that_tells();
    (address, answered)
}

/// The same, and when it was asked for the event.
fn runtime_api_that_tells() -> (String, Receiver<()>, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (answers, answered) = channel();
    let (asking, asked) = channel();
    std::thread::spawn(move || {
        let mut events = vec![json!({
            "version": "2.0", "rawPath": "/checkstatus/482500007436",
            "pathParameters": {"orderId": "482500007436"}, "headers": {}, "isBase64Encoded": false,
            "requestContext": {"http": {"method": "GET"}},
        })];
        for connection in listener.incoming().flatten() {
            let mut stream = BufReader::new(connection);
            while let Some((head, body)) = request(&mut stream) {
                if head.starts_with("get ") {
                    let _ = asking.send(());
                    let Some(event) = events.pop() else { break };
                    next(stream.get_mut(), &event.to_string());
                } else {
                    answers
                        .send(serde_json::from_slice(&body).unwrap())
                        .unwrap();
                    let accepted = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
                    stream.get_mut().write_all(accepted).unwrap();
                }
            }
        }
    });
    (address, asked, answered)
}

fn next(stream: &mut TcpStream, event: &str) {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         lambda-runtime-aws-request-id: r-1\r\nlambda-runtime-deadline-ms: 4102444800000\r\n\
         lambda-runtime-invoked-function-arn: arn:aws:lambda:x\r\n\r\n{event}",
        event.len()
    )
    .unwrap();
}

/// The function's process; it ends with the test.
struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LAMBDA: [(&str, &str); 10] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "check-status"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ("AWS_REGION", "ap-southeast-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDOBVIOUSLYFAKE"),
    ("AWS_SECRET_ACCESS_KEY", "obviously-fake"),
    ("AWS_SESSION_TOKEN", "obviously-fake-session"),
    ("AWS_TIMEOUT_MS", "4000"),
    ("CHECK_STATUS_TABLE", "the-table"),
    ("DEFAULT_CALLBACK_BASE", "https://shop.example"),
];

/// The function with Lambda's environment, changed by `settings`; an empty value unsets.
fn start(api: &str, settings: &[(&str, &str)]) -> Function {
    let mut command = Command::new(env!("CARGO_BIN_EXE_check-status"));
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", api)
        .envs(LAMBDA)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, value) in settings {
        command.env(name, value);
    }
    Function(command.spawn().unwrap())
}

/// The HTTP status with which the function answers its event.
fn status(settings: &[(&str, &str)]) -> u64 {
    let (api, answered) = runtime_api();
    let _function = start(&api, settings);
    let answer = answered.recv_timeout(PATIENCE).expect("an answer");
    answer["statusCode"].as_u64().expect("a status")
}

/// What a function says that does not start.
fn refusal(settings: &[(&str, &str)]) -> String {
    let (api, _answered) = runtime_api();
    let mut function = start(&api, settings);
    let mut said = String::new();
    let stderr = function.0.stderr.take().unwrap();
    BufReader::new(stderr).read_to_string(&mut said).unwrap();
    assert!(!function.0.wait().unwrap().success());
    said
}

/// What DynamoDB says without the item that is asked for.
fn item_missing() -> String {
    let body = "{}";
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// DynamoDB without the item that is asked for.
fn nothing() -> Answer {
    Answer::With(item_missing())
}

#[test]
fn a_call_goes_to_the_services_own_endpoint_signed_for_region_and_session() {
    let (own, other) = (Server::new(None, nothing()), Server::new(None, nothing()));
    let settings = [
        ("AWS_ENDPOINT_URL", other.url.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", own.url.as_str()),
    ];
    assert_eq!(status(&settings), 404);
    assert_eq!(other.all(), Vec::new());
    let requests = own.requests();
    assert_eq!(requests.len(), 1);
    for part in [
        "post / http/1.1",
        "x-amz-target: dynamodb_20120810.getitem",
        "/ap-southeast-1/dynamodb/aws4_request",
        "x-amz-security-token: obviously-fake-session",
    ] {
        assert!(requests[0].contains(part), "{part}: {}", requests[0]);
    }
    assert_eq!(status(&[("AWS_ENDPOINT_URL", &other.url)]), 404);
    assert_eq!(other.requests().len(), 1);
}

#[test]
fn the_first_event_uses_the_connection_that_was_opened_at_the_start() {
    let server = Server::new(None, nothing());
    let (api, answered) = runtime_api();
    let _function = start(&api, &[("AWS_ENDPOINT_URL", &server.url)]);
    answered.recv_timeout(PATIENCE).expect("an answer");
    let requests = server.all();
    let [(opened, first), (used, second)] = &requests[..] else {
        panic!("{requests:?}");
    };
    assert!(
        opens(first) && second.starts_with("post / "),
        "{requests:?}"
    );
    assert_eq!(opened, used);
    // Nobody's: it must not be worth anything to whoever reads it.
    for secret in [
        "authorization",
        "x-amz-security-token",
        "obviously-fake",
        "akidobviouslyfake",
    ] {
        assert!(!first.contains(secret), "{first}");
    }
}

#[test]
fn a_connection_that_is_gone_before_the_first_event_costs_no_event() {
    for answer in [Answer::HangUpOnOpening, Answer::HangUpAfterOpening] {
        let server = Server::new(None, answer(item_missing()));
        assert_eq!(status(&[("AWS_ENDPOINT_URL", &server.url)]), 404);
        let requests = server.all();
        let [(opened, _), (used, second)] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert!(!opens(second) && opened != used, "{requests:?}");
    }
    // Refused.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    assert_eq!(status(&[("AWS_ENDPOINT_URL", &url)]), 503);
}

#[test]
fn a_silent_service_holds_a_start_up_for_an_eighth_of_the_time_out() {
    let server = Server::new(None, Answer::Never);
    let (api, asked, _answered) = runtime_api_that_tells();
    let began = Instant::now();
    let settings = [
        ("AWS_ENDPOINT_URL", server.url.as_str()),
        ("AWS_TIMEOUT_MS", "8000"),
    ];
    let _function = start(&api, &settings);
    asked.recv_timeout(PATIENCE).expect("it asks for an event");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(1) && took < Duration::from_secs(3),
        "{took:?}"
    );
    assert!(opens(&server.all()[0].1));
}

#[test]
fn only_a_certificate_of_the_trusted_roots_is_believed() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = Server::new(Some(Arc::clone(&ours.server)), nothing());
    let endpoint = ("AWS_ENDPOINT_URL", server.url.as_str());
    let trusting = |authority: &Authority| {
        let file = authority.file.to_str().unwrap();
        status(&[endpoint, ("SSL_CERT_FILE", file)])
    };
    assert_eq!(trusting(&theirs), 503);
    // The roots that are compiled in.
    assert_eq!(status(&[endpoint]), 503);
    assert_eq!(server.all(), Vec::new());
    assert_eq!(trusting(&ours), 404);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_silent_service_costs_no_more_than_the_time_out() {
    let server = Server::new(None, Answer::Never);
    let began = Instant::now();
    let settings = [
        ("AWS_ENDPOINT_URL", server.url.as_str()),
        ("AWS_TIMEOUT_MS", "2000"),
    ];
    assert_eq!(status(&settings), 503);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(6),
        "{took:?}"
    );
    // Half the time is an attempt's, so that there was another.
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_broken_connection_is_tried_again_and_a_redirect_is_not_followed() {
    let elsewhere = Server::new(None, nothing());
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url
    );
    let server = Server::new(None, Answer::With(redirect));
    assert_eq!(status(&[("AWS_ENDPOINT_URL", &server.url)]), 503);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(elsewhere.all(), Vec::new());

    let garbled = Server::new(
        None,
        Answer::With("HTTP/1.1 200 OK\r\ncontent-le\r\n\r\n".into()),
    );
    assert_eq!(status(&[("AWS_ENDPOINT_URL", &garbled.url)]), 503);
    assert_eq!(garbled.requests().len(), 3);
}

#[test]
fn a_wrong_environment_is_named_at_the_start() {
    for name in [
        "AWS_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_TIMEOUT_MS",
    ] {
        let said = refusal(&[(name, "")]);
        assert!(said.contains(name), "{name}: {said}");
        assert!(!said.contains("obviously-fake"), "{said}");
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let said = refusal(&[(name, "/nowhere/at-all.pem")]);
        assert!(said.contains(name), "{said}");
    }
}
