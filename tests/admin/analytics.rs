//! What flags do, as it is told.

use serde_json::json;

use crate::harness::serve;

#[tokio::test]
async fn what_nobody_used_has_no_figures() {
    let admin = serve().await;
    let (status, told) = admin.post("/flags", json!({ "key": "f", "name": "F" })).await;
    assert!(status < 300, "{told}");
    let (status, told) = admin.get("/analytics/flags/f?from=1h").await;
    assert_eq!((status, &told["variations"], &told["series"]), (200, &json!([]), &json!([])), "{told}");
    assert_eq!((&told["step"], &told["evaluations"], &told["sample_ratio"]), (&json!(60), &json!(0), &json!(null)));
    assert_eq!(admin.get("/analytics/flags/none").await.0, 404);
    assert_eq!(admin.get("/analytics/routes/none").await.0, 404);
    assert_eq!(admin.get("/analytics/routes/web").await.0, 200);
    assert_eq!(admin.get("/analytics/deployments/none").await.0, 404);
    for query in ["from=yesterday", "from=40d", "to=x", "from=1h&to=2h", "from=1h&step=7s"] {
        let (status, told) = admin.get(&format!("/analytics/flags/f?{query}")).await;
        assert_eq!((status, told["errors"].is_array()), (422, true), "{query}: {told}");
    }
}

#[tokio::test]
async fn a_clean_world_has_no_insights() {
    let admin = serve().await;
    admin.post("/flags", json!({ "key": "f", "name": "F" })).await;
    let (status, told) = admin.get("/insights").await;
    assert_eq!((status, &told["insights"], &told["attributions"]), (200, &json!([]), &json!([])), "{told}");
    let expired = json!({ "key": "old", "name": "Old", "expires_at": "2020-01-01T00:00:00Z" });
    admin.post("/flags?wait=1", expired).await;
    let (_, told) = admin.get("/insights?severity=warning").await;
    assert_eq!(
        (&told["insights"][0]["rule"], &told["insights"][0]["name"]),
        (&json!("stale"), &json!("old")),
        "{told}"
    );
    assert_eq!(admin.get("/insights?severity=critical").await.1["insights"], json!([]));
    assert_eq!(admin.get("/insights?severity=much").await.0, 422);
}
