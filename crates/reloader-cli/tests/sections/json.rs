use std::fs;
use std::path::PathBuf;
use std::process::Command;

use reloader_tests::{Tool, missing, tool_of};
use serde_json::{Value, json};

use crate::desk::{Desk, end, named, number, program};
use crate::elf;

#[test]
fn an_image_has_exactly_the_fields_that_are_documented() {
    let desk = Desk::new();
    desk.write("guest.so", elf::image());
    let image = desk.json(["sections", "--json", "guest.so"]);
    let keys = ["class", "endian", "file", "format", "machine", "sections", "segments"];
    assert_eq!(image.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    for (key, value) in [
        ("file", json!("guest.so")),
        ("format", json!("elf")),
        ("class", json!(64)),
        ("endian", json!("little")),
        ("machine", json!("x86-64")),
    ] {
        assert_eq!(image[key], value);
    }
    let data = json!({
        "name": "LOAD", "address": 0x2e00, "memory_size": 0x400, "file_offset": 0x1e00,
        "file_size": 0x240, "read": true, "write": true, "execute": false,
    });
    assert_eq!(image["segments"][2], data);
    let section = |name, address, size, file_offset, file_size, excluded| {
        json!({
            "name": name, "segment": "LOAD", "address": address, "size": size,
            "file_offset": file_offset, "file_size": file_size, "writable": true,
            "excluded": excluded,
        })
    };
    let sections = &image["sections"];
    let none = Value::Null;
    assert_eq!(
        named(sections, ".state"),
        [&section(".state", 0x3030, 0x10, 0x2030, 0x10, none.clone())]
    );
    assert_eq!(named(sections, ".bss"), [&section(".bss", 0x3040, 0x1c0, 0x2040, 0, none)]);
    let got = section(".got", 0x2e80, 0x198, 0x1e80, 0x198, json!("got"));
    assert_eq!(named(sections, ".got"), [&got]);
    let comment = named(sections, ".comment")[0];
    assert_eq!(comment["segment"], Value::Null);
    assert_eq!(comment["excluded"], "not-mapped");
    assert_eq!(named(sections, ".tbss")[0]["segment"], "TLS");
    assert_eq!(named(sections, ".text")[0]["excluded"], "read-only");
}

#[test]
fn what_is_writable_comes_with_every_range_of_it_and_symbols_with_what_they_are() {
    let desk = Desk::new();
    desk.write("guest.so", elf::image());
    let image = desk.json(["sections", "--json", "--writable", "--symbols", "guest.so"]);
    assert!(image["sections"].as_array().unwrap().iter().all(|it| it["writable"] == true));
    assert_eq!(image["segments"].as_array().unwrap().len(), 1);
    assert_eq!(image["variables"], json!([{ "address": 0x3020, "size": 0x1e0 }]));
    let excluded = &image["excluded"];
    assert_eq!(excluded[0], json!({ "address": 0x2e00, "size": 8, "reason": "thread-local" }));
    assert_eq!(
        image["thread_local"],
        json!({ "address": 0x2e00, "template_size": 8, "size": 16, "align": 4096 })
    );
    let symbols = &image["symbols"];
    let counter = json!({
        "name": "counter", "address": 0x3030, "size": 4, "kind": "object", "binding": "global",
        "section": ".state", "file": null, "version": null, "excluded": null,
    });
    assert_eq!(named(symbols, "counter"), [&counter]);
    assert_eq!(named(symbols, "cache")[0]["file"], "guest.c");
    assert_eq!(named(symbols, "only")[0]["binding"], "unique");
    assert_eq!(named(symbols, "names")[0]["excluded"], "read-only-after-relocation");
    assert_eq!(named(symbols, "each")[0]["excluded"], "thread-local");
    assert!(named(symbols, "step").is_empty(), "code is not writable");

    let all = desk.json(["sections", "--json", "--symbols", "guest.so"]);
    assert_eq!(named(&all["symbols"], "step")[0]["kind"], "function");
    assert_eq!(named(&all["symbols"], "names")[0]["excluded"], "read-only-after-relocation");
    assert_eq!(all.get("variables"), None);
}

#[test]
fn the_long_help_names_every_field_and_reason() {
    let desk = Desk::new();
    let words = |text: &str| -> Vec<String> {
        let is_word = |letter: char| letter.is_alphanumeric() || "_-".contains(letter);
        text.split(|letter| !is_word(letter)).map(str::to_owned).collect()
    };
    let sections = words(&desk.run(["sections", "--help"]).output);
    desk.write("guest.so", elf::image());
    let image = desk.json(["sections", "--json", "--writable", "--symbols", "guest.so"]);
    for field in fields(&image) {
        assert!(sections.contains(&field), "{field}");
    }
    for reason in [
        elf_sections::Reason::CopyRelocated.as_str(),
        elf_sections::Reason::TransactionalMemoryTable.as_str(),
        elf_sections::Reason::UnwindTable.as_str(),
        elf_sections::Reason::Headers.as_str(),
        macho_sections::Reason::LazyBinding.as_str(),
        macho_sections::Reason::LoaderData.as_str(),
        pe_patch::Reason::LoaderTable.as_str(),
        "padding",
    ] {
        assert!(sections.contains(&reason.to_owned()), "{reason}");
    }
    let patch = words(&desk.run(["patch", "--help"]).output);
    let changed = desk.json(["patch", "--json", "--dry-run", "--no-unique", "guest.so"]);
    for field in fields(&changed) {
        assert!(patch.contains(&field), "{field}");
    }
}

#[test]
fn of_a_large_file_only_what_is_shown_is_read() {
    let desk = Desk::new();
    let image = desk.write("guest.so", elf::image());
    fs::File::options().write(true).open(&image).unwrap().set_len(1 << 32).unwrap();
    // There is memory for an eighth of it.
    let limited = "ulimit -v 524288 && exec \"$@\"";
    for arguments in [
        &["sections", "guest.so"][..],
        &["sections", "--json", "--writable", "--symbols", "guest.so"],
        &["patch", "--no-unique", "--dry-run", "guest.so"],
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", limited, "sh"]).arg(program().get_program()).args(arguments);
        let end = end(command.current_dir(image.parent().unwrap()));
        assert_eq!(end.code, Some(0), "{arguments:?}: {}", end.error);
    }
}

/// Two thousand symbols in a section, all of one name of 60,000 bytes.
#[test]
fn names_are_written_and_not_gathered() {
    let desk = Desk::new();
    let words = |values: &[u64]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let halves =
        |values: &[u32]| values.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
    let (symbols, length) = (2_000_u64, 60_000_u64);
    let sections_at = 64 + symbols * 24;
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(halves(&[1 | 62 << 16, 1]));
    bytes.extend(words(&[0, 0, sections_at]));
    bytes.extend(halves(&[0, 64, 64 << 16, 4 | 1 << 16]));
    for index in 0..symbols {
        bytes.extend(halves(&[1, 0x11 | 3 << 16]));
        bytes.extend(words(&[index, 1]));
    }
    bytes.resize(sections_at as usize + 64, 0);
    // The strings, the symbols, and the section with the same name.
    for (name, kind, at, size, link, entry) in [
        (0, 3, sections_at + 4 * 64, length + 2, 0, 0),
        (0, 2, 64, symbols * 24, 1, 24),
        (1, 1, 0, symbols, 0, 0),
    ] {
        bytes.extend(halves(&[name, kind]));
        bytes.extend(words(&[3, 0, at, size, link, 8, entry]));
    }
    bytes.push(0);
    bytes.extend(vec![b'n'; length as usize]);
    bytes.push(0);
    desk.write("names.o", &bytes);
    // There is memory for a quarter of the names.
    let limited = "ulimit -v 131072 && exec \"$@\" | wc -c";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh"]).arg(program().get_program());
    command.args(["sections", "--json", "--symbols"]).arg(desk.path("names.o"));
    let end = end(&mut command);
    assert_eq!((end.code, end.error.as_str()), (Some(0), ""));
    assert!(end.output.trim().parse::<u64>().unwrap() > 2 * symbols * length);
}

#[test]
fn the_libraries_of_this_machine_are_as_another_reader_says() {
    let Some(Tool(readobj)) = tool_of(&["llvm-readobj-19", "llvm-readobj"]) else { return };
    let desk = Desk::new();
    let libraries = libraries();
    if libraries.is_empty() {
        return missing("there are no libraries in /usr/lib");
    }
    let arguments = ["--sections", "--segments", "--elf-output-style=JSON"].map(PathBuf::from);
    let read = desk.tool(&readobj, arguments.iter().chain(&libraries));
    let read: Value = serde_json::from_str(&read).unwrap();
    let read = read.as_array().unwrap();
    assert_eq!(read.len(), libraries.len());
    for (path, read) in libraries.iter().zip(read) {
        let listed = desk.json(["sections".as_ref(), "--json".as_ref(), path.as_os_str()]);
        let theirs: Vec<_> = read["ProgramHeaders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["ProgramHeader"])
            .map(|it| {
                let flags = number(&it["Flags"], "Value");
                (
                    number(it, "VirtualAddress"),
                    number(it, "MemSize"),
                    number(it, "Offset"),
                    number(it, "FileSize"),
                    [flags & 4 != 0, flags & 2 != 0, flags & 1 != 0],
                    it["Type"]["Name"].as_str().unwrap().trim_start_matches("PT_").to_owned(),
                )
            })
            .collect();
        let ours: Vec<_> = listed["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    number(it, "address"),
                    number(it, "memory_size"),
                    number(it, "file_offset"),
                    number(it, "file_size"),
                    ["read", "write", "execute"].map(|key| it[key] == true),
                    it["name"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        assert_eq!(ours, theirs, "{}", path.display());

        let theirs: Vec<_> = read["Sections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| &it["Section"])
            .filter(|it| number(&it["Type"], "Value") != 0)
            .map(|it| {
                let size = number(it, "Size");
                let is_zeros = number(&it["Type"], "Value") == 8;
                let file_size = if is_zeros { 0 } else { size };
                let is_writable = number(&it["Flags"], "Value") & 1 != 0;
                let name = it["Name"]["Name"].as_str().unwrap();
                (name, number(it, "Address"), size, number(it, "Offset"), file_size, is_writable)
            })
            .collect();
        let ours: Vec<_> = listed["sections"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| {
                (
                    it["name"].as_str().unwrap(),
                    number(it, "address"),
                    number(it, "size"),
                    number(it, "file_offset"),
                    number(it, "file_size"),
                    it["writable"] == true,
                )
            })
            .collect();
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

/// Some of the machine's libraries, or with `WHOLE_SWEEP=1` all.
fn libraries() -> Vec<PathBuf> {
    let most = if std::env::var_os("WHOLE_SWEEP").is_some() { usize::MAX } else { 40 };
    let mut found = Vec::new();
    for directory in ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        found.extend(entries.map(|it| it.path()).filter(|path| {
            let is_file = fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
            is_file && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"))
        }));
    }
    found.sort();
    found.truncate(most);
    found
}

/// The keys of an object and of what it holds.
fn fields(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            let own = members.keys().cloned();
            own.chain(members.values().flat_map(fields)).collect()
        }
        Value::Array(items) => items.iter().flat_map(fields).collect(),
        _ => Vec::new(),
    }
}
