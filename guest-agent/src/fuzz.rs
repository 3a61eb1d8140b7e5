//! What fuzzing reaches: all that reads the bytes of a client, on streams in memory. Nothing here starts a program or touches
//! a disk, whatever the bytes ask for. Each target checks what must hold, besides that nothing panics.

mod grpc;
mod preamble;
mod script;
mod smolvm;

pub use grpc::grpc_messages;
pub use preamble::preamble;
pub use smolvm::smolvm_frames;

pub type Target = fn(&[u8]);

/// The same for every runner: by name.
pub const TARGETS: [(&str, Target); 3] =
    [("grpc_messages", grpc_messages), ("preamble", preamble), ("smolvm_frames", smolvm_frames)];
