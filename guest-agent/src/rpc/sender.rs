//! The agent's half of a call: messages as fast as the client reads them, then one status.

use super::frame;
use super::status::Status;
use bytes::Bytes;
use h2::SendStream;
use h2::server::SendResponse;
use http::{Response, StatusCode};
use prost::Message;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Up to here copying the payload is cheaper than a second DATA frame.
const COPIED: usize = 1024;

/// The client is not there any more, so there is nobody to tell anything.
#[derive(Debug)]
pub struct Gone;

impl From<Gone> for Status {
    fn from(_: Gone) -> Self {
        Status::gone()
    }
}

pub struct Sender {
    response: SendResponse<Bytes>,
    stream: Option<SendStream<Bytes>>,
}

impl Sender {
    pub fn new(response: SendResponse<Bytes>) -> Self {
        Self { response, stream: None }
    }

    pub async fn message(&mut self, message: &impl Message) -> Result<(), Gone> {
        self.bytes(frame::encode(message)).await
    }

    /// A message made of a header from `frame::encode_payload_header` and a payload that is not copied.
    pub async fn payload(&mut self, mut header: bytes::BytesMut, payload: Bytes) -> Result<(), Gone> {
        if payload.len() <= COPIED {
            header.extend_from_slice(&payload);
            return self.bytes(header.freeze()).await;
        }
        self.bytes(header.freeze()).await?;
        self.bytes(payload).await
    }

    /// Bytes that hold whole messages or parts of them. Waits while the client does not read.
    pub async fn bytes(&mut self, mut bytes: Bytes) -> Result<(), Gone> {
        let stream = self.open()?;
        while !bytes.is_empty() {
            stream.reserve_capacity(bytes.len());
            let granted = match stream.capacity() {
                0 => match poll_fn(|context| stream.poll_capacity(context)).await {
                    Some(Ok(granted)) => granted,
                    _ => return Err(Gone),
                },
                granted => granted,
            };
            let part = bytes.split_to(granted.min(bytes.len()));
            stream.send_data(part, false).map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Ready when the client ended the call from its side.
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(context).map(|_| ()),
            None => self.response.poll_reset(context).map(|_| ()),
        }
    }

    pub async fn gone(&mut self) {
        poll_fn(|context| self.poll_gone(context)).await;
    }

    /// Ends the call. Nothing is left to do when the client is gone, so this cannot fail.
    pub fn finish(mut self, status: &Status) {
        match &mut self.stream {
            Some(stream) => {
                let _ = stream.send_trailers(status.trailers());
            }
            None => {
                let mut head = head();
                head.headers_mut().extend(status.trailers());
                let _ = self.response.send_response(head, true);
            }
        }
    }

    /// The open stream; the first call sends the response's headers.
    fn open(&mut self) -> Result<&mut SendStream<Bytes>, Gone> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.response.send_response(head(), false).map_err(|_| Gone)?,
        };
        Ok(self.stream.insert(stream))
    }
}

fn head() -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::OK;
    head.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    head
}
