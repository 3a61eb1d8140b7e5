//! Which paths a client wants: what an include matches and all below it, without what an exclude matches and all below that.

use crate::rpc::status::Status;

pub struct Globs {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

struct Glob {
    pattern: String,
    /// The leading directories without any special character: nothing outside them can match.
    literal: String,
}

/// What is to be done with a path, seen from its parent that was not selected itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// With all that is below it and not excluded.
    Selected,
    /// Not itself, but something below it may be.
    Above,
    Out,
}

impl Globs {
    /// An include that starts with `!` is an exclude.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Status> {
        let mut globs = Self { include: Vec::new(), exclude: Vec::new() };
        for pattern in include {
            match pattern.strip_prefix('!') {
                Some(excluded) => globs.exclude.push(read(excluded)?),
                None => globs.include.push(read(pattern)?),
            }
        }
        for pattern in exclude {
            globs.exclude.push(read(pattern)?);
        }
        Ok(globs)
    }

    /// `path` is relative and without a slash at its end; `inside` says that a directory above it was selected.
    pub fn judge(&self, path: &str, inside: bool) -> Verdict {
        if self.exclude.iter().any(|glob| glob.matches(path)) {
            return Verdict::Out;
        }
        if inside || self.include.is_empty() || self.include.iter().any(|glob| glob.matches(path)) {
            return Verdict::Selected;
        }
        if self.include.iter().any(|glob| glob.may_match_below(path)) { Verdict::Above } else { Verdict::Out }
    }
}

impl Glob {
    fn matches(&self, path: &str) -> bool {
        fast_glob::glob_match(&self.pattern, path)
    }

    fn may_match_below(&self, path: &str) -> bool {
        let is_below = |inner: &str, outer: &str| {
            outer.is_empty() || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        is_below(path, &self.literal) || is_below(&self.literal, path)
    }
}

fn read(pattern: &str) -> Result<Glob, Status> {
    let bad = |why: &str| Status::invalid("bad-glob", format!("{why}: {pattern:?}"));
    let trimmed = pattern.trim_start_matches("./").trim_end_matches('/');
    if pattern.starts_with('/') {
        return Err(bad("the glob is absolute; write it relative to the directory"));
    }
    if trimmed.is_empty() {
        return Err(bad("the glob is empty; leave it out to mean everything"));
    }
    if trimmed.starts_with('!') {
        return Err(bad("the glob is negated twice; leave the second `!` out"));
    }
    if trimmed.split('/').any(|part| part == "..") {
        return Err(bad("the glob leaves the directory"));
    }
    check_brackets(trimmed).map_err(bad)?;
    let literal = trimmed.split('/').take_while(|part| !part.contains(['*', '?', '[', '{', '\\']));
    Ok(Glob { literal: literal.collect::<Vec<_>>().join("/"), pattern: trimmed.to_owned() })
}

/// The matcher takes a broken pattern as one that matches nothing; the client should hear of it.
fn check_brackets(pattern: &str) -> Result<(), &'static str> {
    let mut braces = 0_u32;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next().is_none() => return Err("the glob ends in a backslash"),
            '[' => {
                let mut length = 0_u32;
                loop {
                    match characters.next() {
                        None => return Err("a [ is not closed in the glob"),
                        // Right behind the bracket, or behind its negation, it stands for itself.
                        Some(']') if length > 0 => break,
                        Some('!' | '^') if length == 0 => {}
                        Some(_) => length += 1,
                    }
                }
            }
            '{' => braces += 1,
            '}' => braces = braces.checked_sub(1).ok_or("a } is not opened in the glob")?,
            _ => {}
        }
    }
    if braces > 0 { Err("a { is not closed in the glob") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Globs {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Globs::new(&own(include), &own(exclude)).unwrap()
    }

    #[test]
    fn star_stops_at_a_slash_and_two_stars_do_not() {
        let one = globs(&["out/*.log"], &[]);
        assert_eq!(one.judge("out/a.log", false), Verdict::Selected);
        assert_eq!(one.judge("out/deep/a.log", false), Verdict::Above);
        let two = globs(&["out/**/*.log"], &[]);
        assert_eq!(two.judge("out/a.log", false), Verdict::Selected);
        assert_eq!(two.judge("out/deep/er/a.log", false), Verdict::Selected);
    }

    #[test]
    fn leading_dot_is_a_character_like_any_other() {
        assert_eq!(globs(&["*"], &[]).judge(".hidden", false), Verdict::Selected);
        assert_eq!(globs(&["**/*.x"], &[]).judge("a/.b/.c.x", false), Verdict::Selected);
    }

    #[test]
    fn sets_and_alternatives_match() {
        let globs = globs(&["{a,b}/[0-9]?.[!x]"], &[]);
        assert_eq!(globs.judge("b/7z.y", false), Verdict::Selected);
        assert_eq!(globs.judge("b/7z.x", false), Verdict::Above);
        assert_eq!(globs.judge("c", false), Verdict::Above);
    }

    #[test]
    fn what_is_below_a_match_belongs_to_it_unless_excluded() {
        let globs = globs(&["out"], &["**/tmp", "out/secret"]);
        assert_eq!(globs.judge("out", false), Verdict::Selected);
        assert_eq!(globs.judge("out/a", true), Verdict::Selected);
        assert_eq!(globs.judge("out/a/tmp", true), Verdict::Out);
        assert_eq!(globs.judge("out/secret", true), Verdict::Out);
    }

    #[test]
    fn directories_that_cannot_hold_a_match_are_not_entered() {
        let globs = globs(&["work/out/**/*.xml"], &[]);
        assert_eq!(globs.judge("work", false), Verdict::Above);
        assert_eq!(globs.judge("work/out", false), Verdict::Above);
        assert_eq!(globs.judge("work/other", false), Verdict::Out);
        assert_eq!(globs.judge("proc", false), Verdict::Out);
    }

    #[test]
    fn nothing_included_means_everything() {
        assert_eq!(globs(&[], &["*.o"]).judge("a.c", false), Verdict::Selected);
        assert_eq!(globs(&[], &["*.o"]).judge("a.o", false), Verdict::Out);
    }

    #[test]
    fn exclamation_mark_in_front_leaves_out() {
        let globs = globs(&["!**/*.o", "src"], &[]);
        assert_eq!(globs.judge("src/a.c", true), Verdict::Selected);
        assert_eq!(globs.judge("src/a.o", true), Verdict::Out);
        assert_eq!(globs.judge("doc", false), Verdict::Out);
        assert_eq!(super::tests::globs(&["!doc"], &[]).judge("src", false), Verdict::Selected);
    }

    #[test]
    fn broken_globs_are_refused() {
        for pattern in ["", "/", "/abs", "a/../b", "[a", "{a,b", "a}", "x\\", "!", "!!a", "!/abs"] {
            assert_eq!(Globs::new(&[pattern.to_owned()], &[]).err().unwrap().reason, "bad-glob", "{pattern}");
        }
        assert_eq!(Globs::new(&[], &["!a".to_owned()]).err().unwrap().reason, "bad-glob");
    }
}
