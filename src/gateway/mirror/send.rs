//! One copy on its way, and what its answer is like.

use std::{
    hash::{DefaultHasher, Hasher as _},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use pingora::{Error, ErrorType, Result, http::RequestHeader, protocols::http::client::HttpSession};
use tokio::{sync::oneshot, time::timeout};

use super::{Answer, Mirror, Shadow};
use crate::{
    clock,
    gateway::upstream::{as_http2, random},
    telemetry::Mirrored,
};

/// How much of an answer is read.
const LARGEST_ANSWER: usize = 16 << 20;

/// How long an unused connection is kept: not as long as upstreams keep theirs, as nothing is tried again.
const IDLE: Duration = Duration::from_secs(2);

impl Mirror {
    /// Sends a copy, unless too many are on their way.
    pub(super) fn send(self: &Arc<Self>, header: RequestHeader, body: Bytes, user: Option<(u16, u8)>) -> Shadow {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            self.metrics.count(Mirrored::Dropped);
            return Shadow::Over;
        };
        let (tell, told) = oneshot::channel();
        let mirror = Arc::clone(self);
        self.runtime.spawn(async move {
            let sent = clock::monotonic();
            let asking = timeout(mirror.config.timeout, mirror.ask(header, body)).await;
            let time = clock::monotonic().duration_since(sent);
            let answer = match asking {
                Ok(Ok(answer)) => Some(answer),
                Ok(Err(error)) => {
                    log::debug!("mirror: a copy got no answer: {error}");
                    None
                }
                Err(_) => None,
            };
            drop(slot);
            let is_error = answer.is_none_or(|answer| answer.status >= 500);
            mirror.arm.count(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), is_error, user);
            mirror.metrics.answered(time.as_secs_f64());
            let result = match answer {
                None => Mirrored::Failed,
                Some(answer) => told.await.map_or(Mirrored::Dropped, |real| compare(real, answer)),
            };
            mirror.metrics.count(result);
        });
        Shadow::Sent { tell, body: self.config.body_hash.then(DefaultHasher::new) }
    }

    async fn ask(&self, mut header: RequestHeader, body: Bytes) -> Result<Answer> {
        let guard = self.upstreams.select(self.config.upstream, &[], random());
        let guard = guard.ok_or_else(|| Error::explain(ErrorType::ConnectError, "no endpoint can take it"))?;
        let peer = guard.peer();
        let (mut session, _reused) = self.connector.get_http_session(&peer).await?;
        if matches!(session, HttpSession::H2(_)) {
            as_http2(&mut header, peer.is_tls())?;
        }
        session.write_request_header(Box::new(header)).await?;
        if !body.is_empty() {
            session.write_request_body(body, true).await?;
        }
        session.finish_request_body().await?;
        let status = loop {
            session.read_response_header().await?;
            let status = session.response_header().map_or(0, |header| header.status.as_u16());
            // What comes before the answer itself is none.
            if !(100..200).contains(&status) {
                break status;
            }
        };
        let (mut hasher, mut length) = (DefaultHasher::new(), 0);
        while let Some(bytes) = session.read_response_body().await? {
            length += bytes.len();
            if length > LARGEST_ANSWER {
                return Ok(Answer { status, body: None });
            }
            hasher.write(&bytes);
        }
        self.connector.release_http_session(session, &peer, Some(IDLE)).await;
        Ok(Answer { status, body: Some(hasher.finish()) })
    }
}

/// How the answer to a copy compares with the real one.
fn compare(real: Answer, copy: Answer) -> Mirrored {
    if real.status / 100 != copy.status / 100 {
        return Mirrored::StatusDiffers;
    }
    match (real.body, copy.body) {
        (Some(real), Some(copy)) if real != copy => Mirrored::BodyDiffers,
        (Some(_) | None, Some(_) | None) => Mirrored::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_by_class_and_body() {
        let answer = |status, body| Answer { status, body };
        for (real, copy, expected) in [
            (answer(200, None), answer(204, Some(1)), Mirrored::Same),
            (answer(200, None), answer(302, Some(1)), Mirrored::StatusDiffers),
            (answer(500, Some(1)), answer(200, Some(1)), Mirrored::StatusDiffers),
            (answer(200, Some(1)), answer(200, Some(1)), Mirrored::Same),
            (answer(200, Some(1)), answer(201, Some(2)), Mirrored::BodyDiffers),
            // It was too large to be compared.
            (answer(200, Some(1)), answer(200, None), Mirrored::Same),
        ] {
            assert_eq!(compare(real, copy), expected, "{real:?} {copy:?}");
        }
    }
}
