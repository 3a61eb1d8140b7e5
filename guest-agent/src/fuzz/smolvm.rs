//! SmolVM's frames and the requests in them.

use super::script::{Script, run};
use crate::smolvm::client::Reader;
use crate::smolvm::frame::{self, Header};
use crate::smolvm::python;
use crate::smolvm::request::Request;
use serde_json::Value;

pub fn smolvm_frames(input: &[u8]) {
    let mut reader = Reader::new(Box::new(Script::new(input)));
    run(async {
        // As a session does: an end is skipped, a request is read, and anything else ends it.
        while reader.wait().await.is_ok() {
            match reader.skip_end().await {
                Ok(true) => {}
                Ok(false) => match reader.header().await {
                    Ok(Header { kind: frame::JSON, .. }) => match reader.request().await {
                        Ok(request) => look_at(&request),
                        Err(_) => return,
                    },
                    // The body of an upload.
                    Ok(Header { length, .. }) => {
                        reader.take_header();
                        if reader.payload(length).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
}

/// All that is ever asked of a request, whatever its operation is.
fn look_at(request: &Request) {
    request.is_version_1();
    for name in ["op", "cmd", "shell", "path", "name", "v", "mode", "size", "timeout", "env"] {
        let _ = request.string(name);
        let _ = request.number(name, Some(0o600));
        let reply = frame::refusal(&format!("unknown op {}", python::repr(request.get(name))));
        assert!(frame::json(&reply).len() < 64 << 10, "a reply is bounded whatever was asked");
    }
    let _ = request.size();
    if let Ok(Some((limit, given))) = request.timeout() {
        assert!(given.is_finite() && limit.as_secs() <= 1_000_000_000);
    }
    if let Ok(env) = request.environment() {
        assert!(env.keys().all(|name| !name.is_empty() && !name.contains('=')));
    }
    let again = frame::request(request);
    let payload = again.get(frame::HEADER..).unwrap_or_default();
    let again = frame::object(payload).map(|request| Value::Object(request.0)).unwrap_or_default();
    assert!(is_same(&again, &Value::Object(request.0.clone())), "{again} of {:?}", request.0);
}

/// The parser may miss a float by its last bit; being exact would cost 20 KB of tables.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => match (left.as_f64(), right.as_f64()) {
            (Some(left), Some(right)) => (left - right).abs() <= left.abs() * 1e-15,
            _ => left == right,
        },
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && is_same(left.1, right.1))
        }
        _ => left == right,
    }
}
