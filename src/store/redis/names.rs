//! What things are called in Redis.

use crate::model::{DocumentKey, DocumentKind};

/// The names of all keys and of the channel, with the prefix of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The world's revision, the index, the audit log, the size of its texts, the run of the server that wrote last, and
    /// the lease: in the order that scripts take them.
    pub(super) fn control(&self) -> [String; 6] {
        ["revision", "index", "audit", "audit_bytes", "run", "lease"].map(|name| self.own(name))
    }

    pub(super) fn index(&self) -> String {
        self.own("index")
    }

    pub(super) fn audit(&self) -> String {
        self.own("audit")
    }

    pub(super) fn lease(&self) -> String {
        self.own("lease")
    }

    /// Where a document's entries are in the audit log.
    pub(super) fn history(&self, document: &DocumentKey) -> String {
        self.own(&format!("history:{}", name(document)))
    }

    pub(super) fn channel(&self) -> String {
        self.own("changes")
    }

    /// There while somebody looks for what others wrote, and some time after.
    pub(super) fn reconciled(&self) -> String {
        self.own("reconciled")
    }

    pub(super) fn gateways(&self) -> String {
        self.own("gateways")
    }

    /// When each gateway that counts was last here, and the number of its last batch.
    pub(super) fn counting(&self) -> String {
        self.own("metrics:gateways")
    }

    /// What was counted in a minute, by its number since 1970.
    pub(super) fn minute(&self, number: &str) -> String {
        self.own(&format!("metrics:{number}"))
    }

    /// What is kept of traffic for long.
    pub(super) fn analytics(&self, name: &str) -> String {
        self.own(&format!("analytics:{name}"))
    }

    /// The stream of events.
    pub(super) fn exposures(&self) -> String {
        self.own("exposures")
    }

    /// Which part of a gateway's events came last.
    pub(super) fn exposures_writer(&self, run: &str) -> String {
        self.own(&format!("exposures:writer:{run}"))
    }

    /// The channel of users whose profile changed.
    pub(super) fn users_channel(&self) -> String {
        self.own("users")
    }

    /// The channel of users who entered or left segments.
    pub(super) fn moves_channel(&self) -> String {
        self.own("moves")
    }

    /// What is stored of a user.
    pub(super) fn profile(&self, user_id: &str) -> String {
        format!("{}user_profile:{user_id}", self.prefix)
    }

    /// What a user is doing now.
    pub(super) fn activity(&self, user_id: &str) -> String {
        format!("{}user_activity:{user_id}", self.prefix)
    }

    /// The key of the document of this name.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Matches the keys of all profiles.
    pub(super) fn profiles_pattern(&self) -> String {
        self.begins_with("user_profile:")
    }

    /// The user of a profile's key; none: nobody could name that user.
    pub(super) fn user_of<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?.strip_prefix("user_profile:")
    }

    /// Matches the keys of all documents of a kind.
    pub(super) fn pattern(&self, kind: DocumentKind) -> String {
        self.begins_with(&format!("{}:", kind.as_str()))
    }

    /// Matches all keys that begin so.
    fn begins_with(&self, name: &str) -> String {
        let mut pattern = String::new();
        for letter in self.prefix.chars() {
            if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern + name + "*"
    }

    fn own(&self, name: &str) -> String {
        format!("{}flaggate:{name}", self.prefix)
    }
}

/// A document's name in the index, and behind the prefix its key.
pub(super) fn name(document: &DocumentKey) -> String {
    format!("{}:{}", document.kind, document.key)
}

/// The document of a name.
pub(super) fn document(name: &str) -> Option<DocumentKey> {
    let (kind, key) = name.split_once(':')?;
    Some(DocumentKey { kind: self::kind(kind)?, key: key.into() })
}

pub(super) fn kind(name: &str) -> Option<DocumentKind> {
    DocumentKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for key in ["a", "", "a:b", "é\n", "{x}"] {
            assert_eq!(document(&name(&DocumentKey::flag(key))), Some(DocumentKey::flag(key)));
        }
        assert_eq!(document("unknown:a"), None);
        assert_eq!(document("flag"), None);
    }

    #[test]
    fn the_prefix_stands_for_itself() {
        assert_eq!(Names::new("").pattern(DocumentKind::Flag), "flag:*");
        assert_eq!(Names::new("{a}*[b]\\:").pattern(DocumentKind::Flag), "{a}\\*\\[b\\]\\\\:flag:*");
        assert_eq!(Names::new("{a}:").control()[0], "{a}:flaggate:revision");
        let names = Names::new("*");
        assert_eq!(names.profiles_pattern(), "\\*user_profile:*");
        assert_eq!(names.user_of(names.profile("ann:b").as_bytes()), Some("ann:b"));
        assert_eq!((names.user_of(b"user_profile:ann"), names.user_of(b"*user_profile:\xff")), (None, None));
    }
}
