//! Small HTTP/1.1 servers that stand in for the applications behind the gateway.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    Faults,
    page::{self, Answer},
};

/// Tells which upstream answered, also to those who look at headers only.
const WHO: HeaderName = HeaderName::from_static("x-demo-upstream");

/// The demo upstreams, while they run.
#[derive(Debug)]
pub struct DemoUpstreams {
    addresses: Vec<(String, SocketAddr)>,
    servers: JoinSet<io::Result<()>>,
}

impl DemoUpstreams {
    /// The name of each upstream and where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.addresses
    }

    /// Lets them run on by themselves until their token is cancelled.
    pub fn detach(mut self) {
        self.servers.detach_all();
    }

    /// Waits until all have stopped, which they do when their token is cancelled and their requests are answered.
    ///
    /// # Errors
    /// One of them failed.
    pub async fn stopped(mut self) -> io::Result<()> {
        while let Some(ended) = self.servers.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// One upstream.
#[derive(Clone, Debug)]
struct Upstream {
    name: Arc<str>,
    faults: Faults,
}

/// Starts an upstream at each address; port 0 is any free port. They run until `cancel` is cancelled.
///
/// Each answers `/healthz` with 200, and everything else with what it is and what it was told of the user and the
/// decision: as JSON, or as a page in its own colour for those who accept HTML. What is wrong with it is in `faults`.
///
/// # Errors
/// An address cannot be listened on; it is named. None is left running then.
pub async fn upstreams(
    addresses: &[(String, SocketAddr)],
    faults: &Faults,
    cancel: CancellationToken,
) -> io::Result<DemoUpstreams> {
    let mut running = DemoUpstreams { addresses: Vec::new(), servers: JoinSet::new() };
    for (name, address) in addresses {
        let taken = |error: io::Error| {
            let message = format!("demo upstream {name:?} cannot listen on {address}: {error}");
            io::Error::new(error.kind(), message)
        };
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        running.addresses.push((name.clone(), listener.local_addr()?));
        running.servers.spawn(serve(
            listener,
            Upstream { name: name.as_str().into(), faults: faults.clone() },
            cancel.clone(),
        ));
    }
    Ok(running)
}

fn serve(
    listener: TcpListener,
    upstream: Upstream,
    cancel: CancellationToken,
) -> impl Future<Output = io::Result<()>> + Send {
    let router = Router::new().route("/healthz", get(|| async { "ok\n" })).fallback(answer).with_state(upstream);
    axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned()).into_future()
}

async fn answer(State(Upstream { name, faults }): State<Upstream>, request: Request) -> Response {
    let fate = faults.next(&name);
    if !fate.delay.is_zero() {
        sleep(fate.delay).await;
    }
    let answer = Answer::new(&name, request.method(), request.uri(), request.headers());
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut response = if fate.fails {
        (StatusCode::INTERNAL_SERVER_ERROR, "this demo upstream is broken on purpose\n").into_response()
    } else if accept.contains("text/html") {
        Html(page::html(&answer)).into_response()
    } else {
        Json(answer).into_response()
    };
    if let Ok(who) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(WHO, who);
    }
    response
}
