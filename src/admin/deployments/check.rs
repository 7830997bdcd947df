//! What has to be true of a deployment before it is written or started.

use serde_json::{Map, Value};

use crate::{
    admin::{
        Admin,
        body::Body,
        refusal::{Issue, Refusal},
    },
    conductor::Routes,
    delivery::{deployment::Deployment, plan::Status},
    model::{DeploymentDocument, DocumentKind, Fault},
};

/// A document in a body, without its status: what was read can be sent back, and changes nothing there.
pub(super) fn without_status(body: Body) -> Result<Map<String, Value>, Refusal> {
    let mut fields = body.object()?;
    fields.shift_remove("status");
    Ok(fields)
}

fn invalid(faults: Vec<Fault>) -> Refusal {
    match Refusal::of_faults(faults) {
        Err(refusal) => refusal,
        Ok(()) => Refusal::Invalid(Vec::new()),
    }
}

/// How far a stored deployment is.
pub(super) fn status_of(document: &DeploymentDocument) -> Result<Status, Refusal> {
    let damaged = |error| Refusal::conflict(format!("the stored status is damaged ({error}); delete the deployment"));
    Status::read(document.fields().get("status")).map_err(damaged)
}

impl Admin {
    /// A deployment, checked in itself and against the routes of this gateway.
    pub(super) fn deployment(&self, document: &DeploymentDocument) -> Result<Deployment, Refusal> {
        Deployment::read(document, &Routes::of(&self.config.get()).routes).map_err(invalid)
    }

    /// The same, checked against the flags as well.
    pub(super) fn startable(&self, document: &DeploymentDocument) -> Result<Deployment, Refusal> {
        let deployment = self.deployment(document)?;
        let snapshot = self.cell.load();
        let keys: Vec<&str> = snapshot.keys().collect();
        let faults = deployment.check_flags(|key| snapshot.document(key), keys.iter().copied());
        if faults.is_empty() { Ok(deployment) } else { Err(invalid(faults)) }
    }

    /// The same of a body that is to become the document `id`.
    pub(super) fn proposed(&self, id: Option<&str>, fields: &Map<String, Value>) -> Result<Deployment, Refusal> {
        let mut fields = fields.clone();
        if let Some(id) = id {
            fields.insert("id".to_owned(), id.into());
        }
        let document = DeploymentDocument::from_map(fields)
            .map_err(|fault| Refusal::Invalid(vec![Issue::of_body(fault.message, "value_error").at("id")]))?;
        self.startable(&document)
    }

    /// Refuses a deployment that touches what another one is changing now.
    pub(super) async fn check_alone(&self, deployment: &Deployment) -> Result<(), Refusal> {
        for stored in self.documents()?.list(DocumentKind::Deployment).await? {
            if *stored.document.key == *deployment.id {
                continue;
            }
            let Ok(document) = DeploymentDocument::parse(&stored.text) else { continue };
            let Ok(status) = Status::read(document.fields().get("status")) else { continue };
            if !status.state.is_live() {
                continue;
            }
            let Ok(other) = Deployment::read(&document, &Routes::of(&self.config.get()).routes) else { continue };
            if let Some(what) = deployment.clash(&other) {
                let (id, state) = (&other.id, status.state.as_str().replace('_', " "));
                return Err(Refusal::conflict(format!("the deployment {id:?} touches {what} too, and is {state}")));
            }
        }
        Ok(())
    }
}
