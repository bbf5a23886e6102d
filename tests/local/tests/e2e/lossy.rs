//! An AWS whose answers get lost.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use payment3_local::aws::Aws;

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
