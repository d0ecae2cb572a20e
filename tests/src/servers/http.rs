//! A small HTTP server in this process, for stand-ins and for pages to look at.

use std::future::Future;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// A running server on a thread of its own; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Http {
    port: u16,
    /// Only a drop takes it.
    runtime: Option<Runtime>,
}

/// The connection is closed without an answer.
#[derive(Debug)]
pub struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the connection was closed without an answer")
    }
}

impl std::error::Error for Dropped {}

impl Http {
    /// Listens on a free port of the local host and answers whole requests.
    ///
    /// # Errors
    /// There is no free port.
    pub fn serve<H, F>(handler: H) -> Result<Self>
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<String>, Dropped>> + Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let address = (Ipv4Addr::LOCALHOST, 0);
        let listener = runtime.block_on(TcpListener::bind(address)).context("find a free port")?;
        let port = listener.local_addr()?.port();
        runtime.spawn(async move {
            loop {
                // A peer that has gone before it was met is no reason to meet no other.
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(converse(stream, handler.clone()));
                }
            }
        });
        Ok(Self { port, runtime: Some(runtime) })
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        // A server may be owned by another one's handler, where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Answers what comes over one connection, until it ends.
async fn converse<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<String>, Dropped>> + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let handler = &handler;
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
            handler(Request::from_parts(head, body)).await
        }
    });
    // How a connection ends is the peer's business, or was wanted here.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}
