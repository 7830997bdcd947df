//! The hints of other gateways, over a connection of its own.

use std::{pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    config::RedisServer,
    model::{DocumentKey, WorldRevision},
    store::{Action, Hint, Hints, StoreError, Subscription},
};

use super::{
    connection::{Link, within},
    names::{Names, kind},
};

/// How many hints may wait before the subscription ends and everything is loaded instead.
const CAPACITY: usize = 4096;

/// How often the server is asked whether it is still there: a connection whose other end is gone without a word looks
/// like one on which nothing happens.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long it may take to answer that.
const PONG_WITHIN: Duration = Duration::from_millis(1500);

/// Hints on their way from the task that hears them.
struct Listening(mpsc::Receiver<Hint>);

/// A hint as it is sent.
#[derive(Deserialize)]
struct Sent {
    epoch: Arc<str>,
    revision: u64,
    kind: String,
    key: Arc<str>,
    action: Action,
    #[serde(default)]
    at: Option<String>,
}

/// Subscribes to hints; when this returns, the server has confirmed it.
pub(super) async fn subscribe(link: Arc<Link>, names: &Names) -> Result<Hints, StoreError> {
    // Whoever subscribes anew lost the connection before: what is wrong with that may be wrong with the other one too.
    link.forget().await;
    Ok(Box::new(Listening(listen(link, names.channel(), hint).await?)))
}

/// Listens to a channel over a connection of its own; what `read` can make nothing of is passed over. Nothing is missed
/// before the end.
pub(super) async fn listen<T: Send + 'static>(
    link: Arc<Link>,
    channel: String,
    read: impl Fn(&Msg) -> Option<T> + Send + 'static,
) -> Result<mpsc::Receiver<T>, StoreError> {
    let (client, server) = link.client().await?;
    let limits = (link.config().connect_timeout, link.config().answer_timeout);
    let connection = within(limits.0, &format!("{server} cannot be connected to"), client.get_async_pubsub()).await?;
    let (mut sink, stream) = connection.split();
    within(limits.1, &format!("{server} did not confirm the subscription"), sink.subscribe(channel)).await?;
    let (sender, receiver) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        let closed = sender.clone();
        tokio::select! {
            () = forward(stream, sender, read) => {}
            () = watch(sink, &link, &server) => {}
            () = closed.closed() => {}
        }
    });
    Ok(receiver)
}

/// Passes messages on until the connection ends, or nobody keeps up with them.
async fn forward<T>(stream: PubSubStream, sender: mpsc::Sender<T>, read: impl Fn(&Msg) -> Option<T>) {
    let mut stream = pin!(stream);
    while let Some(message) = stream.next().await {
        // What cannot be read was sent by something else, and says nothing.
        if let Some(message) = read(&message)
            && sender.try_send(message).is_err()
        {
            return;
        }
    }
}

/// Ends when the server does not answer any more, or is not the master any more.
async fn watch(mut sink: PubSubSink, link: &Link, server: &RedisServer) {
    loop {
        sleep(PING_EVERY).await;
        let pong = timeout(PONG_WITHIN, sink.ping::<redis::Value>()).await;
        if !matches!(pong, Ok(Ok(_))) || !link.is_still(server).await {
            return;
        }
    }
}

fn hint(message: &Msg) -> Option<Hint> {
    let sent: Sent = serde_json::from_slice(message.get_payload_bytes()).ok()?;
    Some(Hint {
        revision: WorldRevision { epoch: sent.epoch, number: sent.revision },
        document: DocumentKey { kind: kind(&sent.kind)?, key: sent.key },
        action: sent.action,
        // Another program may write it as it likes.
        at: sent.at.and_then(|at| at.parse().ok()),
    })
}

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Option<Hint> {
        self.0.recv().await
    }
}
