//! What others read of an image's CodeView records: goblin, object, llvm-readobj.

use std::path::Path;
use std::process::Command;

use object::read::pe::{ImageNtHeaders, PeFile};
use reloader_tests::tool_of;

use crate::reader::CodeView;

/// What goblin reads of the first CodeView record; `None` where it finds none.
pub fn goblin(bytes: &[u8]) -> Option<CodeView> {
    try_goblin(bytes).unwrap()
}

/// The same of an image that it may refuse.
pub fn try_goblin(bytes: &[u8]) -> Result<Option<CodeView>, String> {
    let mut options = goblin::pe::options::ParseOptions::default();
    // It fails at certificates that lie where it does not expect them; they are not what is asked.
    options.parse_attribute_certificates = false;
    let image =
        goblin::pe::PE::parse_with_opts(bytes, &options).map_err(|error| error.to_string())?;
    let record = image.debug_data.and_then(|it| it.codeview_pdb70_debug_info);
    Ok(record.map(|record| {
        // It gives the rest of the record, the zeros behind the first included.
        let path = record.filename.split(|&byte| byte == 0).next().unwrap_or_default();
        CodeView { guid: record.signature, age: record.age, path: path.to_vec() }
    }))
}

/// What object reads of the first RSDS record.
pub fn object(bytes: &[u8]) -> Option<CodeView> {
    try_object(bytes).unwrap()
}

/// The same of an image that it may refuse.
pub fn try_object(bytes: &[u8]) -> Result<Option<CodeView>, String> {
    fn read<Pe: ImageNtHeaders>(bytes: &[u8]) -> Result<Option<CodeView>, object::Error> {
        let file = PeFile::<Pe>::parse(bytes)?;
        Ok(object::Object::pdb_info(&file)?.map(|record| CodeView {
            guid: record.guid(),
            age: record.age(),
            path: record.path().to_vec(),
        }))
    }
    match object::FileKind::parse(bytes) {
        Ok(object::FileKind::Pe32) => read::<object::pe::ImageNtHeaders32>(bytes),
        Ok(_) => read::<object::pe::ImageNtHeaders64>(bytes),
        Err(error) => Err(error),
    }
    .map_err(|error| error.to_string())
}

/// What `llvm-readobj --coff-debug-directory` reads of each file, all RSDS records in their order;
/// `None` if it is missing.
pub fn readobj(files: &[&Path]) -> Option<Vec<Vec<CodeView>>> {
    let tool = tool_of(&["llvm-readobj-19", "llvm-readobj-20", "llvm-readobj-18", "llvm-readobj"])?;
    let output = Command::new(tool.0).arg("--coff-debug-directory").args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut records: Vec<Vec<CodeView>> = Vec::new();
    let mut guid = [0; 16];
    let mut age = 0;
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii_start();
        if line.starts_with(b"File: ") {
            records.push(Vec::new());
        } else if let Some(text) = line.strip_prefix(b"PDBGUID: ") {
            guid = guid_of(std::str::from_utf8(text).unwrap());
        } else if let Some(text) = line.strip_prefix(b"PDBAge: ") {
            age = std::str::from_utf8(text).unwrap().parse().unwrap();
        } else if let Some(path) = line.strip_prefix(b"PDBFileName: ") {
            records.last_mut().unwrap().push(CodeView { guid, age, path: path.to_vec() });
        }
    }
    assert_eq!(records.len(), files.len(), "llvm-readobj reports each file");
    Some(records)
}

/// The bytes of `{00112233-4455-6677-8899-AABBCCDDEEFF}`.
fn guid_of(text: &str) -> [u8; 16] {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 32, "{text}");
    let byte = |at: usize| {
        u8::from_str_radix(std::str::from_utf8(&digits[2 * at..2 * at + 2]).unwrap(), 16).unwrap()
    };
    // The first three fields are numbers, and so lie the other way round in the file.
    [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(byte)
}
