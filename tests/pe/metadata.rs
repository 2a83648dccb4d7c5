//! A reader of .NET metadata (ECMA-335, II.24): streams, tables, names of types.

use crate::reader::{Reader, u16_at, u32_at};

/// What an image's metadata say.
#[derive(Debug, PartialEq, Eq)]
pub struct Metadata {
    pub runtime: String,
    /// Each stream with its bytes.
    pub streams: Vec<(String, Vec<u8>)>,
    /// How many rows each table has that has any.
    pub rows: Vec<(u8, u32)>,
    /// The name of the module and of the types it defines.
    pub names: Vec<String>,
    /// The managed resources and the strong name, as they lie in the file.
    pub blobs: Vec<Vec<u8>>,
}

/// The metadata of an image; `None` where it has no CLR header.
pub fn of(image: &Reader<'_>) -> Option<Metadata> {
    let (address, size) = image.directory(14);
    if size == 0 {
        return None;
    }
    let bytes = image.bytes;
    let header = image.offset(address);
    assert_eq!(u32_at(bytes, header), 72, "cb of the CLR header");
    let root = image.offset(u32_at(bytes, header + 8));
    assert_eq!(&bytes[root..root + 4], b"BSJB");
    let length = u32_at(bytes, root + 12) as usize;
    let runtime = text(&bytes[root + 16..]);
    let mut at = root + 16 + length + 4;
    let count = u16_at(bytes, at - 2);
    let mut streams = Vec::new();
    for _ in 0..count {
        let (offset, size) = (u32_at(bytes, at) as usize, u32_at(bytes, at + 4) as usize);
        let name = text(&bytes[at + 8..]);
        at += 8 + (name.len() + 1).next_multiple_of(4);
        streams.push((name, bytes[root + offset..root + offset + size].to_vec()));
    }
    let stream = |name: &str| &streams.iter().find(|(it, _)| it == name).unwrap().1;
    let (rows, names) = tables(stream("#~"), stream("#Strings"));
    let blobs = [24, 32]
        .map(|field| (u32_at(bytes, header + field), u32_at(bytes, header + field + 4) as usize))
        .into_iter()
        .filter(|(_, size)| *size > 0)
        .map(|(address, size)| bytes[image.offset(address)..][..size].to_vec())
        .collect();
    Some(Metadata { runtime, streams, rows, names, blobs })
}

/// The row counts of the tables, and the names in the first ones: Module (0), TypeRef (1) and
/// TypeDef (2).
fn tables(stream: &[u8], strings: &[u8]) -> (Vec<(u8, u32)>, Vec<String>) {
    let heaps = stream[6];
    let valid = u64::from_le_bytes(stream[8..16].try_into().unwrap());
    let mut at = 24;
    let mut rows = Vec::new();
    for table in (0..64).filter(|table| valid & (1 << table) != 0) {
        rows.push((table, u32_at(stream, at)));
        at += 4;
    }
    let count = |table| rows.iter().find(|row| row.0 == table).map_or(0, |row| row.1);
    let index = |wide: bool| if wide { 4 } else { 2 };
    let (string, guid) = (index(heaps & 1 != 0), index(heaps & 2 != 0));
    let coded = |tables: &[u8], bits: u32| {
        index(tables.iter().any(|&table| count(table) >= 1 << (16 - bits)))
    };
    let scope = coded(&[0, 26, 35, 1], 2);
    let extends = coded(&[2, 1, 27], 2);
    let (field, method) = (index(count(4) > 0xffff), index(count(6) > 0xffff));
    let name = |at: usize| {
        let offset = match string {
            2 => usize::from(u16_at(stream, at)),
            _ => u32_at(stream, at) as usize,
        };
        text(&strings[offset..])
    };
    let mut names = Vec::new();
    for _ in 0..count(0) {
        names.push(name(at + 2));
        at += 2 + string + 3 * guid;
    }
    at += count(1) as usize * (scope + 2 * string);
    for _ in 0..count(2) {
        names.push(format!("{}.{}", name(at + 4 + string), name(at + 4)));
        at += 4 + 2 * string + extends + field + method;
    }
    (rows, names)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap();
    String::from_utf8(bytes[..end].to_vec()).unwrap()
}
