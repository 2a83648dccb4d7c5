//! Paths as text: images hold Windows paths, and this runs anywhere.

use crate::Error;
use crate::options::PathForm;

/// What is stored of a path.
pub(crate) fn formed(path: &str, form: &PathForm) -> Result<String, Error> {
    let path = match form {
        PathForm::Full => path.to_owned(),
        PathForm::BaseName => base_name(path).to_owned(),
        PathForm::Relative(directory) => {
            relative(path, directory).ok_or(Error::BadPath { what: "has another root" })?
        }
    };
    if path.is_empty() {
        return Err(Error::BadPath { what: "is empty" });
    }
    if path.contains('\0') {
        return Err(Error::BadPath { what: "contains a zero" });
    }
    Ok(path)
}

/// What follows the last separator.
pub(crate) fn base_name(path: &str) -> &str {
    path.rsplit(SEPARATORS).next().unwrap_or(path)
}

/// `path` as it is seen from `directory`; `None` if no relative path leads from one to the other.
fn relative(path: &str, directory: &str) -> Option<String> {
    let (path_root, path_parts) = split(path);
    let (root, parts) = split(directory);
    let is_windows = [path, directory].iter().any(|it| it.contains(['\\', ':']));
    let equal = |one: &str, two: &str| {
        if is_windows { one.to_lowercase() == two.to_lowercase() } else { one == two }
    };
    if !equal(&path_root, &root) {
        return None;
    }
    let shared = path_parts.iter().zip(&parts).take_while(|(one, two)| equal(one, two)).count();
    let up = parts.get(shared..)?;
    // What the directory's `..` leads to is not known.
    if up.contains(&"..") {
        return None;
    }
    let down = path_parts.get(shared..)?;
    let separator = if path.contains('\\') { "\\" } else { "/" };
    let steps: Vec<&str> = up.iter().map(|_| "..").chain(down.iter().copied()).collect();
    Some(steps.join(separator))
}

/// The root of a path, as text that can be compared, and the names behind it.
fn split(path: &str) -> (String, Vec<&str>) {
    let (drive, rest) = match path.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => path.split_at(2),
        _ => path.split_at(0),
    };
    let names = rest.trim_start_matches(SEPARATORS);
    let leading = rest.len().saturating_sub(names.len());
    let mut parts: Vec<&str> =
        names.split(SEPARATORS).filter(|part| !part.is_empty() && *part != ".").collect();
    let mut root = format!("{drive}{}", "/".repeat(leading.min(2)));
    // A server and its share are part of the root.
    if leading >= 2 {
        let share = parts.len().min(2);
        for part in parts.drain(..share) {
            root.push_str(part);
            root.push('/');
        }
    }
    (root, parts)
}

const SEPARATORS: [char; 2] = ['\\', '/'];
