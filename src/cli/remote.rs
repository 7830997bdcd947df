//! Talking to the admin API of a gateway that runs.

use std::{ops::ControlFlow, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode,
    header::{self, HeaderMap, HeaderName},
};
use serde_json::Value;

use super::failure::Failure;

/// Which gateway is asked.
#[derive(Debug, Args)]
pub(super) struct Remote {
    /// The admin API of a gateway; http unless it says https
    #[arg(long, env = "FLAGGATE_ADMIN", default_value = "http://127.0.0.1:9090")]
    admin: String,
    /// A file with the token to show; else $FLAGGATE_TOKEN, if it is set
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What is sent.
#[derive(Debug, Default)]
pub(super) struct Request<'r> {
    pub(super) method: Method,
    /// The path, with the query.
    pub(super) path: String,
    pub(super) headers: &'r [(HeaderName, String)],
    pub(super) body: Option<Value>,
}

/// What comes back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Value,
}

/// A body: its content type and its text.
pub(super) type Body = (&'static str, String);

impl Remote {
    /// A gateway of this process.
    pub(super) fn at(admin: std::net::SocketAddr) -> Self {
        Self { admin: format!("http://{admin}"), token_file: None }
    }

    /// The JSON that a request is answered with.
    pub(super) fn ask(&self, method: &Method, path: &str) -> Result<Value> {
        let request = Request { method: method.clone(), path: path.to_owned(), ..Request::default() };
        Ok(self.exchange(&request)?.body)
    }

    /// The answer to a request that is done; a [`Failure`] if it is not.
    pub(super) fn exchange(&self, request: &Request<'_>) -> Result<Answer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.exchanged(request))
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

    /// The status and the text that a request is answered with, whatever the status.
    pub(super) fn send(&self, method: &Method, path: &str, body: Option<Body>) -> Result<(StatusCode, String)> {
        let mut request = Client::new().request(method.clone(), self.url(path));
        if let Some((kind, text)) = body {
            request = request.header(header::CONTENT_TYPE, kind).body(text);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, _, text) = runtime.block_on(self.sent(request))?;
        Ok((status, text))
    }

    /// The answer to a request with this body, read as it comes: each of its lines is told. What comes back is the last line.
    pub(super) fn exchange_bytes(
        &self,
        request: &Request<'_>,
        (kind, bytes): (&'static str, Vec<u8>),
        tell: &mut dyn FnMut(&Value) -> Result<()>,
    ) -> Result<Answer> {
        let mut sent = Client::new().request(request.method.clone(), self.url(&request.path));
        for (name, value) in request.headers {
            sent = sent.header(name, value);
        }
        sent = sent.header(header::CONTENT_TYPE, kind).body(bytes);
        if let Some(token) = self.token()? {
            sent = sent.bearer_auth(token);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let lost = |error: reqwest::Error| Failure::unreachable(&self.admin, &error);
            let mut answer = sent.send().await.map_err(lost)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            if !status.is_success() {
                return Err(self.refused(request, status, &answer.text().await.map_err(lost)?)?.into());
            }
            let (mut unread, mut body) = (Vec::new(), Value::Null);
            loop {
                let chunk = answer.chunk().await.map_err(lost)?;
                let has_ended = chunk.is_none();
                unread.extend_from_slice(&chunk.unwrap_or_else(|| b"\n".as_slice().into()));
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    if let Ok(value) = serde_json::from_slice::<Value>(&line) {
                        tell(&value)?;
                        body = value;
                    }
                }
                if has_ended {
                    return Ok(Answer { status, headers, body });
                }
            }
        })
    }

    /// Reads an answer as it comes, and tells each of its lines until somebody has enough.
    pub(super) fn follow(&self, path: &str, tell: &mut dyn FnMut(&str) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut sent = Client::new().get(self.url(path));
        if let Some(token) = self.token()? {
            sent = sent.bearer_auth(token);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let lost = |error: reqwest::Error| Failure::unreachable(&self.admin, &error);
            let mut answer = sent.send().await.map_err(lost)?;
            if !answer.status().is_success() {
                let request = Request { path: path.to_owned(), ..Request::default() };
                let status = answer.status();
                return Err(self.refused(&request, status, &answer.text().await.map_err(lost)?)?.into());
            }
            let mut unread = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(lost)? {
                unread.extend_from_slice(&chunk);
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    if tell(String::from_utf8_lossy(&line).trim_end())?.is_break() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    fn url(&self, path: &str) -> String {
        let scheme = if self.admin.contains("://") { "" } else { "http://" };
        format!("{scheme}{}{path}", self.admin.trim_end_matches('/'))
    }

    async fn sent(&self, mut request: RequestBuilder) -> Result<(StatusCode, HeaderMap, String)> {
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| Failure::unreachable(&self.admin, &error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.map_err(|error| Failure::unreachable(&self.admin, &error))?;
        Ok((status, headers, text))
    }

    async fn exchanged(&self, request: &Request<'_>) -> Result<Answer> {
        let mut sent = Client::new().request(request.method.clone(), self.url(&request.path));
        for (name, value) in request.headers {
            sent = sent.header(name, value);
        }
        if let Some(body) = &request.body {
            sent = sent.json(body);
        }
        let (status, headers, text) = self.sent(sent).await?;
        if status.is_success() {
            return Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default() });
        }
        Err(self.refused(request, status, &text)?.into())
    }

    fn refused(&self, request: &Request<'_>, status: StatusCode, text: &str) -> Result<Failure> {
        let failure = Failure::refused(request, status, text);
        Ok(match (status, self.token()?) {
            (StatusCode::UNAUTHORIZED, None) => {
                failure.hinting("no token was shown: set FLAGGATE_TOKEN or give --token-file")
            }
            (StatusCode::UNAUTHORIZED, Some(_)) => {
                failure.hinting("the token that was shown is not known there, or has expired")
            }
            _ => failure,
        })
    }
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
