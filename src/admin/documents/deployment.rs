//! Deployments as documents that people write.

use serde_json::{Map, Value};

use super::{Document, Null};
use crate::{
    admin::form::Kind,
    delivery::plan::Status,
    model::{DeploymentDocument, DocumentKind, Fault},
    snapshot::Snapshot,
};

impl Document for DeploymentDocument {
    const KIND: DocumentKind = DocumentKind::Deployment;
    const WORD: &'static str = "deployment";
    const NOT_FOUND: &'static str = "Deployment not found";
    const NAMED_BY: &'static str = "id";
    const TOLD_AS: &'static str = "deployment_id";
    const FIELDS: &'static [(&'static str, Kind, Null)] = &[
        ("description", Kind::Text, Null::Absent),
        ("version", Kind::Text, Null::Refused),
        ("stages", Kind::Objects, Null::Refused),
        ("parallel_stages", Kind::Boolean, Null::Refused),
        ("tags", Kind::Texts, Null::Refused),
        ("notification_channels", Kind::Texts, Null::Refused),
        ("created_by", Kind::Text, Null::Absent),
    ];
    // How far it is no document says that somebody sends: commands and the conductor do.
    const WORKED_OUT: &'static [&'static str] = &["status"];

    /// With the status of one that was never started.
    fn complete(&self) -> Map<String, Value> {
        let mut whole = self.fields().clone();
        whole.entry("status").or_insert_with(|| Status::default().to_value());
        whole
    }

    /// None here: a deployment is checked against the routes too, which no snapshot knows.
    fn faults(&self, _snapshot: &Snapshot) -> Vec<Fault> {
        Vec::new()
    }
}
