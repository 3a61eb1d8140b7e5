//! What a request runs, as files and arguments of a root.

use super::launch::{Program, Request};
use super::lookup;
use super::script::ScriptFile;
use super::spawn::Candidate;
use super::user::Account;
use crate::image::config::Config;
use crate::root::{self, Place};
use crate::rpc::status::{Code, Status};
use std::ffi::CString;

pub type Command = (Vec<Candidate>, Option<ScriptFile>);

/// `search` is the program's own PATH.
pub fn resolve(place: &Place, request: &Request, account: Option<&Account>, search: &str) -> Result<Command, Status> {
    // Without an ENTRYPOINT a command is run as it is.
    let image = place.room.as_ref().filter(|_| request.entrypoint).map(|room| &room.config);
    match &request.program {
        Program::Argv(values) => {
            let values = image.map_or_else(|| values.clone(), |image| image.command_line(values));
            let name = values.first().filter(|name| !name.is_empty()).ok_or_else(|| no_program(request.entrypoint))?;
            Ok((vec![Candidate { paths: lookup::candidates(name, search), argv: strings(&values)? }], None))
        }
        Program::Script { content, args, shells } => {
            let shell = if shells.is_empty() { None } else { Some(first_of(place, shells)?) };
            let arguments = strings(args)?;
            let file = ScriptFile::write(place, account, content);
            let file = file.map_err(|error| Status::from_io(&error, "the script's file in the guest"))?;
            let candidates = match shell {
                Some(shell) => file.with_shell(shell, &arguments),
                None => file.candidates(content, &arguments, search),
            };
            let candidates = match image.filter(|image| !image.entrypoint.is_empty()) {
                Some(image) => vec![through(image, place, candidates, search)?],
                None => candidates,
            };
            Ok((candidates, Some(file)))
        }
    }
}

/// A script as the arguments of the ENTRYPOINT, which can be given but one interpreter.
fn through(image: &Config, place: &Place, candidates: Vec<Candidate>, search: &str) -> Result<Candidate, Status> {
    for Candidate { paths, argv } in candidates {
        let found = paths.into_iter().find(|path| root::has_program(&place.path, &path.to_string_lossy()));
        if let Some(path) = found {
            let entrypoint = strings(&image.entrypoint)?;
            let argv = entrypoint.into_iter().chain([path]).chain(argv.into_iter().skip(1)).collect();
            let name = image.entrypoint.first().map_or("", String::as_str);
            return Ok(Candidate { paths: lookup::candidates(name, search), argv });
        }
    }
    Err(no_shell("bash, sh"))
}

fn first_of(place: &Place, shells: &[String]) -> Result<CString, Status> {
    if let Some(shell) = shells.iter().find(|shell| !shell.starts_with('/')) {
        return Err(Status::invalid("bad-argument", format!("the path of a shell is not absolute: {shell:?}")));
    }
    let found = shells.iter().find(|shell| root::has_program(&place.path, shell));
    c_string(found.ok_or_else(|| no_shell(&shells.join(", ")))?)
}

fn no_program(entrypoint: bool) -> Status {
    let why = if entrypoint { "the image has no command of its own" } else { "argv is empty" };
    Status::invalid("no-program", format!("no program: {why}; name one"))
}

fn no_shell(tried: &str) -> Status {
    let message = format!("no shell for the script: {tried}; none of them is there, use an image that has one");
    Status::new(Code::FailedPrecondition, "no-shell", message)
}

fn strings(texts: &[String]) -> Result<Vec<CString>, Status> {
    texts.iter().map(|text| c_string(text)).collect()
}

fn c_string(text: &str) -> Result<CString, Status> {
    CString::new(text).map_err(|_| Status::invalid("bad-argument", format!("a zero byte is in the text: {text:?}")))
}
