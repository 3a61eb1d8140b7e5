//! A gRPC client over one h2 connection.

use super::sh;
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use prost::Message;
use std::future::poll_fn;
use std::path::Path;
use vm_agent::r#gen::agent::{
    ExecExit, ExecRequest, ExecResponse, ExecStart, ResourceUsage, exec_request, exec_response,
};
use vm_agent::rpc::frame::{self, Decoder};

/// One connection. It is lost when this is dropped.
pub struct Client {
    requests: SendRequest<Bytes>,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub async fn connect(socket: &Path) -> Self {
        Self::over(tokio::net::UnixStream::connect(socket).await.unwrap()).await
    }

    pub async fn over(stream: tokio::net::UnixStream) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(8 << 20);
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        let connection = tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        Self { requests, connection }
    }

    pub async fn call(&mut self, method: &str) -> Call {
        poll_fn(|context| self.requests.poll_ready(context)).await.unwrap();
        let path =
            if method.starts_with('/') { method.into() } else { format!("/vmrunner.agent.v1.AgentService/{method}") };
        let request = http::Request::post(format!("http://agent{path}"))
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        let (response, requests) = self.requests.send_request(request, false).unwrap();
        Call { response: Some(response), requests, body: None, decoder: Decoder::default(), end: HeaderMap::new() }
    }

    /// A call with one request and one response.
    pub async fn unary<Request: Message, Response: Message + Default>(
        &mut self,
        method: &str,
        request: &Request,
    ) -> Result<Response, End> {
        let mut call = self.call(method).await;
        call.send(request).await;
        call.half_close();
        match call.next().await {
            Some(response) => Ok(response),
            None => Err(call.end()),
        }
    }

    pub async fn start(&mut self, start: ExecStart) -> Call {
        let mut call = self.call("Exec").await;
        call.control(exec_request::Request::Start(start)).await;
        call
    }

    /// Runs a program to its end.
    pub async fn exec(&mut self, start: ExecStart) -> Outcome {
        self.start(start).await.outcome().await
    }

    pub async fn sh(&mut self, command: &str) -> Outcome {
        self.exec(sh(command)).await
    }
}

/// The status at the end of a call.
#[derive(Debug, Eq, PartialEq)]
pub struct End {
    pub code: u32,
    pub reason: String,
    pub message: String,
}

/// All that came of an exec.
#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit: Option<(i32, i32)>,
    pub timed_out: bool,
    pub usage: Option<ResourceUsage>,
    pub end: Option<End>,
}

impl Outcome {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub fn reason(&self) -> &str {
        assert_eq!(self.exit, None);
        &self.end.as_ref().unwrap().reason
    }
}

pub struct Call {
    response: Option<h2::client::ResponseFuture>,
    pub requests: SendStream<Bytes>,
    body: Option<RecvStream>,
    decoder: Decoder,
    end: HeaderMap,
}

impl Call {
    pub async fn send(&mut self, message: &impl Message) {
        self.try_send(frame::encode(message)).await.unwrap();
    }

    pub async fn try_send(&mut self, mut bytes: Bytes) -> Result<(), h2::Error> {
        while !bytes.is_empty() {
            self.requests.reserve_capacity(bytes.len());
            match poll_fn(|context| self.requests.poll_capacity(context)).await {
                Some(granted) => self.requests.send_data(bytes.split_to(granted?.min(bytes.len())), false)?,
                None => return Err(h2::Reason::STREAM_CLOSED.into()),
            }
        }
        Ok(())
    }

    pub async fn control(&mut self, request: exec_request::Request) {
        self.send(&ExecRequest { request: Some(request) }).await;
    }

    pub fn half_close(&mut self) {
        let _ = self.requests.send_data(Bytes::new(), true);
    }

    /// The next response message, none at the end.
    pub async fn next<M: Message + Default>(&mut self) -> Option<M> {
        if let Some(response) = self.response.take() {
            let response = response.await.ok()?;
            self.end = response.headers().clone();
            self.body = Some(response.into_body());
        }
        let body = self.body.as_mut()?;
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return Some(M::decode(message).unwrap());
            }
            match body.data().await {
                Some(Ok(data)) => {
                    body.flow_control().release_capacity(data.len()).unwrap();
                    self.decoder.feed(&data);
                }
                Some(Err(_)) => return None,
                None => {
                    if let Ok(Some(trailers)) = body.trailers().await {
                        self.end = trailers;
                    }
                    return None;
                }
            }
        }
    }

    pub fn end(&self) -> End {
        let text = |name: &str| self.end.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        End {
            code: text("grpc-status").parse().unwrap_or(999),
            reason: text("vm-runner-reason"),
            message: text("grpc-message"),
        }
    }

    pub async fn started(&mut self) -> u32 {
        match self.next::<ExecResponse>().await.unwrap().response {
            Some(exec_response::Response::Started(started)) => started.pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Reads output until it holds the text.
    pub async fn stdout_until(&mut self, wanted: &str) -> String {
        let mut seen = BytesMut::new();
        while !String::from_utf8_lossy(&seen).contains(wanted) {
            match self.next::<ExecResponse>().await.expect("ended too early").response {
                Some(exec_response::Response::Stdout(data)) => seen.extend_from_slice(&data),
                Some(exec_response::Response::Exit(exit)) => panic!("ended with {exit:?} after {seen:?}"),
                _ => {}
            }
        }
        String::from_utf8(seen.to_vec()).unwrap()
    }

    pub async fn outcome(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(message) = self.next::<ExecResponse>().await {
            match message.response {
                Some(exec_response::Response::Stdout(data)) => outcome.stdout.extend_from_slice(&data),
                Some(exec_response::Response::Stderr(data)) => outcome.stderr.extend_from_slice(&data),
                Some(exec_response::Response::Exit(ExecExit { code, signal, timed_out, usage })) => {
                    outcome.exit = Some((code, signal));
                    (outcome.timed_out, outcome.usage) = (timed_out, usage);
                }
                Some(exec_response::Response::Started(_)) | None => {}
            }
        }
        outcome.end = Some(self.end());
        outcome
    }
}
