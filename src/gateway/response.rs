//! What is changed in an upstream's response before the client gets it.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HOST, SERVER, TRANSFER_ENCODING, UPGRADE, VARY},
};
use pingora::{Result, http::ResponseHeader};

/// What the gateway calls itself.
pub(super) const SERVER_NAME: HeaderValue = HeaderValue::from_static("flaggate");

/// Headers that are meant for one connection only. `Transfer-Encoding` is not among them: pingora reads it to frame
/// the body anew.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "proxy-authenticate", "te", "trailer", "upgrade"];

/// Removes what is not for the client: hop-by-hop headers and those that the upstream nominated in `Connection`.
/// An upgrade keeps what makes it one.
///
/// # Errors
/// Never in practice: the inserted headers are valid.
pub(super) fn clean(response: &mut ResponseHeader) -> Result<()> {
    let upgrade = (response.status == StatusCode::SWITCHING_PROTOCOLS).then(|| response.headers.get(UPGRADE).cloned());
    for name in nominated(&response.headers) {
        response.remove_header(&name);
    }
    for name in HOP_BY_HOP {
        response.remove_header(name);
    }
    if let Some(protocol) = upgrade.flatten() {
        response.insert_header(CONNECTION, "Upgrade")?;
        response.insert_header(UPGRADE, protocol)?;
    }
    response.insert_header(SERVER, SERVER_NAME)
}

/// Adds names to `Vary`, each once; `Vary: *` says it all already.
///
/// # Errors
/// Never in practice: the inserted header is valid.
pub(super) fn vary<'n>(response: &mut ResponseHeader, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
    let known: Vec<String> =
        response.headers.get_all(VARY).iter().flat_map(tokens).map(|name| name.to_ascii_lowercase()).collect();
    if known.iter().any(|name| name == "*") {
        return Ok(());
    }
    for name in names {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            response.append_header(VARY, name)?;
        }
    }
    Ok(())
}

/// The headers that `Connection` names, but for those without which a message cannot be read.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| ![CONTENT_LENGTH, TRANSFER_ENCODING, HOST].contains(name))
        .collect()
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    fn cleaned(status: u16, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut response = response(status, headers);
        clean(&mut response).unwrap();
        let mut lines: Vec<String> =
            response.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_for_one_connection_is_removed() {
        let headers = [
            ("Connection", "X-Secret, keep-alive, Content-Length"),
            ("Connection", "X-Other"),
            ("Keep-Alive", "timeout=5"),
            ("X-Secret", "1"),
            ("x-other", "2"),
            ("Upgrade", "h2c"),
            ("Content-Length", "3"),
            ("Server", "nginx"),
            ("X-Kept", "4"),
        ];
        assert_eq!(cleaned(200, &headers), ["content-length: 3", "server: flaggate", "x-kept: 4"]);
    }

    #[test]
    fn an_upgrade_stays_one() {
        let headers = [("Connection", "upgrade, X-Secret"), ("Upgrade", "websocket"), ("X-Secret", "1")];
        assert_eq!(cleaned(101, &headers), ["connection: Upgrade", "server: flaggate", "upgrade: websocket"]);
    }

    #[test]
    fn vary_names_each_header_once() {
        let mut response = response(200, &[("Vary", "Accept-Encoding, cookie")]);
        vary(&mut response, ["Cookie", "X-User-Id"]).unwrap();
        let values: Vec<&HeaderValue> = response.headers.get_all(VARY).iter().collect();
        assert_eq!(values, ["Accept-Encoding, cookie", "X-User-Id"]);
    }

    #[test]
    fn vary_of_everything_stays() {
        let mut response = response(200, &[("Vary", "*")]);
        vary(&mut response, ["Cookie"]).unwrap();
        assert_eq!(response.headers.get_all(VARY).iter().count(), 1);
    }
}
