//! A plan in words, for people and for machines.

use std::fmt::{self, Write as _};

use crate::Plan;

/// A plan's text: one line an edit, `offset: old -> new` in hexadecimal.
///
/// An appended or removed tail is the last line, with its length where it is long.
#[derive(Debug, Clone, Copy)]
pub struct Show<'a>(pub(crate) &'a Plan);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for edit in self.0.edits() {
            writeln!(f, "{:#x}: {} -> {}", edit.offset, Hex(&edit.old), Hex(&edit.new))?;
        }
        if let Some(tail) = self.0.tail() {
            let (old, new) = (Hex(&tail.old), Hex(&tail.new));
            match (tail.old.is_empty(), tail.new.is_empty()) {
                (true, _) => writeln!(f, "{:#x}: append {new}", tail.offset)?,
                (false, true) => writeln!(f, "{:#x}: take off {old}", tail.offset)?,
                (false, false) => writeln!(f, "{:#x}: end {old} -> {new}", tail.offset)?,
            };
        }
        Ok(())
    }
}

/// Bytes in hexadecimal; beyond 64 of them only the first, with the count.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for byte in self.0.iter().take(SHOWN) {
            write!(f, "{byte:02x}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

pub(crate) fn to_json(plan: &Plan) -> String {
    let mut json = String::from("{\"edits\":[");
    for (index, edit) in plan.edits().iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        replacement(&mut json, edit.offset, &edit.old, &edit.new);
    }
    json.push_str("],\"tail\":");
    match plan.tail() {
        Some(tail) => replacement(&mut json, tail.offset, &tail.old, &tail.new),
        None => json.push_str("null"),
    }
    json.push('}');
    json
}

fn replacement(json: &mut String, offset: u64, old: &[u8], new: &[u8]) {
    // Writing to a String cannot fail.
    let _ = write!(json, "{{\"offset\":{offset},\"old\":\"");
    digits(json, old);
    json.push_str("\",\"new\":\"");
    digits(json, new);
    json.push_str("\"}");
}

fn digits(json: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(json, "{byte:02x}");
    }
}

const SHOWN: usize = 64;
