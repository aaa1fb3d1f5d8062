//! The accept loop of a demonstration server, which can close its port for a
//! while.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::base::body::Body;

type Stops = watch::Receiver<Option<Instant>>;

/// Serves until the task is aborted; connections end with it.
pub(super) async fn serve<H, F>(listener: TcpListener, mut stops: Stops, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let Ok(address) = listener.local_addr() else {
        return;
    };
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Some(open) = &listener else {
            wait_for_end_of_stop(&mut stops).await;
            listener = Some(bind_again(address).await);
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, stops.clone(), handler.clone()));
                }
                // Out of file descriptors, say: the next accept may work.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            () = stop_begins(stops.clone()) => listener = None,
        }
    }
}

async fn connection<H, F>(stream: TcpStream, stops: Stops, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // A connection that breaks is nothing that a demonstration reports.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = stop_begins(stops) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn is_stopped(until: Option<Instant>) -> bool {
    until.is_some_and(|until| until > Instant::now())
}

async fn stop_begins(mut stops: Stops) {
    if stops.wait_for(|until| is_stopped(*until)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Another press of the button while stopped moves the end.
async fn wait_for_end_of_stop(stops: &mut Stops) {
    loop {
        let until = *stops.borrow_and_update();
        match until {
            Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
            _ => return,
        }
    }
}

async fn bind_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            // Somebody else holds the port; the gateway goes on saying that
            // the provider is out of reach, which is the truth.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
