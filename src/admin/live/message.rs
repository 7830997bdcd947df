//! What goes over the wire, either way.

use std::collections::BTreeMap;

use ahash::AHashSet;
use axum::{body::Bytes, extract::ws::Utf8Bytes};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    model::{Action, DocumentKey, DocumentKind, MAX_KEY_BYTES, WorldRevision},
    store::Moved,
};

/// The most keys that one subscription may name.
const MOST_KEYS: usize = 1000;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Flag documents.
    Flags,
    /// Progressive deliveries.
    Deployments,
    /// Kill switches.
    KillSwitches,
    /// Figures of requests.
    Traffic,
    /// Segments and who enters and leaves them.
    Segments,
    /// Models, which segments ask.
    Models,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Flags, Self::Deployments, Self::KillSwitches, Self::Traffic, Self::Segments, Self::Models];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Flags => "flags",
            Self::Deployments => "deployments",
            Self::KillSwitches => "kill_switches",
            Self::Traffic => "traffic",
            Self::Segments => "segments",
            Self::Models => "models",
        }
    }

    /// Whether there is anything to tell about it yet.
    const fn is_served(self) -> bool {
        match self {
            Self::Flags | Self::Segments | Self::Models | Self::KillSwitches | Self::Deployments => true,
            Self::Traffic => false,
        }
    }

    /// Reads the name of a kind that is served.
    pub(super) fn parse(name: &str) -> Result<Self, Complaint> {
        let served = Self::ALL.into_iter().filter(|kind| kind.is_served()).map(Self::as_str);
        let served = served.collect::<Vec<_>>().join(", ");
        match Self::ALL.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) if kind.is_served() => Ok(kind),
            Some(_) => Err(Complaint::new(
                "not_served_yet",
                format!("{name:?} is not served by this version yet; there is: {served}"),
            )),
            None => Err(Complaint::new("unknown_kind", format!("there is no kind {name:?}; there is: {served}"))),
        }
    }
}

/// The keys that a client wants to hear of; `None`: all.
pub(super) type Keys = Option<AHashSet<Box<str>>>;

/// What a client says.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    /// To hear of these kinds.
    Subscribe(Vec<Kind>, Keys),
    /// To hear no more of these kinds.
    Unsubscribe(Vec<Kind>),
    /// Nothing that is meant for us: old clients send any text to keep their connection.
    Nothing,
}

/// Why a client's message is not followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    code: &'static str,
    pub(super) message: String,
}

impl Complaint {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn encode(&self) -> Utf8Bytes {
        json!({ "type": "error", "code": self.code, "message": self.message }).to_string().into()
    }
}

impl Wish {
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else { return Ok(Self::Nothing) };
        let (subscribe, unsubscribe) = (fields.shift_remove("subscribe"), fields.shift_remove("unsubscribe"));
        let keys = fields.shift_remove("keys");
        let invalid = |message: &str| Err(Complaint::new("invalid", message));
        match (subscribe, unsubscribe) {
            (None, None) => Ok(Self::Nothing),
            (Some(_), Some(_)) => invalid("subscribe and unsubscribe in messages of their own"),
            (Some(_), None) | (None, Some(_)) if !fields.is_empty() => {
                invalid(&format!("unknown field {:?}", fields.keys().next().map_or("", String::as_str)))
            }
            (None, Some(_)) if keys.is_some() => invalid("\"keys\" goes with \"subscribe\" only"),
            (Some(kinds), None) => {
                let keys = match keys {
                    None | Some(Value::Null) => None,
                    Some(keys) => Some(texts(&keys).and_then(|keys| of_keys(keys.into_iter()))?),
                };
                Ok(Self::Subscribe(kinds_of(&kinds)?, keys))
            }
            (None, Some(kinds)) => Ok(Self::Unsubscribe(kinds_of(&kinds)?)),
        }
    }
}

