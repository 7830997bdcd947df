//! Models as documents that people write.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::{Document, Null};
use crate::{
    admin::form::Kind,
    model::{DocumentKind, Fault, ModelDocument},
    snapshot::Snapshot,
};

impl Document for ModelDocument {
    const KIND: DocumentKind = DocumentKind::MlModel;
    const WORD: &'static str = "model";
    const NOT_FOUND: &'static str = "Model not found";
    const NAMED_BY: &'static str = "id";
    const TOLD_AS: &'static str = "model_id";
    const NEEDS_NAME: bool = false;
    /// What a model learnt is read strictly, as a program wrote it.
    const FIELDS: &'static [(&'static str, Kind, Null)] =
        &[("description", Kind::Text, Null::Absent), ("created_by", Kind::Text, Null::Absent)];

    fn faults(&self, snapshot: &Snapshot) -> Vec<Fault> {
        // A network takes long to compile; others of this runtime do not wait for it.
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => block_in_place(|| snapshot.check_model(self)),
            Ok(_) | Err(_) => snapshot.check_model(self),
        }
    }
}
