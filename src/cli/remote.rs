//! Talking to the admin API of a gateway that runs.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::{Client, Method, StatusCode, header};
use serde_json::Value;

/// Which gateway is asked.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The admin API of a gateway
    #[arg(long, env = "FLAGGATE_ADMIN", default_value = "http://127.0.0.1:9090")]
    admin: String,
    /// A file with the token to show; else $FLAGGATE_TOKEN, if it is set
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What is sent: its content type and its text.
pub(super) type Body = (&'static str, String);

impl Remote {
    /// The JSON that a request is answered with.
    pub(super) fn ask(&self, method: &Method, path: &str) -> Result<Value> {
        let (status, body) = self.send(method, path, None)?;
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let detail = value["detail"].as_str().map_or_else(|| body.trim().to_owned(), str::to_owned);
        let hint = match (status, self.token()?) {
            (StatusCode::UNAUTHORIZED, None) => "; no token was shown: set FLAGGATE_TOKEN or give --token-file",
            (StatusCode::UNAUTHORIZED, Some(_)) => "; the token that was shown is not known there, or has expired",
            _ => "",
        };
        bail!("{method} {path}: {status}: {detail}{hint}")
    }

    /// The token. It is no argument, as everybody on a machine can read those.
    fn token(&self) -> Result<Option<String>> {
        let token = match &self.token_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("failed to read the token from {}", path.display()))?,
            None => std::env::var("FLAGGATE_TOKEN").unwrap_or_default(),
        };
        let token = token.trim();
        Ok((!token.is_empty()).then(|| token.to_owned()))
    }

    /// The status and text that a request is answered with.
    pub(super) fn send(&self, method: &Method, path: &str, body: Option<Body>) -> Result<(StatusCode, String)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.sent(method, path, body))
    }

    async fn sent(&self, method: &Method, path: &str, body: Option<Body>) -> Result<(StatusCode, String)> {
        let url = format!("{}{path}", self.admin.trim_end_matches('/'));
        let mut request = Client::new().request(method.clone(), &url);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some((kind, text)) = body {
            request = request.header(header::CONTENT_TYPE, kind).body(text);
        }
        let answer = request.send().await.with_context(|| {
            format!("no gateway answers at {}; is it running, and is --admin its admin address?", self.admin)
        })?;
        let status = answer.status();
        let body = answer.text().await.with_context(|| format!("the answer of {url} broke off"))?;
        Ok((status, body))
    }
}
