//! What is tried again: what could not be connected to, and what may be sent twice and was not answered.

use std::time::Duration;

use pingora::{Error, ErrorSource, ErrorType, RetryType, proxy::Session};

use super::exchange::Exchange;

/// The connection could not be made. Nothing was sent, so that any method may be tried at another endpoint.
pub(super) fn not_connected(exchange: &mut Exchange, error: &mut Error) {
    let Some(upstream) = exchange.upstream() else { return };
    exchange.endpoint_answered(false);
    if let Some(endpoint) = exchange.endpoint_failed() {
        endpoint.failed_to_connect(exchange.routing.upstreams.name(upstream), &error.etype().as_str());
    }
    let has_other = exchange.routing.upstreams.has_other(upstream, &exchange.failed);
    error.set_retry(has_other && may_retry(exchange));
}

/// The try ended with an error. Only what is idempotent, or was not touched, is tried again, only while its body is still there and nothing was
/// answered: on a connection that was used before, which the upstream may just have closed, or at another endpoint.
///
/// Invariant: a request that is not idempotent, or whose answer began, reaches one upstream at most.
pub(super) fn broke_off(session: &mut Session, exchange: &mut Exchange, error: &mut Error, reused: bool) {
    let is_harmless = session.req_header().method.is_idempotent() || is_untouched(error);
    error.retry.decide_reuse(reused);
    let is_repeatable =
        is_harmless && !session.as_downstream().retry_buffer_truncated() && exchange.upstream_time.is_none();
    let is_elsewhere = !reused && is_closed(error) && has_other(exchange);
    let retry = is_repeatable && (error.retry() || is_elsewhere) && may_retry(exchange);
    error.set_retry(retry);
    if retry {
        // An upstream may close a connection that it no longer needs: that is no failure.
        if !reused {
            exchange.endpoint_answered(false);
        }
        exchange.endpoint_failed();
    }
}

/// Whether the upstream said, by HTTP/2, that it did nothing about the request: it refused its stream, or went away before.
fn is_untouched(error: &Error) -> bool {
    matches!(error.retry, RetryType::Decided(true)) && *error.etype() == ErrorType::H2Error
}

/// Whether the upstream closed the connection without an answer.
fn is_closed(error: &Error) -> bool {
    let kinds = [ErrorType::ConnectionClosed, ErrorType::ReadError, ErrorType::WriteError];
    *error.esource() == ErrorSource::Upstream && kinds.contains(error.etype())
}

/// Whether there is an endpoint besides those that failed and the one that is being tried.
fn has_other(exchange: &Exchange) -> bool {
    let (Some(upstream), Some(endpoint)) = (exchange.upstream(), &exchange.endpoint) else { return false };
    let mut tried = exchange.failed.clone();
    tried.push(endpoint.position());
    exchange.routing.upstreams.has_other(upstream, &tried)
}

/// Whether a request may be tried once more; if so, it is taken out of the upstream's budget.
fn may_retry(exchange: &Exchange) -> bool {
    let Some(upstream) = exchange.upstream() else { return false };
    let upstreams = &exchange.routing.upstreams;
    exchange.tries < upstreams.attempts(upstream)
        && exchange.response_time_left() > Duration::ZERO
        && upstreams.take_retry(upstream)
}
