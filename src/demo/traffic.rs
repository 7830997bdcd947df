//! Simulated users who ask the gateway.

use std::{net::SocketAddr, time::Duration};

use pingora::{
    Error, ErrorType, OkOrErr as _, Result, connectors::http::Connector, http::RequestHeader, upstreams::peer::HttpPeer,
};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How many requests there are each second unless somebody says otherwise.
pub const MODEST: u32 = 50;

/// An answer takes longer than this only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
const RECONNECT: Duration = Duration::from_millis(500);

const PATHS: [&str; 5] = ["/", "/search?q=lamp", "/product/7", "/cart", "/checkout"];
const COUNTRIES: [&str; 7] = ["DE", "US", "FR", "GB", "JP", "KR", "BR"];
const PLANS: [&str; 4] = ["free", "free", "free", "pro"];

/// What the simulated users met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests answered with 2xx.
    pub succeeded: u64,
    /// Requests answered otherwise.
    pub refused: u64,
    /// Requests without an answer; each is followed by a pause and a new connection.
    pub failed: u64,
}

/// Asks the gateway as `user-1` to `user-500` in turn, each with a country and a plan of their own, over one connection
/// that is kept alive and made anew when it is lost; at most so many requests each second. Ends when `cancel` is cancelled.
pub async fn traffic(gateway: SocketAddr, per_second: u32, cancel: CancellationToken) -> Traffic {
    let mut met = Traffic::default();
    Box::pin(cancel.run_until_cancelled(ask_for_ever(gateway, per_second, &mut met))).await;
    met
}

async fn ask_for_ever(gateway: SocketAddr, per_second: u32, met: &mut Traffic) {
    let (connector, peer) = (Connector::new(None), HttpPeer::new(gateway, false, String::new()));
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u64.. {
        ticks.tick().await;
        let answer = timeout(PATIENCE, ask(&connector, &peer, number)).await;
        match answer.unwrap_or_else(|_| Err(Error::new(ErrorType::ReadTimedout))) {
            Ok(status) if (200..300).contains(&status) => met.succeeded += 1,
            Ok(_) => met.refused += 1,
            Err(error) => {
                met.failed += 1;
                log::debug!("demo: the gateway at {gateway} does not answer: {error}");
                sleep(RECONNECT).await;
            }
        }
    }
}

/// One request and its answer's status.
async fn ask(connector: &Connector, peer: &HttpPeer, number: u64) -> Result<u16> {
    let (mut session, _) = connector.get_http_session(peer).await?;
    session.write_request_header(Box::new(request(number)?)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|header| header.status.as_u16());
    while session.read_response_body().await?.is_some() {}
    connector.release_http_session(session, peer, None).await;
    status.or_err(ErrorType::InvalidHTTPHeader, "no status")
}

fn request(number: u64) -> Result<RequestHeader> {
    // 211 has no divisor in common with 500, so that all users come by, not in their order.
    let user = number * 211 % 500;
    let pick = |from: &'static [&'static str], at: u64| from[usize::try_from(at).unwrap_or_default() % from.len()];
    let mut request = RequestHeader::build("GET", pick(&PATHS, number).as_bytes(), None)?;
    let headers = [
        ("Host", "shop.example"),
        ("User-Agent", "flaggate-demo"),
        ("Accept", "application/json"),
        ("X-User-Id", &format!("user-{}", user + 1)),
        ("X-User-Country", pick(&COUNTRIES, user)),
        ("X-User-Plan", pick(&PLANS, user / 3)),
    ];
    for (name, value) in headers {
        request.insert_header(name, value)?;
    }
    Ok(request)
}
