//! Kill switches as documents that people write.

use serde_json::{Map, Value};

use super::{Document, Null};
use crate::{
    admin::form::Kind,
    model::{DocumentKind, Fault, KillSwitchDocument},
    snapshot::Snapshot,
};

impl Document for KillSwitchDocument {
    const KIND: DocumentKind = DocumentKind::KillSwitch;
    const WORD: &'static str = "kill switch";
    const NOT_FOUND: &'static str = "Kill switch not found";
    const NAMED_BY: &'static str = "id";
    const TOLD_AS: &'static str = "kill_switch_id";
    const FIELDS: &'static [(&'static str, Kind, Null)] = &[
        ("description", Kind::Text, Null::Absent),
        ("scope", Kind::Text, Null::Refused),
        ("scope_value", Kind::Text, Null::Absent),
        ("affected_features", Kind::Texts, Null::Refused),
        ("affected_services", Kind::Texts, Null::Refused),
        ("affected_segments", Kind::Texts, Null::Refused),
        ("exempt_critical", Kind::Boolean, Null::Refused),
        ("auto_trigger_enabled", Kind::Boolean, Null::Refused),
        ("circuit_breaker_enabled", Kind::Boolean, Null::Refused),
        ("auto_recovery_enabled", Kind::Boolean, Null::Refused),
        ("gradual_recovery", Kind::Boolean, Null::Refused),
        ("notification_channels", Kind::Texts, Null::Refused),
        ("tags", Kind::Texts, Null::Refused),
        ("created_by", Kind::Text, Null::Absent),
    ];
    // Whether it kills is no matter of a document that somebody sends: activating and deactivating it is.
    const WORKED_OUT: &'static [&'static str] = &["status"];

    fn complete(&self) -> Map<String, Value> {
        self.complete()
    }

    fn faults(&self, snapshot: &Snapshot) -> Vec<Fault> {
        snapshot.check_kill_switch(self)
    }
}
