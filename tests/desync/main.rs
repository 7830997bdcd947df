//! Whatever a client sends, the upstream sees the requests that the gateway wrote, and no others.
//!
//! Each case is a request that two recipients could take differently, with another request in its body. What the upstream got
//! is read strictly: had the gateway passed on anything that can be read in two ways, it would not be a request of the one form
//! that is allowed here, or a request without the gateway's own mark.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cases;
mod wire;

#[expect(dead_code, reason = "nobody asks the admin API here")]
#[path = "../support/process.rs"]
mod process;
#[expect(dead_code, reason = "only the free addresses are used here")]
#[path = "../support/upstream.rs"]
mod upstream;

use std::collections::BTreeSet;

use serde_json::json;

use self::{
    cases::{Case, Tier},
    process::Process,
    wire::{Answer, Recorder},
};

/// So many cases are asked at once.
const AT_ONCE: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_smuggled_and_what_is_severe_is_refused() {
    let recorder = Recorder::start().await;
    let gateway = Process::start(
        &json!([]),
        &format!(
            "upstreams.u.endpoints = [{{ address = \"{}\" }}]\nroutes = [{{ name = \"all\", upstream = \"u\" }}]",
            recorder.address
        ),
    )
    .await;
    let cases = cases::all();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let mut answers = Vec::new();
    for some in cases.chunks(AT_ONCE) {
        let asked = some.iter().map(|case| wire::ask(gateway.web, &case.request));
        answers.extend(futures_util::future::join_all(asked).await);
    }
    let reached: BTreeSet<usize> = recorder.requests().into_iter().filter_map(|request| request.case).collect();
    let wrong: Vec<String> = cases
        .iter()
        .zip(&answers)
        .enumerate()
        .filter_map(|(number, (case, answer))| wrong(case, answer, reached.contains(&number)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let severe = cases.iter().filter(|case| case.tier == Tier::Severe).count();
    let compliant = cases.iter().filter(|case| case.tier == Tier::Compliant).count();
    assert_eq!((severe, compliant), (58, 19));
}

/// What is wrong with an answer.
fn wrong(case: &Case, answer: &Answer, has_reached: bool) -> Option<String> {
    let is_refused = matches!(answer.status, Some(400..=499)) && answer.is_closed && !has_reached;
    let is_fine = match case.tier {
        Tier::Severe => is_refused,
        Tier::Compliant => answer.status == Some(200) && has_reached,
        // Whatever it is taken for: it is answered, by the upstream or by a refusal.
        Tier::Unclear => answer.status.is_some() || answer.is_closed,
    };
    (!is_fine).then(|| format!("{:?} {:?}, reached {has_reached}: {}: {:?}", case.tier, answer, case.name, case.text()))
}
