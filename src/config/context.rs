//! `[context]`: who is asking.

use std::collections::BTreeMap;

use http::HeaderName;

use super::{
    Jwt,
    check::Checker,
    error::At,
    jwt,
    keys::{Kind, Section, key},
    read::Table,
};

pub(super) static KEYS: Section = Section {
    keys: &[
        key(
            "user_id",
            Kind::List(&Kind::Table(&IDENTITY)),
            "[{ header = \"X-User-Id\" }]",
            "sources of the user id; the first that has one wins",
        ),
        key(
            "accept_identity_from",
            Kind::Choice(&["trusted_proxies", "anyone", "nobody"]),
            "\"trusted_proxies\"",
            "whose identity headers and cookies are believed; `anyone` is for development",
        ),
        key(
            "environment",
            Kind::Text,
            "none",
            "names the overrides in flags' `environments` that apply; also the attribute `environment`",
        ),
        key("region", Kind::Text, "none", "the attribute `region`"),
        key(
            "attributes",
            Kind::Map(&Kind::Table(&ATTRIBUTE)),
            "{}",
            "attributes that are read from the request, by name",
        ),
        key("jwt", Kind::Table(&jwt::KEYS), "none", "JSON Web Tokens: whose are believed, and where they are"),
    ],
    later: &["profiles"],
};

static IDENTITY: Section = Section {
    keys: &[
        key("header", Kind::Text, "none", "a request header"),
        key("jwt", Kind::Text, "none", "a claim of a verified token, like `sub`; a dot leads into nested claims"),
        key("cookie", Kind::Text, "none", "a cookie"),
        key(
            "anonymous_cookie",
            Kind::Text,
            "none",
            "a cookie that the gateway sets, with a random id, for users that are otherwise unknown",
        ),
    ],
    later: &[],
};

static ATTRIBUTE: Section = Section {
    keys: &[
        key("header", Kind::Text, "none", "a request header; believed as `accept_identity_from` says"),
        key("cookie", Kind::Text, "none", "a cookie; believed as `accept_identity_from` says"),
        key("query", Kind::Text, "none", "a parameter of the query, believed from anyone"),
        key("jwt", Kind::Text, "none", "a claim of a verified token; without `type` it is what the claim is"),
        key(
            "type",
            Kind::Choice(&["string", "number", "boolean", "list"]),
            "\"string\"",
            "what it is parsed as; an attribute that cannot be parsed is absent",
        ),
    ],
    later: &[],
};

/// How the context (user id and attributes) is built.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextConfig {
    /// Where the user id comes from; the first source that has one wins.
    pub user_id: Vec<IdentitySource>,
    /// Whose identity headers and cookies are believed.
    pub accept_identity_from: AcceptIdentityFrom,
    /// Names the overrides in flags' `environments`.
    pub environment: Option<String>,
    /// Where this gateway runs.
    pub region: Option<String>,
    /// The attributes that are read from the request, by name.
    pub attributes: BTreeMap<String, AttributeConfig>,
    /// Whose JSON Web Tokens are believed; none: nobody's.
    pub jwt: Option<Jwt>,
}

/// One source of the user id.
#[derive(Clone, Debug, PartialEq)]
pub enum IdentitySource {
    /// A request header; believed as `accept_identity_from` says.
    Header(HeaderName),
    /// A claim of a verified token, believed from anyone.
    Jwt(String),
    /// A cookie; believed as `accept_identity_from` says.
    Cookie(String),
    /// A cookie that the gateway itself sets, with a random id, for users that are otherwise unknown.
    AnonymousCookie(String),
}

/// Whose identity headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptIdentityFrom {
    /// Peers within the listener's `trusted_proxies`.
    TrustedProxies,
    /// Everybody: for development.
    Anyone,
    /// Nobody.
    Nobody,
}

/// One attribute: where it is read and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeConfig {
    /// Where it is read.
    pub source: AttributeSource,
    /// What it is parsed as; an attribute that cannot be parsed is absent.
    pub kind: AttributeKind,
}

/// Where an attribute is read.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeSource {
    /// A request header; believed as `accept_identity_from` says.
    Header(HeaderName),
    /// A cookie; believed as `accept_identity_from` says.
    Cookie(String),
    /// A parameter of the query; never an identity, believed from anyone.
    Query(String),
    /// A claim of a verified token, believed from anyone.
    Jwt(String),
}

