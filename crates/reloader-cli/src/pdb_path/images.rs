//! Which files are meant: names, and patterns where the shell has left them as they are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use glob::MatchOptions;

/// The files of all arguments, in their order; those of a pattern by name.
pub fn expand(arguments: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for argument in arguments {
        match pattern(argument) {
            Some(pattern) => files.extend(matching(pattern)?),
            None => files.push(argument.clone()),
        }
    }
    Ok(files)
}

/// The argument as a pattern, unless it is the name of a file.
fn pattern(argument: &Path) -> Option<&str> {
    argument.to_str().filter(|text| text.contains(['*', '?', '[']) && !argument.exists())
}

fn matching(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let options = MatchOptions {
        // As the file systems are.
        case_sensitive: !cfg!(any(windows, target_os = "macos")),
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found =
        glob::glob_with(pattern, options).with_context(|| format!("{pattern}: no pattern"))?;
    let mut files = Vec::new();
    for path in found {
        let path = path?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("{pattern}: no file has such a name");
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(arguments: &[PathBuf]) -> Vec<String> {
        let files = expand(arguments).unwrap();
        files.iter().map(|it| it.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn patterns_are_expanded_by_name_and_names_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::create_dir(root.join("folder.dll")).unwrap();
        for name in
            ["b.dll", "a.dll", "c.exe", "deep/d.dll", "deep/er/e.dll", ".hidden.dll", "[x].dll"]
        {
            fs::write(root.join(name), "").unwrap();
        }
        assert_eq!(names(&[root.join("?.dll")]), ["a.dll", "b.dll"]);
        assert_eq!(names(&[root.join("*.dll")]), ["[x].dll", "a.dll", "b.dll"]);
        assert_eq!(names(&[root.join("deep/**/*.dll")]), ["d.dll", "e.dll"]);
        assert_eq!(
            names(&[root.join("c.exe"), root.join("[ab].dll")]),
            ["c.exe", "a.dll", "b.dll"]
        );
        // A file that is really called so.
        assert_eq!(names(&[root.join("[x].dll")]), ["[x].dll"]);
        // What is not there is found out when it is opened.
        assert_eq!(names(&[root.join("none.dll")]), ["none.dll"]);
    }

    #[test]
    fn a_pattern_that_nothing_matches_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let error = expand(&[directory.path().join("*.dll")]).unwrap_err().to_string();
        assert!(error.contains("*.dll"), "{error}");
        let error = expand(&[PathBuf::from("a***b")]).unwrap_err();
        assert!(format!("{error:#}").contains("a***b"), "{error:#}");
    }
}
