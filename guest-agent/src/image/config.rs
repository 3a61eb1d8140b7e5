//! What an image says about the programs that run in it.

use super::plan::arguments;
use crate::r#gen::agent::ImageConfig;
use crate::rpc::status::Status;

#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Name and value; a later one of the same name counts.
    pub env: Vec<(String, String)>,
    /// Empty: root.
    pub user: String,
    /// Empty: the user's home.
    pub working_directory: String,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
}

impl Config {
    pub fn new(config: ImageConfig) -> Result<Self, Status> {
        let ImageConfig { env, user, working_directory, entrypoint, command } = config;
        let directory = &working_directory;
        if !directory.is_empty() && !directory.starts_with('/') || directory.contains('\0') {
            return Err(Status::invalid("bad-path", format!("the working directory is not absolute: {directory:?}")));
        }
        arguments(&entrypoint, "entrypoint")?;
        arguments(&command, "command")?;
        let env = env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?;
        Ok(Self { env, user, working_directory, entrypoint, command })
    }

    /// The whole command line of these arguments of the ENTRYPOINT; without any, the image's own.
    pub fn command_line(&self, arguments: &[String]) -> Vec<String> {
        let arguments = if arguments.is_empty() { &self.command } else { arguments };
        self.entrypoint.iter().chain(arguments).cloned().collect()
    }
}

fn variable(text: &str) -> Result<(String, String), Status> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => Ok((name.to_owned(), value.to_owned())),
        _ => {
            // Not the value, which may be a secret.
            let name = text.split('=').next().unwrap_or_default();
            Err(Status::invalid(
                "bad-env",
                format!("the image's environment has something that is no NAME=value: {name:?}"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn arguments_replace_the_command_and_never_the_entrypoint() {
        let config = |entrypoint: &[&str], command: &[&str]| Config {
            entrypoint: texts(entrypoint),
            command: texts(command),
            ..Config::default()
        };
        assert_eq!(config(&["e", "1"], &["c"]).command_line(&[]), ["e", "1", "c"]);
        assert_eq!(config(&["e"], &["c"]).command_line(&texts(&["x", "y"])), ["e", "x", "y"]);
        assert_eq!(config(&[], &["c"]).command_line(&texts(&["x"])), ["x"]);
        assert!(config(&[], &[]).command_line(&[]).is_empty());
    }

    #[test]
    fn environment_keeps_its_order_and_what_is_in_a_value() {
        let config = ImageConfig { env: texts(&["A=1", "B=x=y", "A="]), ..ImageConfig::default() };
        let env = [("A", "1"), ("B", "x=y"), ("A", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(Config::new(config).unwrap().env, env);
    }
}
