use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;
use std::process::Command;

use build_info::pdb::{identity, read, symbol, symbol_at};
use build_info::{BuildInfo, Checksum, Identity, Kind, Questions, Quoting, Unit};
use pe_patch::Image;
use reloader_tests::tool;

use crate::corpus::{DEBUGPY, NODE_PTY, pdbs};
use crate::second;

fn all(path: &Path) -> BuildInfo {
    read(&File::open(path).unwrap(), &Questions::ALL).unwrap()
}

#[test]
fn another_reader_gives_the_same_table_for_each() {
    for path in pdbs() {
        let info = all(&path);
        assert_eq!(info.remarks, [""; 0], "{}", path.display());
        let bytes = fs::read(&path).unwrap();
        assert_eq!(read(&bytes, &Questions::ALL).unwrap(), info, "{}", path.display());
        let theirs = second::read(Cursor::new(bytes)).unwrap();
        assert_eq!(second::table(&info), second::table(&theirs), "{}", path.display());
    }
}

#[test]
fn llvm_gives_the_same_modules_files_and_contributions() {
    let Some(tool) = tool("llvm-pdbutil-19") else { return };
    for path in pdbs() {
        let info = all(&path);
        let dump = |what: &str| {
            let output = Command::new(&tool.0).args(["dump", what]).arg(&path).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let quoted = |line: &str| Some(line.split_once('`')?.1.rsplit_once('`')?.0.to_owned());
        let (modules, files) = (dump("-modules"), dump("-files"));
        let lines = |text: &str, start: &str| -> Vec<String> {
            let lines = text.lines().map(str::trim_start).filter(|line| line.starts_with(start));
            lines.filter_map(quoted).collect()
        };
        let names: Vec<&str> = info.units.iter().map(|unit| unit.module.as_str()).collect();
        assert_eq!(lines(&modules, "Mod "), names, "{}", path.display());
        let mut archives = lines(&modules, "Obj:");
        for (archive, name) in archives.iter_mut().zip(names) {
            if archive == name {
                archive.clear();
            }
        }
        let ours: Vec<&str> =
            info.units.iter().map(|unit| unit.archive.as_deref().unwrap_or_default()).collect();
        assert_eq!(archives, ours, "{}", path.display());

        let mut theirs: Vec<Vec<String>> = Vec::new();
        for line in files.lines().map(str::trim_start) {
            if line.starts_with("Mod ") {
                theirs.push(Vec::new());
            } else if let Some(file) = line.strip_prefix("- (").filter(|it| !it.ends_with(BUILT_IN))
            {
                theirs.last_mut().unwrap().push(file.to_lowercase());
            }
        }
        let ours: Vec<Vec<String>> = info.units.iter().map(|unit| files_of(&info, unit)).collect();
        assert_eq!(ours, theirs, "{}", path.display());

        let number = |line: &str, name: &str| -> Option<u32> {
            line.split(name).nth(1)?.split([',', ' ', ':']).next()?.parse().ok()
        };
        let contributions = dump("-section-contribs");
        let mut theirs: Vec<_> = contributions
            .lines()
            .filter_map(|line| {
                let section = line.split(", ").find(|it| it.get(4..5) == Some(":"))?;
                let section: u16 = section[..4].parse().ok()?;
                Some((number(line, "mod = ")?, section, number(line, "size = ")?))
            })
            .filter(|(_, _, size)| *size > 0)
            .collect();
        let ours = info.contributions.iter().map(|it| (it.unit.0, it.section, it.size));
        let mut ours: Vec<_> = ours.collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs, "{}", path.display());
    }
}

/// A unit's files in the words of `llvm-pdbutil`, in small letters.
fn files_of(info: &BuildInfo, unit: &Unit) -> Vec<String> {
    let words = unit.files.iter().map(|one| {
        let file = &info.files[one.file.0 as usize];
        let path = file.spellings.first().unwrap_or(&file.path);
        let (kind, checksum) = match one.checksum.map(|index| info.checksums[index as usize]) {
            Some(checksum @ Checksum::Md5(_)) => ("md5", checksum.to_string()),
            Some(checksum @ Checksum::Sha1(_)) => ("sha-1", checksum.to_string()),
            Some(checksum) => ("sha-256", checksum.to_string()),
            None => ("none", String::new()),
        };
        format!("{kind}: {checksum}) {path}").to_lowercase()
    });
    words.collect()
}

