//! The environment of a program: ours, the image's over it, the request's over that.

use super::launch::Request;
use super::lookup;
use super::user::Account;
use crate::image::config::Config;
use crate::rpc::status::Status;
use crate::system;
use std::collections::BTreeMap;
use std::ffi::CString;

pub type Environment = BTreeMap<String, String>;

pub fn make(request: &Request, account: Option<&Account>, image: Option<&Config>) -> Environment {
    let mut env = Environment::new();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    if !request.clear_env {
        set("PATH", lookup::DEFAULT_PATH.to_owned());
        set("HOSTNAME", system::hostname());
        if let Some(account) = account {
            set("HOME", account.home.clone().unwrap_or_else(|| "/".to_owned()));
            set("USER", account.name.clone());
            set("LOGNAME", account.name.clone());
            set("SHELL", account.shell.clone());
        }
        for (name, value) in image.iter().flat_map(|image| &image.env) {
            set(name, value.clone());
        }
    }
    if let Some((_, term)) = &request.terminal {
        set("TERM", if term.is_empty() { "xterm".to_owned() } else { term.clone() });
    }
    env.extend(request.env.clone());
    env
}

/// As execve wants it.
pub fn strings(env: &Environment) -> Result<Vec<CString>, Status> {
    // Not the value, which may be a secret.
    let bad = |key| Status::invalid("bad-env", format!("a zero byte is in the environment variable: {key:?}"));
    env.iter().map(|(key, value)| CString::new(format!("{key}={value}")).map_err(|_| bad(key))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::user;
    use super::*;

    fn config(env: &[(&str, &str)]) -> Config {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config { env, ..Config::default() }
    }

    #[test]
    fn image_stands_over_ours_and_the_request_over_both() {
        let ci = user::find("7", "", "").unwrap();
        let image = config(&[("PATH", "/opt"), ("A", "1"), ("A", "2"), ("B", "image")]);
        let request = Request { env: [("B".to_owned(), "asked".to_owned())].into(), ..Request::default() };
        let env = make(&request, Some(&ci), Some(&image));
        let of = |name: &str| env.get(name).map(String::as_str);
        assert_eq!((of("PATH"), of("A"), of("B")), (Some("/opt"), Some("2"), Some("asked")));
        assert_eq!((of("HOME"), of("USER"), of("TERM")), (Some("/"), Some("7"), None));
        assert_eq!(make(&request, Some(&ci), None).get("PATH").map(String::as_str), Some(lookup::DEFAULT_PATH));
    }

    #[test]
    fn cleared_environment_has_what_was_asked_for_and_no_more() {
        let request = Request { clear_env: true, ..Request::default() };
        assert!(make(&request, None, Some(&config(&[("A", "1")]))).is_empty());
    }
}
