//! An AWS whose answers get lost, or that refuses.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use payment3_harness::aws::Aws;

/// A client's tries of one call.
const TRIES: usize = 3;

/// Clients of this AWS. It does what the first call of `operation` asks for, and the answer to every try of it is lost.
pub(crate) fn loses_the_first_answer(endpoint: &str, operation: &'static str) -> Aws {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let aws = endpoint.trim_start_matches("http://").to_owned();
    let left = Arc::new(AtomicUsize::new(TRIES));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&aws).expect("the local AWS");
            carry(client, server, operation, left.clone());
        }
    });
    Aws::at(&format!("http://{address}"))
}

/// Clients of this AWS, which answers the first `times` calls of `operation` with this error and does nothing for them.
pub(crate) fn refuses(
    endpoint: &str,
    operation: &'static str,
    times: usize,
    error: &'static str,
) -> Aws {
    let body = format!(r#"{{"__type":"com.amazonaws#{error}","message":"refused"}}"#);
    answers(endpoint, operation, times, "400 Bad Request", body)
}

/// Clients of this AWS, which starts no execution.
pub(crate) fn starts_nothing(endpoint: &str) -> Aws {
    refuses(
        endpoint,
        "StartExecution",
        usize::MAX,
        "StateMachineDoesNotExist",
    )
}

/// Clients of this AWS, which says of every execution that it is started, and starts none.
pub(crate) fn starts_in_vain(endpoint: &str) -> Aws {
    let body = r#"{"executionArn":"arn:aws:states:ap-southeast-1:000000000000:execution:none:none","startDate":1}"#;
    answers(
        endpoint,
        "StartExecution",
        usize::MAX,
        "200 OK",
        body.to_owned(),
    )
}

/// Clients of this AWS, where the first `times` calls of `operation` are answered so and nothing is done for them.
fn answers(
    endpoint: &str,
    operation: &'static str,
    times: usize,
    status: &'static str,
    body: String,
) -> Aws {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let aws = endpoint.trim_start_matches("http://").to_owned();
    let left = Arc::new(AtomicUsize::new(times));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&aws).expect("the local AWS");
            let (left, body) = (left.clone(), body.clone());
            carry_unless(client, server, move |request| {
                let answered = request.contains(operation)
                    && left
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                            left.checked_sub(1)
                        })
                        .is_ok();
                answered.then(|| (status, body.clone()))
            });
        }
    });
    Aws::at(&format!("http://{address}"))
}

/// Carries a connection's bytes there and back, until a request is to be answered here.
fn carry_unless(
    client: TcpStream,
    server: TcpStream,
    answer: impl Fn(&str) -> Option<(&'static str, String)> + Send + 'static,
) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a copy");
    let (mut asking, mut asked) = (copy(&client), copy(&server));
    let (mut answering, mut answered) = (server, client);
    let mut refusing = copy(&answered);
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(length @ 1..) = asking.read(&mut bytes) {
            if let Some((status, body)) = answer(&String::from_utf8_lossy(&bytes[..length])) {
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = refusing.write_all(answer.as_bytes());
                let _ = refusing.shutdown(Shutdown::Write);
                break;
            }
            if asked.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = asked.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(length @ 1..) = answering.read(&mut bytes) {
            if answered.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = answered.shutdown(Shutdown::Write);
    });
}

/// Carries a connection's bytes there and back, until an answer is to be lost.
fn carry(client: TcpStream, server: TcpStream, operation: &'static str, left: Arc<AtomicUsize>) {
    let (mut asking, mut asked) = (
        client.try_clone().expect("a copy"),
        server.try_clone().expect("a copy"),
    );
    let (mut answering, mut answered) = (server, client);
    let loses = Arc::new(AtomicBool::new(false));
    let will_lose = loses.clone();
    let still = left.clone();
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(length @ 1..) = asking.read(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]);
            if text.contains(operation) && still.load(Ordering::SeqCst) > 0 {
                will_lose.store(true, Ordering::SeqCst);
            }
            if asked.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = asked.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let mut bytes = [0; 65536];
        while let Ok(length @ 1..) = answering.read(&mut bytes) {
            if loses.load(Ordering::SeqCst) {
                left.fetch_sub(1, Ordering::SeqCst);
                break;
            }
            if answered.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = answered.shutdown(Shutdown::Both);
    });
}
