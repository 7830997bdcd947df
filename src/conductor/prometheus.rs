//! Asking a Prometheus, of the hosts that the configuration allows.

use std::sync::Arc;

use super::AskPrometheus;
use crate::{
    delivery::deployment::Answered,
    outbound::{Client, prometheus::query},
};

/// Asks the Prometheus that a query names.
#[must_use]
pub fn ask_prometheus(client: Client) -> AskPrometheus {
    Arc::new(move |asked| {
        let client = client.clone();
        Box::pin(async move {
            match query(&client, &asked.url, &asked.expr).await {
                Ok(Some(number)) => Answered::Number(number),
                Ok(None) => Answered::Empty,
                Err(error) => Answered::Failed(error.to_string()),
            }
        })
    })
}
