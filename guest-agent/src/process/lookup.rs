//! Where a program is looked for: its own PATH, as the shell in the same root would.

use std::ffi::CString;

pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The paths to try for a program, in order.
pub fn candidates(program: &str, search: &str) -> Vec<CString> {
    if program.contains('/') {
        return CString::new(program).into_iter().collect();
    }
    search
        .split(':')
        // An empty part means the working directory.
        .map(|folder| if folder.is_empty() { "." } else { folder })
        .filter_map(|folder| CString::new(format!("{folder}/{program}")).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_without_a_slash_are_searched() {
        assert_eq!(candidates("./x", "/bin"), [c"./x".to_owned()]);
        assert_eq!(candidates("x", "/bin::/sbin"), [c"/bin/x".to_owned(), c"./x".to_owned(), c"/sbin/x".to_owned()]);
    }
}
