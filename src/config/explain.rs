//! `[explain]`: who may see decisions in answers.

use jiff::Timestamp;

use super::{
    check::Checker,
    keys::{Kind, REQUIRED, Section, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[key(
        "tokens",
        Kind::List(&Kind::Table(&TOKEN)),
        "[]",
        "who sends one in `X-Flaggate-Explain` gets the decision in `X-Flaggate-Decision`",
    )],
    later: &[],
};

static TOKEN: Section = Section {
    keys: &[
        key("name", Kind::Text, REQUIRED, "whose it is"),
        key("sha256", Kind::Text, REQUIRED, "the token's SHA-256 in hex; `flaggate token new` makes both"),
        key("expires_at", Kind::Text, "none", "until when it holds, like `2027-01-31T00:00:00Z`"),
    ],
    later: &[],
};

/// Who may see decisions in answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explain {
    /// What they show; none: nobody may.
    pub tokens: Vec<ExplainToken>,
}

/// A token that lets see decisions. What is kept of it lets nobody see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainToken {
    /// Whose it is.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Until when it holds; none: for ever.
    pub expires_at: Option<Timestamp>,
}

impl Explain {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table) -> Self {
        let (mut names, mut tokens) = (Vec::new(), Vec::new());
        for (table, _) in root.table("explain").into_iter().flat_map(|(table, _)| table.tables("tokens")) {
            let name = checker.once(&mut names, "token", table.text("name"));
            let sha256 = table.text("sha256").and_then(|text| checker.digest(text));
            let expires_at = table.text("expires_at").and_then(|text| checker.time(text));
            tokens.extend(sha256.map(|sha256| ExplainToken { name, sha256, expires_at }));
        }
        Self { tokens }
    }
}
