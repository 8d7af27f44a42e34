//! The accept loop: hyper with limits on how slowly and how much a peer may send, and a graceful stop.

use std::{io, net::SocketAddr, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::watch};
use tower::ServiceExt as _;

/// A request's head must be here after this long: slowloris lives on patience.
const HEAD: Duration = Duration::from_secs(10);
/// The largest head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// How long open requests have to finish at a stop.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves `router` until `stop` is done, then lets open requests finish.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(100);
    // Every connection holds a receiver, so that the sender knows when the last of them has gone.
    let farewell = watch::Sender::new(false);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest_after(&error).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        // A state is one small frame that somebody waits for.
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            request
        });
        let connection =
            http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = connection.with_upgrades();
        let mut told = farewell.subscribe();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let told = async move { told.wait_for(|stopping| *stopping).await.map(drop) };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = told => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            // A peer that goes away or speaks badly concerns nobody else.
            if let Err(error) = ended {
                tracing::debug!(name: "connection.broken", %error, "a connection broke");
            }
        });
    }
    drop(listener);
    farewell.send_replace(true);
    tokio::select! {
        () = farewell.closed() => {}
        () = wait(FAREWELL) => {}
    }
}

/// Running out of descriptors is the one accept error that a pause mends.
async fn rest_after(error: &io::Error) {
    tracing::warn!(name: "accept.failed", %error, "cannot accept a connection; raise the limit of open files if this goes on");
    wait(Duration::from_millis(50)).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for peers and the kernel, which no rule depends on"
)]
async fn wait(span: Duration) {
    tokio::time::sleep(span).await;
}
