//! The HTTP server of `spillway up`: a bound for connections, and a time limit for those that send
//! nothing.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// The limits of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at a time. One more waits until another one ends.
    pub(crate) connections: usize,
    /// From the beginning of a connection, or the end of an answer, to the end of the next request's head.
    pub(crate) head: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_mins(1),
        }
    }
}

/// After a failure to accept a connection, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves connections until `stop`, then lets open answers finish.
pub(crate) async fn serve(
    listener: TcpListener,
    router: axum::Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let free = Arc::new(Semaphore::new(limits.connections));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepting = async {
            let permit = Arc::clone(&free).acquire_owned().await;
            (listener.accept().await, permit)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (accepted, permit) = accepting => match accepted {
                Ok((stream, _)) => {
                    let serving = connection(stream, router.clone(), limits.head, stopped.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    router: axum::Router,
    head: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    // Without this, small events wait for the one before to be acknowledged.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = pin!(serving);
    let stopped = async {
        // An error means that the server is gone, which is the same.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stopped => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

    /// When answers begin, and when they may end.
    #[derive(Clone)]
    struct Gate {
        begun: Arc<Semaphore>,
        may_end: Arc<Semaphore>,
    }

    impl Gate {
        fn with(permits: usize) -> Self {
            Self {
                begun: Arc::new(Semaphore::new(0)),
                may_end: Arc::new(Semaphore::new(permits)),
            }
        }
    }

    async fn server(limits: Limits, gate: Gate) -> (SocketAddr, oneshot::Sender<()>, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(move || {
            let gate = gate.clone();
            async move {
                gate.begun.add_permits(1);
                gate.may_end.acquire().await.unwrap().forget();
                "whole"
            }
        });
        let (stop, stopped) = oneshot::channel();
        let mut running = JoinSet::new();
        running.spawn(async move {
            serve(listener, router, limits, async {
                let _ = stopped.await;
            })
            .await;
        });
        (address, stop, running)
    }

    async fn answered(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        while !text.ends_with("whole") {
            let mut read = [0; 1024];
            let length = timeout(SOON, stream.read(&mut read))
                .await
                .unwrap()
                .unwrap();
            assert_ne!(length, 0, "{text}");
            text.push_str(std::str::from_utf8(&read[..length]).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn a_connection_that_sends_no_request_is_closed_after_the_limit() {
        let head = Duration::from_millis(100);
        let limits = Limits {
            head,
            ..Limits::default()
        };
        let (address, _stop, _running) = server(limits, Gate::with(9)).await;
        for begun in [b"".as_slice(), b"GET / HTT", GET] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let mut read = Vec::new();
            timeout(SOON, stream.read_to_end(&mut read))
                .await
                .unwrap()
                .unwrap();
        }
    }

    #[tokio::test]
    async fn one_connection_over_the_limit_waits_until_another_ends() {
        let limits = Limits {
            connections: 1,
            ..Limits::default()
        };
        let (address, _stop, _running) = server(limits, Gate::with(9)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(GET).await.unwrap();
        answered(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(GET).await.unwrap();
        let mut byte = [0];
        let early = timeout(Duration::from_millis(100), second.read(&mut byte)).await;
        assert!(early.is_err(), "the limit is kept");
        drop(first);
        answered(&mut second).await;
    }

    #[tokio::test]
    async fn an_open_answer_finishes_after_the_server_is_stopped() {
        let gate = Gate::with(0);
        let (address, stop, mut running) = server(Limits::default(), gate.clone()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        gate.begun.acquire().await.unwrap().forget();
        stop.send(()).unwrap();
        gate.may_end.add_permits(1);
        assert!(answered(&mut stream).await.starts_with("HTTP/1.1 200"));
        timeout(SOON, running.join_next()).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