#[test]
fn the_image_beside_a_pdb_has_its_identity_and_starts_in_the_runtime() {
    let mut pairs = 0;
    for path in pdbs() {
        let beside = |ending: &str| path.with_extension(ending);
        let endings = ["node", "dll", "exe"];
        let Some(image) = endings.map(beside).into_iter().find(|path| path.exists()) else {
            continue;
        };
        pairs += 1;
        let bytes = fs::read(&image).unwrap();
        let parsed = Image::parse(&bytes).unwrap();
        let record = parsed.debug_entries().into_iter().find_map(|it| it.guid.zip(it.age)).unwrap();
        let expected = Identity::Pdb { guid: record.0.0, age: record.1 };
        assert_eq!(identity(&File::open(&path).unwrap()).unwrap(), expected, "{}", path.display());

        let info = all(&path);
        // AddressOfEntryPoint, in both magics.
        let header = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
        let entry = u32::from_le_bytes(bytes[header + 40..header + 44].try_into().unwrap());
        let owners = info.owners(entry.into());
        let mut unit = &info.units[owners.owner().unwrap().unit.0 as usize];
        if unit.kind == Kind::Linker {
            // A jump to the start, of a program that is linked in increments.
            let start = symbol(&File::open(&path).unwrap(), "_DllMainCRTStartup").unwrap()[0];
            unit = &info.units[info.owners(start).owner().unwrap().unit.0 as usize];
        }
        assert_eq!(unit.kind, Kind::Runtime, "{}: {}", image.display(), unit.module);
    }
    if !pdbs().is_empty() {
        assert!(pairs > 5, "{pairs} pairs");
    }
}

#[test]
fn what_is_of_the_program_is_told_from_what_is_of_its_runtime() {
    let Some(root) = NODE_PTY.unpacked() else { return };
    let info = all(&root.join("prebuilds/win32-x64/conpty.pdb"));
    let of = |kind: Kind| -> Vec<&str> {
        let units = info.units.iter().filter(|unit| unit.kind == kind);
        units.map(|unit| unit.module.rsplit('\\').next().unwrap()).collect()
    };
    assert_eq!(of(Kind::Source), ["win_delay_load_hook.obj", "conpty.obj", "path_util.obj"]);
    assert_eq!(of(Kind::Linker), ["conpty.exp", "* Linker *"]);
    assert_eq!(of(Kind::LinkTimeCode), ["* CIL *"]);
    assert_eq!(of(Kind::Resource), ["* Linker Generated Manifest RES *"]);
    assert_eq!(
        of(Kind::Import),
        [
            "KERNEL32.dll",
            "SHLWAPI.dll",
            "Import:KERNEL32.dll",
            "Import:node.exe",
            "Import:SHLWAPI.dll"
        ]
    );
    assert_eq!(of(Kind::Runtime).len(), 293);
    let linker = info.linker.unwrap();
    assert!(linker.executable.unwrap().value.ends_with("\\link.exe"));
    assert!(linker.pdb.unwrap().value.ends_with("\\conpty.pdb"));
    assert!(info.groups.iter().any(|group| group.name == ".CRT$XCU"));
}

#[test]
fn every_command_of_microsofts_compiler_splits_as_windows_does() {
    for path in pdbs() {
        let info = all(&path);
        let mut commands = 0;
        for unit in info.units.iter().filter(|unit| unit.language.as_deref() == Some("C++")) {
            let Some(command) = &unit.command else { continue };
            let build_info::Command::Line { quoting, with_compiler, cut, .. } = &command.value
            else {
                panic!("{command:?}");
            };
            assert_eq!((*quoting, *with_compiler, *cut), (Quoting::Windows, false, false));
            let arguments = command.value.arguments();
            assert!(arguments.iter().any(|it| it == "-c" || it == "-EHs"), "{arguments:?}");
            assert!(arguments.iter().all(|it| it.starts_with('-') || it.starts_with('/')));
            commands += 1;
        }
        assert!(commands > 10, "{}", path.display());
    }
}

#[test]
fn symbols_are_where_the_units_say() {
    let Some(root) = DEBUGPY.unpacked() else { return };
    let place = root.join("debugpy/_vendored/pydevd/pydevd_attach_to_process");
    let file = File::open(place.join("attach_amd64.pdb")).unwrap();
    let info = read(&file, &Questions::ALL).unwrap();
    let addresses = symbol(&file, "AttachAndRunPythonCode").unwrap();
    assert_eq!(addresses.len(), 1);
    let owner = info.owners(addresses[0]).owner().unwrap().unit;
    assert!(info.units[owner.0 as usize].module.ends_with("\\attach.obj"));
    let there = symbol_at(&file, addresses[0] + 1).unwrap().unwrap();
    assert_eq!((there.name.as_str(), there.address), ("AttachAndRunPythonCode", addresses[0]));
}

#[test]
fn what_is_left_of_a_pdb_while_it_is_written_is_incomplete() {
    let Some(root) = DEBUGPY.unpacked() else { return };
    let place = root.join("debugpy/_vendored/pydevd/pydevd_attach_to_process");
    let whole = fs::read(place.join("run_code_on_dllmain_amd64.pdb")).unwrap();
    for end in (1..whole.len()).step_by(97).chain(whole.len() - 600..whole.len()) {
        let error = read(&whole[..end], &Questions::ALL).unwrap_err();
        assert!(error.is_incomplete(), "{end}: {error}");
    }
}

const BUILT_IN: &str = "predefined C++ types (compiler internal)";
