//! Asking a Prometheus, of the hosts that the configuration allows.

use std::sync::Arc;

use super::AskPrometheus;
use crate::{
    config::Outbound,
    delivery::deployment::Answered,
    outbound::{Client, OutboundError, prometheus::query},
};

/// Asks the Prometheus that a query names.
///
/// # Errors
/// Calls to other hosts cannot be made with this configuration.
pub fn ask_prometheus(config: Outbound) -> Result<AskPrometheus, OutboundError> {
    let client = Client::new(config)?;
    Ok(Arc::new(move |asked| {
        let client = client.clone();
        Box::pin(async move {
            match query(&client, &asked.url, &asked.expr).await {
                Ok(Some(number)) => Answered::Number(number),
                Ok(None) => Answered::Empty,
                Err(error) => Answered::Failed(error.to_string()),
            }
        })
    }))
}