/// What an attribute is parsed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// Taken as it is.
    String,
    /// A decimal number.
    Number,
    /// `true`, `1`, `yes`, `on` or `false`, `0`, `no`, `off`, in any case.
    Boolean,
    /// Entries separated by commas.
    List,
    /// A claim, whose JSON says what it is.
    AsIs,
}

/// What attributes of flags and segments are called that are no attribute of the request.
const WORKED_OUT: [&str; 4] = ["user_id", "segment", "user_segment", "segments"];

impl ContextConfig {
    pub(super) fn check(checker: &mut Checker<'_>, root: &Table) -> Self {
        let empty = Table::default();
        let table = root.table("context").map_or(&empty, |(table, _)| table);
        let text = |name: &str| table.text(name).map(|(text, _)| text.to_owned());
        let jwt = table.table("jwt").map(|(table, at)| Jwt::check(checker, table, at));
        let mut user_id = Vec::new();
        for (source, at) in table.tables("user_id") {
            user_id.extend(identity(checker, source, at, jwt.is_some()));
        }
        if table.get("user_id").is_none() {
            user_id.push(IdentitySource::Header(HeaderName::from_static("x-user-id")));
        }
        let mut attributes = BTreeMap::new();
        for (name, node) in table.table("attributes").into_iter().flat_map(|(table, _)| &table.entries) {
            let found = node.table().and_then(|table| attribute(checker, name, table, &node.at, jwt.is_some()));
            attributes.extend(found.map(|attribute| (name.clone(), attribute)));
        }
        let accept_identity_from = match table.text("accept_identity_from").map_or("", |(text, _)| text) {
            "anyone" => AcceptIdentityFrom::Anyone,
            "nobody" => AcceptIdentityFrom::Nobody,
            _ => AcceptIdentityFrom::TrustedProxies,
        };
        let (environment, region) = (text("environment"), text("region"));
        Self { user_id, accept_identity_from, environment, region, attributes, jwt }
    }

    /// Whether anything comes from tokens.
    #[must_use]
    pub fn asks_for_claims(&self) -> bool {
        let is_claim = |source: &IdentitySource| matches!(source, IdentitySource::Jwt(_));
        let reads_claim = |attribute: &AttributeConfig| matches!(attribute.source, AttributeSource::Jwt(_));
        self.user_id.iter().any(is_claim) || self.attributes.values().any(reads_claim)
    }
}

fn identity(checker: &mut Checker<'_>, table: &Table, at: &At, has_jwt: bool) -> Option<IdentitySource> {
    let (name, text) = checker.one_of(table, at, &["header", "jwt", "cookie", "anonymous_cookie"])?;
    match name {
        "header" => checker.header(text).map(IdentitySource::Header),
        "jwt" => claim(checker, text, has_jwt).map(IdentitySource::Jwt),
        "cookie" => checker.cookie(text).map(IdentitySource::Cookie),
        _ => checker.cookie(text).map(IdentitySource::AnonymousCookie),
    }
}

fn attribute(checker: &mut Checker<'_>, name: &str, table: &Table, at: &At, has_jwt: bool) -> Option<AttributeConfig> {
    if WORKED_OUT.contains(&name) || name.contains('.') {
        checker.problem(at, format!("{name:?} is built in and cannot be read from the request"));
        return None;
    }
    let (source, text) = checker.one_of(table, at, &["header", "cookie", "query", "jwt"])?;
    let source = match source {
        "header" => AttributeSource::Header(checker.header(text)?),
        "cookie" => AttributeSource::Cookie(checker.cookie(text)?),
        "jwt" => AttributeSource::Jwt(claim(checker, text, has_jwt)?),
        _ => AttributeSource::Query(text.0.to_owned()),
    };
    let kind = match table.text("type").map(|(text, _)| text) {
        Some("number") => AttributeKind::Number,
        Some("boolean") => AttributeKind::Boolean,
        Some("list") => AttributeKind::List,
        None if matches!(source, AttributeSource::Jwt(_)) => AttributeKind::AsIs,
        Some(_) | None => AttributeKind::String,
    };
    Some(AttributeConfig { source, kind })
}

fn claim(checker: &mut Checker<'_>, (name, at): (&str, &At), has_jwt: bool) -> Option<String> {
    if !has_jwt {
        checker.problem(at, "a claim needs `[context.jwt]`, which says whose tokens are believed");
        return None;
    }
    checker.parse((name, at), "a claim like \"sub\" or \"realm.roles\"", |name| {
        (!name.is_empty()).then(|| name.to_owned())
    })
}
