//! gRPC, with a real client and a real server of it.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use futures_util::{StreamExt as _, stream};
use http::uri::PathAndQuery;
use hyper::{Request as HttpRequest, body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tonic::{
    Code, Request, Response, Status, Streaming,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{
    process::{PATIENCE, Process},
    upstream::free,
};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// A server whose methods send back what they get; `Fail` refuses.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serving =
                http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service_fn(call));
            tokio::spawn(serving);
        }
    });
    address
}

async fn call(request: HttpRequest<Incoming>) -> Result<http::Response<tonic::body::Body>, Infallible> {
    let mut server = tonic::server::Grpc::new(Plain);
    let answer = match request.uri().path() {
        "/test.Echo/Unary" => server.unary(tower::service_fn(unary), request).await,
        "/test.Echo/Fail" => server.unary(tower::service_fn(fail), request).await,
        _ => server.streaming(tower::service_fn(echo), request).await,
    };
    Ok(answer)
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let route = request.metadata().get("x-flaggate-route").cloned();
    let mut response = Response::new(request.into_inner());
    response.metadata_mut().insert("route", route.ok_or_else(|| Status::internal("no route"))?);
    Ok(response)
}

async fn fail(_request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let mut metadata = MetadataMap::new();
    metadata.insert("why", "because".parse().unwrap());
    Err(Status::with_metadata(Code::FailedPrecondition, "not now", metadata))
}

type Messages = stream::BoxStream<'static, Result<Bytes, Status>>;

async fn echo(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    Ok(Response::new(request.into_inner().boxed()))
}

struct Client(tonic::client::Grpc<Channel>);

impl Client {
    async fn connect(gateway: &Process) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", gateway.web)).unwrap();
        Self(tonic::client::Grpc::new(endpoint.connect().await.unwrap()))
    }

    async fn unary(&mut self, method: &'static str, message: &'static str) -> Result<Response<Bytes>, Status> {
        self.0.ready().await.unwrap();
        self.0.unary(Request::new(Bytes::from(message)), PathAndQuery::from_static(method), Plain).await
    }
}

async fn gateway(upstream: SocketAddr, keys: &str) -> Process {
    let text = format!(
        "[upstreams.only]\nendpoints = [{{ address = \"{upstream}\" }}]\nprotocol = \"http2\"\n{keys}\n\
         [[routes]]\nname = \"echo\"\nupstream = \"only\"\nmatch = {{ path_prefix = \"/test.Echo\" }}\n\
         limits = {{ body = \"64KiB\" }}\n"
    );
    Process::start(&json!([]), &text).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_through_with_their_status() {
    let gateway = gateway(server().await, "").await;
    let mut client = Client::connect(&gateway).await;
    for _ in 0..20 {
        let answer = client.unary("/test.Echo/Unary", "hello").await.unwrap();
        assert!(answer.metadata().get("route").unwrap().to_str().unwrap().starts_with("echo;strategy="));
        assert_eq!(answer.into_inner(), "hello");
    }
    let status = client.unary("/test.Echo/Fail", "hello").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "not now"));
    assert_eq!(status.metadata().get("why").unwrap(), "because");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_go_both_ways_at_once() {
    // The answer may pause for longer than it may take to begin.
    let gateway = gateway(server().await, "timeouts = { request = \"200ms\" }").await;
    let mut client = Client::connect(&gateway).await.0;
    client.ready().await.unwrap();
    let (send, receive) = mpsc::unbounded_channel();
    let sent = stream::unfold(receive, |mut receive| async move { Some((receive.recv().await?, receive)) });
    send.send(Bytes::from_static(b"first")).unwrap();
    let path = PathAndQuery::from_static("/test.Echo/Stream");
    let mut answers = client.streaming(Request::new(sent), path, Plain).await.unwrap().into_inner();
    for number in 0..100 {
        let answer = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer, if number == 0 { "first".to_owned() } else { number.to_string() });
        if number == 50 {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        // The next one is sent only when this one has come back.
        send.send(Bytes::from((number + 1).to_string())).unwrap();
    }
    drop(send);
    assert_eq!(answers.message().await.unwrap().unwrap(), "100");
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_refuses_has_a_status_of_grpc() {
    let dead = gateway(free(), "").await;
    let mut client = Client::connect(&dead).await;
    for (method, code, message) in [
        ("/test.Echo/Unary", Code::Unavailable, "the upstream cannot be reached"),
        ("/test.Other/Unary", Code::Unimplemented, "no route takes this request"),
    ] {
        let status = client.unary(method, "hello").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message), "{method}");
    }
    let alive = gateway(server().await, "").await;
    let mut client = Client::connect(&alive).await;
    let large: &'static str = String::leak("x".repeat(80 << 10));
    let status = client.unary("/test.Echo/Unary", large).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown, "{status:?}");
    assert_eq!(client.unary("/test.Echo/Unary", "small").await.unwrap().into_inner(), "small");
}
