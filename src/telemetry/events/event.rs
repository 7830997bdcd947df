//! One event, and how it is written.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::super::Privacy;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A user was given a flag's variation: an exposure.
    FlagEvaluated,
    /// A flag's document was written or removed.
    FlagUpdated,
    /// A deployment began.
    DeploymentStarted,
    /// A stage of a deployment is done.
    DeploymentStageCompleted,
    /// A deployment failed or was stopped.
    DeploymentFailed,
    /// A kill switch kills.
    KillSwitchTriggered,
    /// A user came into a segment.
    SegmentEntered,
    /// A user left a segment.
    SegmentLeft,
    /// A user did something that is worth a number.
    MetricRecorded,
    /// A user did something.
    UserAction,
    /// A request ended in an error of its upstream.
    ErrorOccurred,
}

impl EventKind {
    /// Every kind; the position of each is its `index`.
    pub const ALL: [Self; 11] = [
        Self::FlagEvaluated,
        Self::FlagUpdated,
        Self::DeploymentStarted,
        Self::DeploymentStageCompleted,
        Self::DeploymentFailed,
        Self::KillSwitchTriggered,
        Self::SegmentEntered,
        Self::SegmentLeft,
        Self::MetricRecorded,
        Self::UserAction,
        Self::ErrorOccurred,
    ];

    /// The position in [`EventKind::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name, as `event_type` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlagEvaluated => "flag_evaluated",
            Self::FlagUpdated => "flag_updated",
            Self::DeploymentStarted => "deployment_started",
            Self::DeploymentStageCompleted => "deployment_stage_completed",
            Self::DeploymentFailed => "deployment_failed",
            Self::KillSwitchTriggered => "kill_switch_triggered",
            Self::SegmentEntered => "segment_entered",
            Self::SegmentLeft => "segment_left",
            Self::MetricRecorded => "metric_recorded",
            Self::UserAction => "user_action",
            Self::ErrorOccurred => "error_occurred",
        }
    }
}

/// Something that happened, as it is given in.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// What.
    pub kind: EventKind,
    /// When.
    pub time: Timestamp,
    /// To whom.
    pub user_id: Option<Box<str>>,
    /// In which session of theirs.
    pub session_id: Option<Box<str>>,
    /// In which request.
    pub request_id: Option<Box<str>>,
    /// The rest.
    pub data: Map<String, Value>,
}

impl Happening {
    /// Something that happened to nobody in particular.
    #[must_use]
    pub fn new(kind: EventKind, time: Timestamp, data: Map<String, Value>) -> Self {
        Self { kind, time, user_id: None, session_id: None, request_id: None, data }
    }

    /// The same, to a user.
    #[must_use]
    pub fn of(self, user_id: &str) -> Self {
        Self { user_id: Some(user_id.into()), ..self }
    }
}

/// Who tells events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `service_name`.
    pub service: Arc<str>,
    /// `environment`.
    pub environment: Option<Arc<str>>,
    /// `region`.
    pub region: Option<Arc<str>>,
}

/// An event as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique: who gets it twice can tell. Sorts by time.
    pub id: Box<str>,
    /// What happened.
    pub kind: EventKind,
    /// When.
    pub time: Timestamp,
    /// The whole of it: one line of JSON.
    pub json: Box<str>,
}

#[derive(Serialize)]
struct Written<'e, D> {
    event_id: &'e str,
    event_type: &'static str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'e str>,
    data: &'e D,
    service_name: &'e str,
    environment: Option<&'e str>,
    region: Option<&'e str>,
}

/// To whom something happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whom<'w> {
    pub(super) user_id: Option<&'w str>,
    pub(super) session_id: Option<&'w str>,
    pub(super) request_id: Option<&'w str>,
}

impl Event {
    /// Writes an event; who it is of is already as it may be told.
    pub(super) fn write(
        origin: &Origin,
        (kind, time): (EventKind, Timestamp),
        whom: Whom<'_>,
        data: &impl Serialize,
    ) -> Self {
        let id = Uuid::now_v7().hyphenated().to_string();
        let written = Written {
            event_id: &id,
            event_type: kind.as_str(),
            timestamp: time,
            user_id: whom.user_id,
            session_id: whom.session_id,
            request_id: whom.request_id,
            data,
            service_name: &origin.service,
            environment: origin.environment.as_deref(),
            region: origin.region.as_deref(),
        };
        let json = serde_json::to_string(&written).expect("the data of events came from JSON");
        Self { id: id.into(), kind, time, json: json.into() }
    }

    /// Writes a happening.
    pub(super) fn of(happening: &Happening, origin: &Origin, privacy: &Privacy) -> Self {
        let (user_id, session_id) = (&happening.user_id, &happening.session_id);
        let user_id = user_id.as_deref().map(|id| privacy.shown(id));
        let session_id = session_id.as_deref().map(|id| privacy.shown(id));
        let whom = Whom {
            user_id: user_id.as_deref(),
            session_id: session_id.as_deref(),
            request_id: happening.request_id.as_deref(),
        };
        Self::write(origin, (happening.kind, happening.time), whom, &happening.data)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.id.len() + self.json.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_all_its_fields() {
        let origin = Origin { service: "shop".into(), environment: Some("prod".into()), region: None };
        let data = json!({ "a": 1 }).as_object().cloned().unwrap();
        let happening = Happening::new(EventKind::UserAction, Timestamp::UNIX_EPOCH, data).of("ann");
        let event = Event::of(&happening, &origin, &Privacy::default());
        let told: Value = serde_json::from_str(&event.json).unwrap();
        let expected = json!({
            "event_id": &*event.id, "event_type": "user_action", "timestamp": "1970-01-01T00:00:00Z", "user_id": "ann",
            "data": { "a": 1 }, "service_name": "shop", "environment": "prod", "region": null,
        });
        assert_eq!(told, expected);
        assert!(!event.json.contains('\n'));
    }

    #[test]
    fn each_kind_has_its_place() {
        for (position, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), position, "{kind:?}");
        }
    }
}
