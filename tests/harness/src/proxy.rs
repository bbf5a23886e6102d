//! The common part of the proxies between the functions and the services. A proxy listens on a port for each service,
//! reads every request completely, knows which function sent it, and answers it or closes the connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

use crate::http_forward::{WholeAnswer, WholeRequest};
use crate::peer_process::PeerProcess;

/// Handles the requests that arrive at one port.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The TCP connection, or TLS on it.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Prepares a connection for its first request, for example with a TLS handshake.
    ///
    /// # Errors
    /// The connection is closed.
    fn accept(&self, stream: TcpStream) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Answers a request.
    ///
    /// # Errors
    /// The connection is closed without an answer.
    fn answer(
        &self,
        connection: &Connection,
        request: WholeRequest,
    ) -> impl Future<Output = Result<WholeAnswer, NoAnswer>> + Send;
}

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
pub struct NoAnswer;

/// A port of a proxy.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Port {
    /// Takes a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn free() -> Result<Self> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map(Self)
            .context("no free port for a proxy")
    }

    /// Its number.
    ///
    /// # Errors
    /// The system call fails.
    pub fn number(&self) -> Result<u16> {
        let address = self.0.local_addr().context("a listener has an address")?;
        Ok(address.port())
    }

    /// Serves connections until one cannot be accepted. Returns that error.
    pub async fn serve(self, handler: impl Handler) -> io::Error {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(serve_connection(stream, peer, handler.clone()));
                }
                Err(error) => return error,
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, handler: impl Handler) {
    let Ok(ours) = stream.local_addr() else {
        return;
    };
    let connection = Arc::new(Connection::new(peer, ours));
    // As servers do: send each answer at once, without waiting for the acknowledgement of the last one.
    let _ = stream.set_nodelay(true);
    // A client may be killed during the handshake. That is no error.
    let Ok(stream) = handler.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let (handler, connection) = (handler.clone(), connection.clone());
        async move {
            let request = WholeRequest::read(request).await.map_err(|_| NoAnswer)?;
            let answer = handler.answer(&connection, request).await?;
            Ok::<Response<Full<Bytes>>, NoAnswer>(answer.into())
        }
    });
    // An error means that the caller is gone, or that the handler gave no answer on purpose.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// A connection of a function to a proxy.
#[derive(Debug)]
pub struct Connection {
    /// Unique in this process.
    pub id: u64,
    /// The addresses: the function's and ours.
    ends: (SocketAddr, SocketAddr),
    /// Looked up once, while a request waits: its socket surely exists then.
    caller: OnceCell<PeerProcess>,
}

impl Connection {
    fn new(peer: SocketAddr, ours: SocketAddr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            ends: (peer, ours),
            caller: OnceCell::new(),
        }
    }

    /// The function's process.
    ///
    /// # Errors
    /// No process has the other end, or the process is not a function.
    pub async fn caller(&self) -> Result<&PeerProcess> {
        let (peer, ours) = self.ends;
        self.caller
            .get_or_try_init(async || {
                tokio::task::spawn_blocking(move || PeerProcess::behind(peer, ours))
                    .await
                    .context("looking up a caller panicked")?
            })
            .await
    }
}
