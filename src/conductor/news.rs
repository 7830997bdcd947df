//! What people are told of deployments, at least once: news are stored with the status that they tell of, told then, and
//! taken out of the status after that. Who dies in between leaves them to the next conductor, which tells them again
//! under the same id.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::Conductor;
use crate::{
    delivery::plan::{News, State, Status},
    model::DeploymentDocument,
    outbound::notify::Notice,
};

/// The most news that wait; the oldest are given up.
const MOST: usize = 20;

/// The channels of a deployment.
pub(super) fn channels(document: &DeploymentDocument) -> Vec<String> {
    let listed = document.fields().get("notification_channels").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The sentence that people are told.
pub(super) fn sentence(id: &str, status: &Status) -> String {
    let why = status.reason.as_deref().map_or(String::new(), |why| format!(": {why}"));
    format!("the deployment {id:?} is {}{why}", status.state.as_str().replace('_', " "))
}

/// Whether people want to know that a deployment is in this state.
const fn is_news(state: State) -> bool {
    match state {
        State::Validating
        | State::Paused
        | State::Completed
        | State::Failed
        | State::RollingBack
        | State::RolledBack => true,
        State::Pending | State::InProgress | State::Superseded => false,
    }
}

impl Conductor {
    /// Enters what is new into a status that is about to be stored. `revision` is that of the document as it was read.
    pub(super) fn enter_news(
        &self,
        document: &DeploymentDocument,
        before: &Status,
        after: &mut Status,
        (revision, now): (u64, Timestamp),
    ) {
        let is_told = self.parts.notifier.is_some() && !channels(document).is_empty();
        if before.state == after.state || !is_news(after.state) || !is_told {
            return;
        }
        let id = document.id();
        after.news.push(News {
            id: format!("deployment/{id}/{revision}"),
            state: after.state,
            at: now,
            epoch: after.epoch,
            version: after.version.clone(),
            text: sentence(id, after),
            waiting_on: after.waiting_on.clone(),
        });
        let surplus = after.news.len().saturating_sub(MOST);
        after.news.drain(..surplus);
    }

    /// Takes out what was told.
    pub(super) fn strike_news(&self, id: &str, status: &mut Status) {
        let memory = self.memory.lock().expect("nothing panics while it holds this");
        let Some(memory) = memory.get(id) else { return };
        status.news.retain(|news| !memory.telling.get(&news.id).is_some_and(JoinHandle::is_finished));
    }

    /// Begins to tell what is stored, and waits for nothing.
    pub(super) fn tell_news(&self, document: &DeploymentDocument, status: &Status) {
        let mut memory = self.memory.lock().expect("nothing panics while it holds this");
        let telling: &mut BTreeMap<_, _> = &mut memory.entry(document.id().to_owned()).or_default().telling;
        telling.retain(|id, _| status.news.iter().any(|news| news.id == *id));
        let Some(notifier) = &self.parts.notifier else { return };
        for news in status.news.iter().filter(|news| !telling.contains_key(&news.id)).cloned().collect::<Vec<_>>() {
            let (id, notifier, channels) = (news.id.clone(), notifier.clone(), channels(document));
            let notice = notice(document.id(), news);
            telling.insert(id, tokio::spawn(async move { notifier.deliver(&channels, &notice).await }));
        }
    }
}

fn notice(deployment: &str, news: News) -> Notice {
    Notice {
        id: news.id,
        kind: format!("deployment_{}", news.state.as_str()),
        subject: deployment.to_owned(),
        time: news.at,
        text: news.text,
        data: json!({ "epoch": news.epoch, "version": news.version, "waiting_on": news.waiting_on }),
    }
}
