//! Talking to the admin API of a gateway that runs.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{Client, Method};
use serde_json::Value;

/// Which gateway is asked.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The admin API of a gateway
    #[arg(long, env = "FLAGGATE_ADMIN", default_value = "http://127.0.0.1:9090")]
    admin: String,
}

impl Remote {
    /// The JSON that a request is answered with.
    pub(super) fn ask(&self, method: &Method, path: &str) -> Result<Value> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.asked(method, path))
    }

    async fn asked(&self, method: &Method, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.admin.trim_end_matches('/'));
        let answer = Client::new().request(method.clone(), &url).send().await;
        let answer = answer.with_context(|| {
            format!("no gateway answers at {}; is it running, and is --admin its admin address?", self.admin)
        })?;
        let status = answer.status();
        let body = answer.text().await.with_context(|| format!("the answer of {url} broke off"))?;
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let detail = value["detail"].as_str().map_or_else(|| body.trim().to_owned(), str::to_owned);
        bail!("{method} {path}: {status}: {detail}")
    }
}
