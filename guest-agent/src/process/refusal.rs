//! Why a program could not start, for the client.

use super::launch::{Program, Request};
use super::spawn::{Failure, Step};
use crate::rpc::status::{Code, Status};

pub fn explain(failure: &Failure, request: &Request) -> Status {
    let error = &failure.error;
    match failure.step {
        Step::Program => refused_program(error, &request.program),
        Step::Directory => Status::new(
            Code::FailedPrecondition,
            "bad-cwd",
            format!("cannot use the working directory: {}: {error}", request.cwd),
        ),
        Step::User => Status::new(
            Code::PermissionDenied,
            "not-permitted",
            format!("cannot become the user: {}: {error}", request.user),
        ),
        Step::Root => Status::new(Code::FailedPrecondition, "no-root", format!("cannot enter the root: {error}")),
        Step::Setup => Status::new(Code::Internal, "setup-failed", format!("cannot set up the process: {error}")),
    }
}

fn refused_program(error: &std::io::Error, program: &Program) -> Status {
    let (name, is_script) = match program {
        Program::Argv(values) => (values.first().map_or("", String::as_str), false),
        Program::Script { .. } => ("the script's interpreter", true),
    };
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) if name.contains('/') || is_script => {
            let message =
                format!("command not found: {name}; it, or the interpreter or loader that it names, is not there");
            Status::new(Code::NotFound, "command-not-found", message)
        }
        Some(libc::ENOENT | libc::ENOTDIR) => {
            Status::new(Code::NotFound, "command-not-found", format!("command not found: {name}; it is not in PATH"))
        }
        Some(libc::EACCES | libc::EPERM) => Status::new(
            Code::PermissionDenied,
            "not-executable",
            format!("not executable: {name}; see its permissions"),
        ),
        Some(libc::ENOEXEC) => {
            let message = format!("not executable: {name}; it is no program for this machine and has no #! line");
            Status::new(Code::PermissionDenied, "not-executable", message)
        }
        Some(libc::E2BIG) => {
            Status::invalid("arguments-too-long", "the arguments and environment are longer than the kernel takes")
        }
        _ => Status::from_io(error, name),
    }
}
