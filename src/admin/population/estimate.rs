//! `POST /segments/{id}/estimate`.

use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Map, Value, json};

use super::{
    ask::{MOST, USUAL},
    find, of_stored,
};
use crate::{
    admin::{
        Admin,
        access::Caller,
        body::Body,
        openapi as schema,
        refusal::{Issue, Refusal},
    },
    clock,
    snapshot::Estimate,
};

/// How many users are in a segment, from some who are drawn
///
/// Users who have a profile are drawn, each as likely as any other; all of them where they are at most 5 000. `low` to `high`
/// is Wilson's interval, which holds the true number 95 times of 100 (`confidence`; 1 when all were looked at). `estimate` and
/// the time go into the segment's `estimated_size` and `last_computed`.
#[utoipa::path(
    post, path = "/segments/{id}/estimate", tag = "segments", security(("token" = ["editor"])),
    params(("id" = String, Path, description = "the segment's id")),
    request_body(content = schema::EstimateRequest, example = json!({ "sample": 2000 })),
    responses(
        (status = 200, description = "how many, and how sure that is", body = schema::Estimate,
            example = json!({ "segment_id": "high_value_users", "matches": 412, "sample": 2000, "total": 81234, "estimate": 16734,
                "low": 15351, "high": 18211, "confidence": 0.95 })),
        (status = 404, description = "no such segment", body = schema::Problem, content_type = "application/problem+json"),
        (status = 409, description = "others change the segment all the time", body = schema::Problem, content_type = "application/problem+json"),
        (status = 422, description = "the sample is no number from 1 to 100000", body = schema::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn estimate(
    State(admin): State<Admin>,
    caller: Caller,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let size = size(if body.0.is_none() { Map::new() } else { body.object()? })?;
    let snapshot = admin.cell.load();
    let segment = find(&snapshot, &id)?;
    let drawn = admin.draw(size).await?;
    let (mut matches, mut sample, now) = (0, 0, clock::now());
    admin
        .each_stored(&drawn.users, |user_id, stored| {
            let is_member = of_stored(user_id, stored, now, |context| snapshot.evaluator(context).is_member(segment));
            sample += 1;
            matches += u64::from(is_member);
        })
        .await?;
    // Users who went meanwhile are none of those who are left.
    let gone = drawn.users.len() as u64 - sample;
    let found = Estimate::new(matches, sample, drawn.total.saturating_sub(gone));
    admin.note_size(&caller, &id, found.estimate).await?;
    let mut answer = json!({ "segment_id": id });
    if let (Some(answer), Value::Object(found)) = (answer.as_object_mut(), json!(found)) {
        answer.extend(found);
    }
    Ok(Json(answer))
}

fn size(mut body: Map<String, Value>) -> Result<usize, Refusal> {
    let sample = body.shift_remove("sample").unwrap_or(USUAL.into());
    let size = sample.as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| (1..=MOST).contains(size));
    let wrong =
        size.is_none().then(|| Issue::of_body("expected a whole number from 1 to 100000", "value_error").at("sample"));
    let unknown = body.keys().map(|name| Issue::of_body("unknown field", "value_error").at(name.as_str()));
    Refusal::of_issues(wrong.into_iter().chain(unknown).collect())?;
    Ok(size.unwrap_or(USUAL))
}
