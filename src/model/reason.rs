//! Why an evaluation gave what it gave.

use serde::Serialize;

/// The step of the evaluation that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Reason {
    /// A kill switch forces the flag to its default.
    Killed,
    /// The flag is off (or could not be compiled, or stands on a cycle).
    FlagDisabled,
    /// An ancestor of the flag is off or killed.
    ParentDisabled,
    /// A prerequisite is not met.
    PrerequisitesNotMet,
    /// An individual target or a rule matched.
    TargetingMatch,
    /// A stage, a percentage or a split took the user in.
    Rollout,
    /// Nothing else decided.
    Default,
}

impl Reason {
    /// Every reason; the position of each is its `index`.
    pub const ALL: [Self; 7] = [
        Self::Killed,
        Self::FlagDisabled,
        Self::ParentDisabled,
        Self::PrerequisitesNotMet,
        Self::TargetingMatch,
        Self::Rollout,
        Self::Default,
    ];

    /// The position in [`Reason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in answers, headers and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::FlagDisabled => "flag_disabled",
            Self::ParentDisabled => "parent_disabled",
            Self::PrerequisitesNotMet => "prerequisites_not_met",
            Self::TargetingMatch => "targeting_match",
            Self::Rollout => "rollout",
            Self::Default => "default",
        }
    }
}

/// What qualifies a [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The flag's document could not be compiled and there is no last good version.
    Quarantined,
    /// The flag stands on a cycle of prerequisites or parents, or behind too deep a chain of them.
    Cycle,
    /// The attribute named by `bucket_by` is absent, so no percentage could be applied.
    BucketAttributeAbsent,
}

impl Detail {
    /// The name in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Cycle => "cycle",
            Self::BucketAttributeAbsent => "bucket_attribute_absent",
        }
    }
}
