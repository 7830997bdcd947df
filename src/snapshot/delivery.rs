//! The kill switches and deployments of a world.

use std::{collections::BTreeMap, sync::Arc};

use super::source::{Source, misnamed, take};
use crate::{
    eval::{self, KillSwitch},
    model::{
        Action, Change, DeploymentDocument, Diagnostic, DocumentKey, DocumentKind, Effect, Fault, KillSwitchDocument,
    },
};

/// What a snapshot has of kill switches and deployments.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub(super) kill_switches: BTreeMap<Arc<str>, Arc<Switch>>,
    pub(super) deployments: BTreeMap<Arc<str>, Arc<DeploymentDocument>>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// A kill switch, as it came and as it was understood.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) document: KillSwitchDocument,
    pub(super) checked: Arc<KillSwitch>,
}

/// The documents, and what was made of them last.
#[derive(Debug, Default)]
pub(super) struct DeliveryWorld {
    kill_switches: BTreeMap<Arc<str>, Source<Switch>>,
    deployments: BTreeMap<Arc<str>, Source<DeploymentDocument>>,
    built: Arc<Delivery>,
}

impl DeliveryWorld {
    pub(super) fn built(&self) -> &Arc<Delivery> {
        &self.built
    }

    /// The keys of all documents.
    pub(super) fn keys(&self) -> impl Iterator<Item = DocumentKey> {
        let switches = self.kill_switches.keys().map(|id| DocumentKey::kill_switch(Arc::clone(id)));
        switches.chain(self.deployments.keys().map(|id| DocumentKey::deployment(Arc::clone(id))))
    }

    /// The last good text of every document.
    pub(super) fn last_good(&self) -> impl Iterator<Item = (DocumentKey, &Arc<str>)> {
        let switches = self.kill_switches.iter();
        let switches =
            switches.filter_map(|(id, source)| Some((DocumentKey::kill_switch(Arc::clone(id)), source.good_text()?)));
        let deployments = self.deployments.iter();
        switches.chain(
            deployments.filter_map(|(id, source)| Some((DocumentKey::deployment(Arc::clone(id)), source.good_text()?))),
        )
    }

    /// The kill switches that are active in a region.
    pub(super) fn active<'d>(&'d self, region: Option<&'d str>) -> impl Iterator<Item = Arc<KillSwitch>> + 'd {
        let switches = self.built.kill_switches.values().map(|switch| &switch.checked);
        switches.filter(move |switch| switch.status.is_active() && switch.is_here(region)).map(Arc::clone)
    }

    /// Takes the changes of kill switches and deployments in, and tells each that is one. Says whether there was any.
    pub(super) fn apply(&mut self, changes: &[Change], mut tell: impl FnMut(DocumentKey, Action)) -> bool {
        let mut is_changed = false;
        for Change { document, text } in changes {
            let id = &document.key;
            let action = match document.kind {
                DocumentKind::Flag | DocumentKind::Segment | DocumentKind::MlModel => None,
                DocumentKind::KillSwitch => {
                    take(&mut self.kill_switches, id, text.as_ref(), |text| read_switch(id, text))
                }
                DocumentKind::Deployment => take(&mut self.deployments, id, text.as_ref(), |text| {
                    read(id, DeploymentDocument::parse(text), DeploymentDocument::id)
                }),
            };
            if let Some(action) = action {
                is_changed = true;
                tell(document.clone(), action);
            }
        }
        if is_changed {
            self.build();
        }
        is_changed
    }

    fn build(&mut self) {
        let mut diagnostics = Vec::new();
        let kill_switches = served(&mut self.kill_switches, DocumentKey::kill_switch, &mut diagnostics);
        let deployments = served(&mut self.deployments, DocumentKey::deployment, &mut diagnostics);
        self.built = Arc::new(Delivery { kill_switches, deployments, diagnostics });
    }
}

/// The last good version of each document; of those that are broken a diagnostic.
fn served<D>(
    sources: &mut BTreeMap<Arc<str>, Source<D>>,
    key: impl Fn(Arc<str>) -> DocumentKey,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<Arc<str>, Arc<D>> {
    let mut served = BTreeMap::new();
    for (id, source) in sources {
        source.keep();
        for fault in source.latest.as_ref().err().into_iter().flatten() {
            diagnostics.push(Diagnostic {
                document: key(Arc::clone(id)),
                last_good_served: source.good.is_some() && fault.effect == Effect::Quarantined,
                fault: fault.clone(),
            });
        }
        if let Some((_, document)) = &source.good {
            served.insert(Arc::clone(id), Arc::clone(document));
        }
    }
    served
}

/// Reads a kill switch that is stored under `id`: one of which anything matters and cannot be understood is not used.
fn read_switch(id: &str, text: &str) -> Result<Arc<Switch>, Vec<Fault>> {
    let document = Arc::unwrap_or_clone(read(id, KillSwitchDocument::parse(text), KillSwitchDocument::id)?);
    let (checked, mut faults) = eval::check_kill_switch(&document);
    faults.retain(|fault| fault.effect == Effect::Quarantined);
    if faults.is_empty() { Ok(Arc::new(Switch { document, checked: Arc::new(checked) })) } else { Err(faults) }
}

/// Reads a document that is stored under `id`.
fn read<D>(id: &str, parsed: Result<D, Fault>, called: impl Fn(&D) -> &str) -> Result<Arc<D>, Vec<Fault>> {
    let document = parsed.map_err(|fault| vec![fault])?;
    if called(&document) != id {
        return Err(vec![misnamed(called(&document), id)]);
    }
    Ok(Arc::new(document))
}
