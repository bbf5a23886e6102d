//! An AWS whose answers get lost, or that refuses: a relay in front of the local one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use payment3_harness::aws::Aws;

/// How often a client sends one call.
const TRIES: usize = 3;

/// What becomes of the calls of one operation. All other calls pass.
#[derive(Clone)]
enum Fate {
    /// The call has its effect, and its answer is lost.
    AnswerLost,
    /// The call has no effect, and gets this answer.
    Answered { status: &'static str, body: String },
}

/// Clients of an AWS that does what the first call of `operation` asks for, and loses the answer to each try of it.
pub(crate) fn loses_the_first_answer(endpoint: &str, operation: &'static str) -> Aws {
    relay(endpoint, operation, TRIES, Fate::AnswerLost)
}

/// Clients of an AWS that answers the first `times` calls of `operation` with this error, and does nothing for them.
pub(crate) fn refuses(
    endpoint: &str,
    operation: &'static str,
    times: usize,
    error: &'static str,
) -> Aws {
    let status = "400 Bad Request";
    let body = format!(r#"{{"__type":"com.amazonaws#{error}","message":"refused"}}"#);
    relay(endpoint, operation, times, Fate::Answered { status, body })
}

/// Clients of an AWS that refuses to start executions.
pub(crate) fn starts_nothing(endpoint: &str) -> Aws {
    let error = "StateMachineDoesNotExist";
    refuses(endpoint, "StartExecution", usize::MAX, error)
}

/// Clients of an AWS that says of every execution that it is started, and starts none.
pub(crate) fn starts_in_vain(endpoint: &str) -> Aws {
    let arn = "arn:aws:states:ap-southeast-1:000000000000:execution:none:none";
    let fate = Fate::Answered {
        status: "200 OK",
        body: format!(r#"{{"executionArn":"{arn}","startDate":1}}"#),
    };
    relay(endpoint, "StartExecution", usize::MAX, fate)
}

/// Clients of this AWS through a relay: the first `times` calls of `operation` meet this fate.
fn relay(endpoint: &str, operation: &'static str, times: usize, fate: Fate) -> Aws {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let aws = endpoint.trim_start_matches("http://").to_owned();
    let left = Arc::new(AtomicUsize::new(times));
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&aws).expect("the local AWS");
            let (left, fate) = (left.clone(), fate.clone());
            carry(client, server, move |request| {
                let meets = request.contains(operation) && take_one(&left);
                meets.then(|| fate.clone())
            });
        }
    });
    Aws::at(&format!("http://{address}"))
}

/// Counts one down; false where none is left.
fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

/// Carries a connection's bytes both ways, until a request meets its fate.
fn carry(
    client: TcpStream,
    server: TcpStream,
    fate_of: impl Fn(&str) -> Option<Fate> + Send + 'static,
) {
    let copy = |stream: &TcpStream| stream.try_clone().expect("a copy");
    let (mut from_client, mut to_server) = (copy(&client), copy(&server));
    let (mut from_server, mut to_client) = (server, copy(&client));
    let mut refused = client;
    let answer_lost = Arc::new(AtomicBool::new(false));
    let loses = answer_lost.clone();
    thread::spawn(move || {
        pump(&mut from_client, &mut to_server, |request| {
            match fate_of(&String::from_utf8_lossy(request)) {
                Some(Fate::Answered { status, body }) => {
                    let _ = refused.write_all(answer(status, &body).as_bytes());
                    return false;
                }
                Some(Fate::AnswerLost) => loses.store(true, Ordering::SeqCst),
                None => {}
            }
            true
        });
        let _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        pump(&mut from_server, &mut to_client, |_| {
            !answer_lost.load(Ordering::SeqCst)
        });
        let _ = to_client.shutdown(Shutdown::Write);
    });
}

/// Copies bytes until the stream ends, or `passes` says that some do not pass.
fn pump(from: &mut TcpStream, to: &mut TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 65536];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let read = &bytes[..length];
        if !passes(read) || to.write_all(read).is_err() {
            break;
        }
    }
}

/// An answer of AWS after which the connection closes.
fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
