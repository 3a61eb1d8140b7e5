//! Files and trees, whole.

use super::{Client, End, trailer, upload};
use bytes::Bytes;
use prost::Message;
use vm_agent::r#gen::agent::*;

/// A file as it goes over the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    Data(Vec<u8>),
    Hole(u64),
}

/// The trailer of these pieces: holes count, and are not in the checksum.
pub fn trailer_of(pieces: &[Piece]) -> FileTrailer {
    let mut data = Vec::new();
    let mut size = 0;
    for piece in pieces {
        match piece {
            Piece::Data(bytes) => {
                data.extend_from_slice(bytes);
                size += bytes.len() as u64;
            }
            Piece::Hole(hole) => size += hole,
        }
    }
    FileTrailer { size, ..trailer(&data) }
}

pub async fn put_pieces(
    client: &mut Client,
    path: &str,
    file: FileHeader,
    pieces: &[Piece],
    sent: Option<FileTrailer>,
) -> Result<PutFileResponse, End> {
    use put_file_request::Request;
    let header = PutFileHeader { path: path.into(), file: Some(file), ..PutFileHeader::default() };
    let mut parts = vec![Request::Header(header)];
    for piece in pieces {
        match piece {
            Piece::Data(data) => {
                parts.extend(data.chunks(100_000).map(|chunk| Request::Data(Bytes::copy_from_slice(chunk))));
            }
            Piece::Hole(size) => parts.push(Request::Hole(*size)),
        }
    }
    parts.extend(sent.map(Request::Trailer));
    let messages = parts.into_iter().map(|request| PutFileRequest { request: Some(request) }).collect();
    upload(client, "PutFile", messages).await
}

pub async fn put(
    client: &mut Client,
    path: &str,
    data: &[u8],
    sent: Option<FileTrailer>,
) -> Result<PutFileResponse, End> {
    let size = data.len() as u64;
    let header = FileHeader { size, mode: 0o640, mtime: 1_000_000_000, mtime_nanos: 123_456_789 };
    put_pieces(client, path, header, &[Piece::Data(data.to_vec())], sent).await
}

/// Data that comes in several messages is one piece.
pub async fn get_pieces(client: &mut Client, path: &str) -> Result<(FileHeader, Vec<Piece>), End> {
    use get_file_response::Response;
    let mut call = client.call("GetFile").await;
    call.send(&GetFileRequest { path: path.into(), ..GetFileRequest::default() }).await;
    call.half_close();
    let (mut header, mut pieces, mut sent) = (None, Vec::new(), None);
    while let Some(message) = call.next::<GetFileResponse>().await {
        match (message.response.unwrap(), pieces.last_mut()) {
            (Response::Header(found), _) => header = Some(found),
            (Response::Data(chunk), Some(Piece::Data(data))) => data.extend_from_slice(&chunk),
            (Response::Data(chunk), _) => pieces.push(Piece::Data(chunk.to_vec())),
            (Response::Hole(size), _) => pieces.push(Piece::Hole(size)),
            (Response::Trailer(found), _) => sent = Some(found),
        }
    }
    if call.end().code != 0 {
        return Err(call.end());
    }
    assert_eq!(sent, Some(trailer_of(&pieces)));
    Ok((header.unwrap(), pieces))
}

pub async fn get(client: &mut Client, path: &str) -> Result<(FileHeader, Vec<u8>), End> {
    let (header, pieces) = get_pieces(client, path).await?;
    let mut data = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Data(bytes) => data.extend_from_slice(&bytes),
            Piece::Hole(size) => data.resize(data.len() + size as usize, 0),
        }
    }
    Ok((header, data))
}

/// The archive, how many entries its trailer says, and the totals that came first.
pub struct Download {
    pub archive: Vec<u8>,
    pub entries: u64,
    pub totals: Option<TreeTotals>,
}

pub async fn get_tree(client: &mut Client, request: GetTreeRequest) -> Result<Download, End> {
    use get_tree_response::Response;
    let mut call = client.call("GetTree").await;
    call.send(&request).await;
    call.half_close();
    let (mut archive, mut end, mut totals) = (Vec::new(), None, None);
    while let Some(message) = call.next::<GetTreeResponse>().await {
        match message.response.unwrap() {
            Response::Data(chunk) => archive.extend_from_slice(&chunk),
            Response::Trailer(found) => end = Some(found),
            Response::Totals(found) => {
                assert!(archive.is_empty(), "totals come first");
                totals = Some(found);
            }
        }
    }
    if call.end().code != 0 {
        return Err(call.end());
    }
    let end = end.unwrap();
    assert_eq!(end.stream, Some(trailer(&archive)));
    Ok(Download { archive, entries: end.entries, totals })
}

pub async fn put_tree(client: &mut Client, directory: &str, archive: &[u8]) -> Result<PutTreeResponse, End> {
    use put_tree_request::Request;
    let mut parts = vec![Request::Header(PutTreeHeader { directory: directory.into(), ..PutTreeHeader::default() })];
    parts.extend(archive.chunks(10_000).map(|chunk| Request::Data(Bytes::copy_from_slice(chunk))));
    parts.push(Request::Trailer(trailer(archive)));
    let messages = parts.into_iter().map(|request| PutTreeRequest { request: Some(request) }).collect();
    upload(client, "PutTree", messages).await
}

/// The whole directory, or what the globs select of it.
pub fn tree(directory: String, include: &[&str], exclude: &[&str]) -> GetTreeRequest {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    GetTreeRequest { directory, include: own(include), exclude: own(exclude), ..GetTreeRequest::default() }
}

/// A call with one request, which is not to succeed.
pub async fn refusal(client: &mut Client, method: &str, request: &impl Message) -> End {
    client.unary::<_, InfoResponse>(method, request).await.unwrap_err()
}
