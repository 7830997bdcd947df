//! `GET /segments/overlap`.

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde_json::{Value, json};

use super::{
    ask::{MOST, USUAL},
    find, of_stored,
};
use crate::{
    admin::{
        Admin, openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    snapshot::Overlap,
};

/// The most segments that are laid over each other at once.
const MOST_SEGMENTS: usize = 100;

/// In which segments users are together
///
/// For each two segments: how many of the users who were drawn are in both, how many percent of either that is, and Jaccard's
/// index (those in both among those in any). Users are drawn as for an estimate; `sample` equals `total` when all were looked
/// at. One pass over them, whatever the number of segments.
#[utoipa::path(
    get, path = "/segments/overlap", tag = "segments", security(("token" = ["viewer"])),
    params(
        ("ids" = Option<Vec<String>>, Query, description = "the segments, separated by commas; all unless given, at most 100", example = json!(["a", "b"])),
        ("sample" = Option<u64>, Query, description = "how many users are drawn, 1 to 100000; 2000 unless given"),
    ),
    responses(
        (status = 200, description = "each segment, and each two of them", body = schema::Overlap,
            example = json!({ "sample": 2000, "total": 81234, "segments": [{ "id": "a", "members": 400 }, { "id": "b", "members": 100 }],
                "pairs": [{ "a": "a", "b": "b", "both": 50, "of_a": 12.5, "of_b": 50.0, "jaccard": 0.1111 }] })),
        (status = 404, description = "no such segment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "a parameter is wrong", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn overlap(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Result<Json<Value>, Refusal> {
    let Asked { ids, size } = asked(query.as_deref().unwrap_or_default())?;
    let snapshot = admin.cell.load();
    let ids = ids.unwrap_or_else(|| {
        snapshot.segments().take(MOST_SEGMENTS).map(|(_, segment)| segment.id().to_owned()).collect()
    });
    let segments = ids.iter().map(|id| find(&snapshot, id)).collect::<Result<Vec<_>, _>>()?;
    let drawn = admin.draw(size).await?;
    let (mut overlap, now) = (Overlap::new(segments), clock::now());
    admin
        .each_stored(&drawn.users, |user_id, stored| {
            of_stored(user_id, stored, now, |context| overlap.count(&snapshot, context));
        })
        .await?;
    let members = ids.iter().enumerate().map(|(at, id)| json!({ "id": id, "members": overlap.members(at) }));
    let pairs = (0..ids.len()).flat_map(|a| (a + 1..ids.len()).map(move |b| (a, b)));
    let pairs = pairs.map(|(a, b)| {
        let both = overlap.both(a, b);
        json!({
            "a": ids[a],
            "b": ids[b],
            "both": both,
            "of_a": percent(both, overlap.members(a)),
            "of_b": percent(both, overlap.members(b)),
            "jaccard": overlap.jaccard(a, b),
        })
    });
    Ok(Json(json!({
        "sample": overlap.users(),
        "total": drawn.total.max(overlap.users()),
        "segments": members.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
    })))
}

/// `None`: nobody is in the segment.
#[expect(clippy::cast_precision_loss, reason = "at most 100 000 are drawn")]
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

struct Asked {
    ids: Option<Vec<String>>,
    size: usize,
}

fn asked(query: &str) -> Result<Asked, Refusal> {
    let (mut ids, mut size, mut issues) = (None::<Vec<String>>, USUAL, Vec::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "ids" => {
                let named = value.split(',').filter(|id| !id.is_empty()).map(str::to_owned);
                ids.get_or_insert_default().extend(named);
            }
            "sample" => match value.parse().ok().filter(|size| (1..=MOST).contains(size)) {
                Some(wanted) => size = wanted,
                None => issues.push(Issue::of_query("sample", "expected a whole number from 1 to 100000")),
            },
            _ => {}
        }
    }
    if let Some(ids) = &mut ids {
        let mut seen = std::collections::HashSet::new();
        ids.retain(|id| seen.insert(id.clone()));
        if ids.len() > MOST_SEGMENTS {
            issues.push(Issue::of_query("ids", "at most 100 segments can be laid over each other"));
        }
    }
    Refusal::of_issues(issues)?;
    Ok(Asked { ids, size })
}
