//! Uploads, and the sum that ends them.

use super::{Client, End};
use prost::Message;
use vm_agent::r#gen::agent::FileTrailer;

pub fn trailer(data: &[u8]) -> FileTrailer {
    FileTrailer { size: data.len() as u64, crc32: crc32fast::hash(data) }
}

pub async fn upload<Response: Message + Default>(
    client: &mut Client,
    method: &str,
    messages: Vec<impl Message>,
) -> Result<Response, End> {
    let mut call = client.call(method).await;
    for message in &messages {
        if call.try_send(vm_agent::rpc::frame::encode(message)).await.is_err() {
            break;
        }
    }
    call.half_close();
    match call.next().await {
        Some(response) => Ok(response),
        None => Err(call.end()),
    }
}