/// The keys of a subscription, within bounds.
pub(super) fn of_keys<'k>(keys: impl Iterator<Item = &'k str>) -> Result<AHashSet<Box<str>>, Complaint> {
    let keys: AHashSet<Box<str>> = keys.take(MOST_KEYS + 1).map(Into::into).collect();
    if keys.len() > MOST_KEYS || keys.iter().any(|key| key.len() > MAX_KEY_BYTES) {
        let message = format!("at most {MOST_KEYS} keys of at most {MAX_KEY_BYTES} bytes can be named");
        return Err(Complaint::new("too_many_keys", message));
    }
    Ok(keys)
}

fn kinds_of(value: &Value) -> Result<Vec<Kind>, Complaint> {
    let mut kinds = texts(value)?.into_iter().map(Kind::parse).collect::<Result<Vec<_>, _>>()?;
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        return Err(Complaint::new("invalid", "no kind is named"));
    }
    Ok(kinds)
}

fn texts(value: &Value) -> Result<Vec<&str>, Complaint> {
    let items = value.as_array().map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    items.flatten().ok_or_else(|| Complaint::new("invalid", "expected an array of strings"))
}

/// The answer to `unsubscribe`.
pub(super) fn unsubscribed(kinds: &[Kind]) -> Utf8Bytes {
    json!({ "type": "unsubscribed", "kinds": kinds }).to_string().into()
}

/// One change of one document, encoded once for all clients.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) kind: Kind,
    pub(super) document: DocumentKey,
    /// As the existing service sends it.
    pub(super) plain: Utf8Bytes,
    /// With the revision.
    pub(super) full: Utf8Bytes,
    /// `full` as an event.
    pub(super) event: Bytes,
}

impl Update {
    pub(super) fn of(document: &DocumentKey, action: Action, at: Timestamp, revision: &WorldRevision) -> Self {
        let (kind, name, key_name) = match document.kind {
            DocumentKind::Flag => (Kind::Flags, "flag_update", "flag_key"),
            DocumentKind::Segment => (Kind::Segments, "segment_update", "segment_id"),
            DocumentKind::MlModel => (Kind::Models, "model_update", "model_id"),
            DocumentKind::KillSwitch => (Kind::KillSwitches, "kill_switch_update", "kill_switch_id"),
            DocumentKind::Deployment => (Kind::Deployments, "deployment_update", "deployment_id"),
        };
        let mut told = Map::new();
        told.insert("type".to_owned(), name.into());
        told.insert(key_name.to_owned(), (*document.key).into());
        told.insert("action".to_owned(), json!(action));
        told.insert("timestamp".to_owned(), format!("{at:.6}").into());
        let plain = json!(told).to_string();
        told.insert("revision".to_owned(), revision.to_string().into());
        let full = json!(told).to_string();
        let event = event(name, &full);
        Self { kind, document: document.clone(), plain: plain.into(), full: full.into(), event }
    }

    /// What happens around a segment that is no change of its document.
    fn of_segment(segment: &str, name: &str, told: Value) -> Self {
        let text: Utf8Bytes = told.to_string().into();
        let event = event(name, &text);
        let document = DocumentKey::segment(segment);
        Self { kind: Kind::Segments, document, plain: text.clone(), full: text, event }
    }
}

/// What is told of a segment that is worked out anew.
pub(super) fn of_recompute(segment: &str, progress: Value) -> Update {
    const NAME: &str = "recompute_progress";
    let mut told = json!({ "type": NAME });
    if let (Some(told), Value::Object(progress)) = (told.as_object_mut(), progress) {
        told.extend(progress);
    }
    Update::of_segment(segment, NAME, told)
}

/// So many moves are told one by one; of more, only how many there were in each segment.
const MOST_MOVES: usize = 100;

