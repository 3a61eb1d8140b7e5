//! gRPC's frames, the messages in them, and what is made of each message before anything is done.

use crate::r#gen::agent::{
    ExecRequest, ForwardRequest, GetFileRequest, GetTreeRequest, GrowDiskRequest, ListRequest, MakeDirRequest,
    PutFileRequest, PutTreeRequest, RemoveRequest, ResumeRequest, SignalRequest, StatRequest, exec_request,
};
use crate::r#gen::tart;
use crate::rpc::frame::{self, Decoder};
use crate::service;
use crate::worker::globs::Globs;
use bytes::Bytes;
use prost::Message;

pub fn grpc_messages(input: &[u8]) {
    let (cut, wire) = input.split_first().unwrap_or((&0, input));
    let messages = cut_up(wire, usize::from(*cut) + 1);
    assert_eq!(messages, cut_up(wire, usize::MAX), "messages do not depend on how the stream is cut");
    for message in messages {
        look_at(message);
    }
    // Most inputs are no frames; their bytes are still a message.
    look_at(Bytes::copy_from_slice(wire));
}

fn cut_up(wire: &[u8], size: usize) -> Vec<Bytes> {
    let mut decoder = Decoder::default();
    let mut messages = Vec::new();
    for part in wire.chunks(size) {
        decoder.feed(part);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

fn look_at(message: Bytes) {
    if let Some(ExecRequest { request: Some(exec_request::Request::Start(start)) }) = reread(&message) {
        let _ = service::exec::request(start);
    }
    let _ = service::exec::decode(message.clone());
    if let Some(tart::ExecRequest { r#type: Some(tart::exec_request::Type::Command(command)) }) = reread(&message) {
        service::tart::request(command);
    }
    let _ = service::tart::decode(message.clone());
    if let Some(request) = reread::<ResumeRequest>(&message) {
        let _ = service::resume::check(&request);
    }
    if let Some(request) = reread::<GetTreeRequest>(&message)
        && let Ok(globs) = Globs::new(&request.include, &request.exclude)
    {
        globs.judge(&request.directory, false);
    }
    reread::<ForwardRequest>(&message);
    reread::<GetFileRequest>(&message);
    reread::<GrowDiskRequest>(&message);
    reread::<ListRequest>(&message);
    reread::<MakeDirRequest>(&message);
    reread::<PutFileRequest>(&message);
    reread::<PutTreeRequest>(&message);
    reread::<RemoveRequest>(&message);
    reread::<SignalRequest>(&message);
    reread::<StatRequest>(&message);
}

/// The message, which must survive being written and read again.
fn reread<M: Message + Default + PartialEq>(bytes: &Bytes) -> Option<M> {
    let message = M::decode(bytes.clone()).ok()?;
    let written = frame::encode(&message);
    let again = M::decode(written.slice(frame::PREFIX..));
    assert!(again.is_ok_and(|again| again == message));
    Some(message)
}
