//! What must not be shown.

use std::{fmt, sync::Arc};

/// A password. It is never shown: neither by `Debug`, nor in an error, nor in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes a password.
    #[must_use]
    pub fn new(password: &str) -> Self {
        Self(password.into())
    }

    /// The password itself, to log in with.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<secret>")
    }
}

/// What every token of the admin API begins with, so that one that leaked is recognised.
pub const TOKEN_PREFIX: &str = "flaggate_";

/// A word that begins like a token and goes on for so long is one.
const TOKEN_LENGTH: usize = 40;

/// Blackens the passwords of all URLs, the paths of web hooks and all tokens in a text; every byte keeps its place.
pub(super) fn redact(text: &str) -> String {
    without_tokens(&without_passwords(text))
}

fn without_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(TOKEN_PREFIX) {
        let (before, after) = rest.split_at(at + TOKEN_PREFIX.len());
        shown.push_str(before);
        let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '-' | '_'));
        let (word, others) = after.split_at(end.unwrap_or(after.len()));
        match word.len() {
            TOKEN_LENGTH.. => shown.extend(std::iter::repeat_n('*', word.len())),
            _ => shown.push_str(word),
        }
        rest = others;
    }
    shown + rest
}

fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let end = after.find(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '`'));
        let (url, others) = after.split_at(end.unwrap_or(after.len()));
        // A password that was not percent-encoded can hold anything, so the last `@` is the one that counts.
        let user_info = url.rfind('@').unwrap_or(0);
        let password = url[..user_info].find(':').map_or(user_info, |colon| colon + 1);
        shown.push_str(&url[..password]);
        shown.extend(std::iter::repeat_n('*', user_info - password));
        // The path of a web hook is its password.
        let is_web = before.ends_with("http://") || before.ends_with("https://");
        let path = url[user_info..].find(['/', '?', '#']).filter(|_| is_web);
        let path = path.map_or(url.len(), |path| (user_info + path + 1).min(url.len()));
        shown.push_str(&url[user_info..path]);
        shown.extend(std::iter::repeat_n('*', url.len() - path));
        rest = others;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_show() {
        let check = |text: &str, shown: &str| {
            assert_eq!(redact(text), shown);
            assert_eq!(text.len(), shown.len());
        };
        check("url = \"redis://me:pä@ss@h:1/2\" # x", "url = \"redis://me:******@h:1/2\" # x");
        check("redis://:pw@h, redis://:pw2@h", "redis://:**@h, redis://:***@h");
        check("redis://h:6379/0 http://h", "redis://h:6379/0 http://h");
        check("\"https://h:1/T0/s?x=ä\" http://u:p@h/s", "\"https://h:1/*********\" http://u:*@h/*");
        check("https://h?token=s https://h/", "https://h?******* https://h/");
        check("redis://user@h", "redis://user@h");
        check("://", "://");
        let token = "Ab3-_".repeat(9);
        check(&format!("sha256 = \"flaggate_{token}\" #"), &format!("sha256 = \"flaggate_{}\" #", "*".repeat(45)));
        check("flaggate_store_up flaggate_", "flaggate_store_up flaggate_");
        assert_eq!(format!("{:?}", Secret::new("pw")), "<secret>");
    }
}
