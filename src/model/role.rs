//! What somebody may do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The rights of a caller of the admin API. Each role may what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Evaluates flags: an application.
    Client,
    /// Reads everything but the audit log.
    Viewer,
    /// Runs deployments and kill switches.
    Operator,
    /// Writes flags and segments.
    Editor,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, from the one that may the least.
    pub const ALL: [Self; 5] = [Self::Client, Self::Viewer, Self::Operator, Self::Editor, Self::Admin];

    /// Its names, in the same order.
    pub const NAMES: [&'static str; 5] = ["client", "viewer", "operator", "editor", "admin"];

    /// Its name in the configuration, the API and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == name);
        found.ok_or_else(|| format!("{name:?} is no role; roles are {}", Self::NAMES.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_has_its_name() {
        for (role, name) in Role::ALL.into_iter().zip(Role::NAMES) {
            assert_eq!((role.as_str(), name.parse()), (name, Ok(role)));
            assert_eq!(serde_json::to_value(role).unwrap(), name);
        }
        assert!(Role::ALL.is_sorted());
        assert!("root".parse::<Role>().unwrap_err().contains("client, viewer"));
    }
}
