//! What is shown to a Prometheus that asks who it is talking to.

use std::{env, io};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderValue;
use url::Url;

use super::{Client, OutboundError};
use crate::config::{Credential, SecretAt};

/// The header that goes to this place; none if it asks for nothing.
///
/// # Errors
/// The secret cannot be read.
pub(super) async fn authorization(client: &Client, url: &Url) -> Result<Option<HeaderValue>, OutboundError> {
    let mut known = client.config().credentials.iter();
    let Some(Credential { username, secret, .. }) = known.find(|known| known.origin == url.origin()) else {
        return Ok(None);
    };
    let failed = |source| OutboundError::Credentials { place: url.origin().ascii_serialization(), source };
    let secret = read(secret).await.map_err(failed)?;
    let shown = match username {
        None => format!("Bearer {secret}"),
        Some(username) => format!("Basic {}", BASE64_STANDARD.encode(format!("{username}:{secret}"))),
    };
    // What cannot be in a header is not repeated in the error.
    let mut header = HeaderValue::try_from(shown).map_err(|_| failed(io::ErrorKind::InvalidData.into()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}

async fn read(secret: &SecretAt) -> io::Result<String> {
    let text = match secret {
        SecretAt::File(path) => tokio::fs::read_to_string(path).await?,
        SecretAt::Variable(name) => env::var(name).map_err(|_| io::ErrorKind::NotFound)?,
    };
    let secret = text.trim();
    if secret.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(secret.to_owned()) }
}
