//! The page: one file that needs nothing else, and in which no name can be anything but text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use build_info::BuildInfo;
use sha2::{Digest, Sha256};

use super::data::Data;
use crate::units::counted;
use crate::units::listing::{format, identity};

/// The page about a build.
///
/// The names in it are whoever made the image's. In the document they are escaped; to the script
/// they are given as JSON, and it makes text nodes of them. The page's own policy allows only this
/// script and this style, by their hashes, and nothing from anywhere else.
pub fn page(name: &str, info: &BuildInfo) -> anyhow::Result<String> {
    let size: u64 = info.units.iter().map(|unit| unit.size).sum();
    let id = info.identity.as_ref().map(|id| format!(", {}", identity(id))).unwrap_or_default();
    let summary = format!(
        "{}, {}, {}, {}{id}",
        format(info.format),
        counted(info.units.len(), "unit"),
        counted(info.files.len(), "file"),
        counted(usize::try_from(size).unwrap_or(usize::MAX), "byte"),
    );
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; script-src '{}'; style-src '{}'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let data = serde_json::to_string(&Data::of(info))?;
    let fields = [
        ("policy", policy),
        ("title", escaped(name)),
        ("style", STYLE.to_owned()),
        ("summary", escaped(&summary)),
        // In a script element nothing is unescaped and only `</script` and `<!--` mean anything.
        ("data", data.replace('<', "\\u003c")),
        ("script", SCRIPT.to_owned()),
    ];
    Ok(fill(TEMPLATE, &fields))
}

/// Fills the fields of the template in one pass, so that a value is never taken for a field.
fn fill(template: &str, fields: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes its fields");
        let (_, value) = fields.iter().find(|(field, _)| *field == name).expect("it is a field");
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled + rest
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A source as a Content-Security-Policy names it.
fn hash(source: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(source)))
}

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

#[cfg(test)]
mod tests {
    use build_info::{Fact, Format, Unit};

    use super::*;

    #[test]
    fn no_name_is_markup() {
        let evil = "</script><script>alert(1)</script>{{data}}&\"<!--";
        let mut info = BuildInfo::new(Format::Elf);
        info.units.push(Unit {
            source: Some(Fact::recorded(evil.to_owned())),
            producer: Some(evil.to_owned()),
            size: 1,
            ..Unit::default()
        });
        info.remarks.push(evil.to_owned());
        let page = page(evil, &info).unwrap();
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<script>alert"));
        let (_, data) = page.split_once("id=\"data\">").unwrap();
        let (data, _) = data.split_once("</script>").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["units"][0]["name"], evil);
        assert_eq!(data["remarks"][0], evil);
    }

    #[test]
    fn the_page_is_one_file() {
        let page = page("x", &BuildInfo::new(Format::Pdb)).unwrap();
        for word in ["http:", "https:", "src=", "@import", "url(", "{{"] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
