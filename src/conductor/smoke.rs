//! Asking the endpoints of an upstream whether they work, before anybody is sent there.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::{net::TcpStream, time::timeout};

use crate::{config, delivery::deployment::Smoke};

/// How long one question may take.
const WITHIN: Duration = Duration::from_secs(2);

/// An upstream, as it is tested.
#[derive(Clone, Debug)]
pub(super) struct Target {
    addresses: Vec<Arc<str>>,
    /// What its health check asks for.
    health: Option<String>,
}

/// Asks as a plain client would that follows nothing.
pub(super) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(WITHIN).no_proxy();
    client.build().expect("a client without TLS can be built")
}

impl Target {
    pub(super) fn of(upstream: &config::Upstream) -> Self {
        Self {
            addresses: upstream.endpoints.iter().map(|endpoint| endpoint.address.as_str().into()).collect(),
            health: upstream.health_check.as_ref().and_then(|check| check.path.clone()),
        }
    }

    /// What is wrong with its endpoints, each in a sentence; empty: nothing.
    pub(super) async fn test(&self, client: &reqwest::Client, smoke: &Smoke) -> Vec<String> {
        let all = self.addresses.iter().map(|address| self.test_one(client, address, smoke));
        join_all(all).await.into_iter().flatten().collect()
    }

    /// Connects, asks what the health check asks, then each smoke test.
    async fn test_one(&self, client: &reqwest::Client, address: &str, smoke: &Smoke) -> Option<String> {
        match timeout(WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Some(format!("{address} cannot be reached: {error}")),
            Err(_) => return Some(format!("{address} cannot be reached in time")),
        }
        if let Some(path) = &self.health {
            let is_good = |status: u16| (200..300).contains(&status);
            if let Some(why) = ask(client, address, path, is_good, "2xx").await {
                return Some(why);
            }
        }
        for test in &smoke.tests {
            let expected = test.expected_status;
            if let Some(why) =
                ask(client, address, &test.path, |status| status == expected, &expected.to_string()).await
            {
                return Some(why);
            }
        }
        None
    }
}

async fn ask(
    client: &reqwest::Client,
    address: &str,
    path: &str,
    is_good: impl Fn(u16) -> bool,
    expected: &str,
) -> Option<String> {
    match client.get(format!("http://{address}{path}")).send().await {
        Ok(response) if is_good(response.status().as_u16()) => None,
        Ok(response) => Some(format!("{address}{path} answered {}, expected {expected}", response.status().as_u16())),
        Err(error) if error.is_timeout() => Some(format!("{address}{path} did not answer in time")),
        Err(error) => Some(format!("{address}{path} did not answer: {error}")),
    }
}
