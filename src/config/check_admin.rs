//! The checks of `[admin]`.

use std::time::Duration;

use super::{
    check::Checker,
    checked::{Admin, AdminToken},
    error::At,
    read::Table,
};

impl Checker<'_> {
    pub(super) fn admin(&mut self, root: &Table) -> Admin {
        let defaults = Admin::default();
        let Some((table, at)) = root.table("admin") else { return defaults };
        let at = table.text("address").map_or(at, |(_, at)| at).clone();
        let address = match table.get("address") {
            Some(_) => self.address(table),
            None => defaults.address,
        };
        if !address.ip().is_loopback() && table.tables("tokens").next().is_none() {
            self.problem(
                &at,
                format!(
                    "without tokens the admin listener must be on loopback: use \"127.0.0.1:{}\", or add \
                     [[admin.tokens]] (`flaggate token new` makes one)",
                    address.port()
                ),
            );
        }
        let taken = root.tables("listeners").filter_map(|(listener, _)| listener.text("address"));
        if address.port() != 0 && taken.into_iter().any(|(other, _)| other.parse() == Ok(address)) {
            self.problem(&at, format!("{address} is a listener's address already"));
        }
        Admin {
            address,
            tokens: self.tokens(table),
            public_metrics: table.boolean("public_metrics", false),
            cors_origins: self.origins(table),
            requests_per_second: table
                .count("requests_per_second")
                .and_then(|count| u32::try_from(count).ok()?.try_into().ok()),
            session_ttl: table.duration("session_ttl", defaults.session_ttl).max(Duration::from_secs(1)),
            session_key_file: table.text("session_key_file").map(|(path, _)| path.into()),
        }
    }

    fn tokens(&mut self, table: &Table) -> Vec<AdminToken> {
        let (mut names, mut tokens) = (Vec::new(), Vec::<AdminToken>::new());
        for (token, at) in table.tables("tokens") {
            let name = self.once(&mut names, "token", token.text("name"));
            let sha256 = token.text("sha256").and_then(|text| self.digest(text));
            let role = token.text("role").and_then(|(role, _)| role.parse().ok());
            let expires_at = token.text("expires_at").and_then(|text| self.time(text));
            let (Some(sha256), Some(role)) = (sha256, role) else { continue };
            if let Some(other) = tokens.iter().find(|other| other.sha256 == sha256) {
                self.problem(at, format!("this is the same token as {:?}", other.name));
            }
            tokens.push(AdminToken { name, role, sha256, expires_at });
        }
        tokens
    }

    pub(super) fn digest(&mut self, text: (&str, &At)) -> Option<[u8; 32]> {
        let digest = of_hex(text.0);
        if digest.is_none() {
            // It may be the token itself: it is not repeated.
            self.problem(
                text.1,
                "this is no SHA-256 in hex (64 digits); `flaggate token new` prints a token and its SHA-256",
            );
        }
        digest
    }

    fn origins(&mut self, table: &Table) -> Vec<String> {
        let origin = |text: &str| {
            let uri: http::Uri = text.parse().ok()?;
            let bare = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
            (text == bare && matches!(uri.scheme_str(), Some("http" | "https"))).then_some(bare)
        };
        let origins = table.texts("cors_origins");
        origins.filter_map(|text| self.parse(text, "an origin like \"https://app.example\"", origin)).collect()
    }
}

fn of_hex(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, digits) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}