/// What is told of users who moved.
pub(super) fn of_moves(moved: &[Moved], at: Timestamp) -> Vec<Update> {
    let each = moved.iter().flat_map(|Moved { user_id, entered, left, .. }| {
        let entered = entered.iter().map(move |segment| (segment, user_id, "segment_entered"));
        entered.chain(left.iter().map(move |segment| (segment, user_id, "segment_left")))
    });
    let time = format!("{at:.6}");
    let update = Update::of_segment;
    let moves = moved.iter().map(|moved| moved.entered.len() + moved.left.len()).sum::<usize>();
    if moves <= MOST_MOVES {
        let tell = |(segment, user_id, name): (&String, &String, &str)| {
            update(segment, name, json!({ "type": name, "segment_id": segment, "user_id": user_id, "timestamp": time }))
        };
        return each.map(tell).collect();
    }
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (segment, _, name) in each {
        let (entered, left) = counts.entry(segment).or_default();
        *if name == "segment_entered" { entered } else { left } += 1;
    }
    let tell = |(segment, (entered, left)): (&str, (u64, u64))| {
        let told = json!({ "type": "segment_moves", "segment_id": segment, "entered": entered, "left": left, "timestamp": time });
        update(segment, "segment_moves", told)
    };
    counts.into_iter().map(tell).collect()
}

/// A server-sent event. JSON has no line breaks within.
pub(super) fn event(kind: &str, json: &str) -> Bytes {
    format!("event: {kind}\ndata: {json}\n\n").into()
}

/// The line that gives the event that it begins an id.
pub(super) fn id_line(revision: &WorldRevision) -> Bytes {
    // The epoch was named by whoever wrote the store, so it is not to be trusted with lines.
    let id: String = revision.to_string().chars().filter(|letter| !letter.is_control()).collect();
    format!("id: {id}\n").into()
}

/// Reads back what [`id_line`] says.
pub(super) fn revision_of(id: &str) -> Option<WorldRevision> {
    let (epoch, number) = id.rsplit_once(':')?;
    Some(WorldRevision { epoch: epoch.into(), number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        let keys = Some(["a".into(), "b".into()].into_iter().collect());
        for (text, wish) in [
            ("ping", Wish::Nothing),
            ("[1]", Wish::Nothing),
            (r#"{"hello": 1}"#, Wish::Nothing),
            (r#"{"subscribe": ["flags"]}"#, Wish::Subscribe(vec![Kind::Flags], None)),
            (r#"{"subscribe": ["segments", "flags"]}"#, Wish::Subscribe(vec![Kind::Flags, Kind::Segments], None)),
            (r#"{"subscribe": ["flags", "flags"], "keys": null}"#, Wish::Subscribe(vec![Kind::Flags], None)),
            (r#"{"subscribe": ["flags"], "keys": ["a", "b", "a"]}"#, Wish::Subscribe(vec![Kind::Flags], keys)),
            (r#"{"unsubscribe": ["flags"]}"#, Wish::Unsubscribe(vec![Kind::Flags])),
        ] {
            assert_eq!(Wish::parse(text), Ok(wish), "{text}");
        }
        for (text, code) in [
            (r#"{"subscribe": ["flag"]}"#, "unknown_kind"),
            (r#"{"subscribe": ["flags", "traffic"]}"#, "not_served_yet"),
            (r#"{"subscribe": "flags"}"#, "invalid"),
            (r#"{"subscribe": []}"#, "invalid"),
            (r#"{"subscribe": [1]}"#, "invalid"),
            (r#"{"subscribe": ["flags"], "key": "a"}"#, "invalid"),
            (r#"{"subscribe": ["flags"], "keys": "a"}"#, "invalid"),
            (r#"{"subscribe": ["flags"], "unsubscribe": ["flags"]}"#, "invalid"),
            (r#"{"unsubscribe": ["flags"], "keys": ["a"]}"#, "invalid"),
        ] {
            assert_eq!(Wish::parse(text).map_err(|complaint| complaint.code), Err(code), "{text}");
        }
        let many =
            json!({ "subscribe": ["flags"], "keys": (0..=MOST_KEYS).map(|n| n.to_string()).collect::<Vec<_>>() });
        assert_eq!(Wish::parse(&many.to_string()).map_err(|complaint| complaint.code), Err("too_many_keys"));
    }

    #[test]
    fn an_id_is_read_back() {
        let revision = WorldRevision { epoch: "a:b".into(), number: 7 };
        assert_eq!(id_line(&revision), "id: a:b:7\n");
        assert_eq!(revision_of("a:b:7"), Some(revision));
        assert_eq!((revision_of("7"), revision_of("e:x"), revision_of("")), (None, None, None));
    }
}
