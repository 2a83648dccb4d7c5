//! Paths: one spelling each, and the files that they lead to.

use build_info::{
    BuildInfo, Fact, File, FileId, FileUse, Format, Found, Linker, Provenance, Resolve, Style,
    Unit, UnitId,
};

use crate::around_support::Pretended;

/// Units with files, as a reader leaves them.
fn info(format: Format, units: &[(&str, &[&str])]) -> BuildInfo {
    let mut info = BuildInfo::new(format);
    for (number, (cwd, files)) in units.iter().enumerate() {
        let id = UnitId(number as u32);
        let mut unit = Unit { cwd: Some(Fact::recorded((*cwd).to_owned())), ..Unit::default() };
        for path in *files {
            let known = info.files.iter().position(|file| file.path == *path);
            let at = known.unwrap_or_else(|| {
                info.files.push(File {
                    path: (*path).to_owned(),
                    spellings: Vec::new(),
                    found: Found::Unknown,
                    units: Vec::new(),
                });
                info.files.len() - 1
            });
            info.files[at].units.push(id);
            let file = FileId(at as u32);
            unit.files.push(FileUse { file, checksum: None, provenance: Provenance::Recorded });
        }
        info.units.push(unit);
    }
    info
}

fn paths(info: &BuildInfo) -> Vec<&str> {
    info.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn spellings_of_one_file_become_one() {
    let mut info = info(
        Format::Pdb,
        &[
            (r"D:\QA\build", &[r"d:\qa\src\cube.h", r"D:\QA\src\Cube.cpp"]),
            (
                r"D:\QA\build",
                &[r"D:\QA\src\.\Cube.h", r"..\src\Main.cpp", r"D:/QA/build/..\src/cube.H"],
            ),
        ],
    );
    info.resolve(&Resolve::lexical());
    let expected = [r"D:\QA\src\Cube.h", r"D:\QA\src\Cube.cpp", r"D:\QA\src\Main.cpp"];
    assert_eq!(paths(&info), expected);
    assert_eq!(info.files[0].units, [UnitId(0), UnitId(1)]);
    assert_eq!(info.files[0].found, Found::Unknown);
    let spellings = [r"D:/QA/build/..\src/cube.H", r"D:\QA\src\.\Cube.h", r"d:\qa\src\cube.h"];
    assert_eq!(info.files[0].spellings, spellings);
    let of_second: Vec<u32> = info.units[1].files.iter().map(|one| one.file.0).collect();
    assert_eq!(of_second, [0, 2]);
    let before = info.clone();
    info.resolve(&Resolve::lexical());
    assert_eq!(info, before);
}

#[test]
fn case_matters_elsewhere() {
    let mut info = info(Format::Elf, &[("/s", &["/s/a.h", "/s/A.h", "/s/./a.h"])]);
    info.resolve(&Resolve::lexical());
    assert_eq!(paths(&info), ["/s/a.h", "/s/A.h"]);
}

#[test]
fn what_is_mapped_is_found_in_other_letters_and_without_links() {
    let mut disk = Pretended::new(Style::Posix, &["/src/Engine/Cube.cpp", "/real/inc/sys.h"]);
    disk.links.insert("/src/inc".into(), "/real/inc".into());
    let resolve = Resolve::on(disk).map(r"D:\QA=/src".parse().unwrap());
    let files: &[&str] =
        &[r"d:\qa\engine\CUBE.CPP", r"D:\QA\inc\SYS.h", r"D:\QA\inc\..\gone.h", r"C:\Other\x.h"];
    let mut info = info(Format::Pdb, &[(r"D:\QA", files)]);
    info.resolve(&resolve);
    let expected = ["/src/Engine/Cube.cpp", "/real/inc/sys.h", "/src/gone.h", r"C:\Other\x.h"];
    assert_eq!(paths(&info), expected);
    assert_eq!(info.files[0].found, Found::At("/src/Engine/Cube.cpp".into()));
    assert_eq!(info.files[2].found, Found::Missing);
    assert_eq!(info.files[3].found, Found::Missing);
    assert_eq!(info.files[0].spellings, [r"d:\qa\engine\CUBE.CPP"]);
}

#[test]
fn a_relative_path_starts_from_the_first_directory_that_has_the_file() {
    let disk = Pretended::new(
        Style::Windows,
        &[
            r"C:\cc\a.h",
            r"C:\link\a.h",
            r"C:\link\b.h",
            r"C:\obj\b.h",
            r"C:\obj\c.h",
            r"C:\lib\d.h",
            r"C:\pdb\e.h",
            r"C:\image\f.h",
            r"C:\root\sub\g.h",
        ],
    );
    let resolve = Resolve::on(disk).image_directory(r"C:\image").root(r"C:\root");
    let files: &[&str] = &["a.h", "b.h", "c.h", "d.h", "e.h", "f.h", r"sub\g.h", "none.h"];
    let mut info = info(Format::Pdb, &[(r"c:\CC", files)]);
    info.units[0].module = r"C:\obj\a.obj".into();
    info.units[0].archive = Some(r"C:\lib\x.lib".into());
    info.linker = Some(Linker {
        cwd: Some(Fact::recorded(r"C:\link".into())),
        pdb: Some(Fact::recorded(r"C:\pdb\x.pdb".into())),
        ..Linker::default()
    });
    info.resolve(&resolve);
    assert_eq!(
        paths(&info),
        [
            r"C:\cc\a.h",
            r"C:\link\b.h",
            r"C:\obj\c.h",
            r"C:\lib\d.h",
            r"C:\pdb\e.h",
            r"C:\image\f.h",
            r"C:\root\sub\g.h",
            r"C:\CC\none.h",
        ]
    );
    assert_eq!(info.files[7].found, Found::Missing);
}

#[test]
fn what_moved_is_found_by_the_end_of_its_name_and_its_neighbours_with_it() {
    let disk = Pretended::new(
        Style::Posix,
        &["/new/lib/x/a.h", "/new/main.c", "/new/stdio.h", "/else/main.c"],
    );
    let resolve = Resolve::on(disk).root("/else").root("/new");
    let files: &[&str] =
        &["/old/src/main.c", "/old/src/lib/x/a.h", "/usr/include/stdio.h", "/old/src/lib/gone.h"];
    let mut info = info(Format::Elf, &[("/old/src", files)]);
    info.resolve(&resolve);
    // The last name alone is no proof: `stdio.h` is left, and `main.c` is beside what was found.
    assert_eq!(
        paths(&info),
        ["/new/main.c", "/new/lib/x/a.h", "/usr/include/stdio.h", "/old/src/lib/gone.h"]
    );
}

#[test]
fn a_relative_start_can_be_mapped() {
    let disk = Pretended::new(Style::Posix, &["/src/python/Objects/a.c"]);
    let resolve = Resolve::on(disk).map("./build-debug=/src/python/build".parse().unwrap());
    let mut info = info(Format::Elf, &[("./build-debug", &["./build-debug/../Objects/a.c"])]);
    info.resolve(&resolve);
    // By the letter `..` takes back a directory; so the map that would fit does not.
    assert_eq!(paths(&info), ["Objects/a.c"]);
    let disk = Pretended::new(Style::Posix, &["/src/python/Objects/a.c"]);
    info.resolve(&Resolve::on(disk).map(".=/src/python".parse().unwrap()));
    assert_eq!(paths(&info), ["/src/python/Objects/a.c"]);
}

#[test]
fn a_link_leads_where_it_leads_before_anything_is_taken_back() {
    let mut disk = Pretended::new(Style::Posix, &["/far/away/a.h", "/s/a.h", "/far/here/b.h"]);
    disk.links.insert("/s/link".into(), "/far/here".into());
    let mut info = info(Format::Elf, &[("/s", &["/s/link/../away/a.h", "/s/link/b.h"])]);
    info.resolve(&Resolve::on(disk));
    assert_eq!(paths(&info), ["/far/away/a.h", "/far/here/b.h"]);
}

#[test]
fn a_directory_is_asked_for_once_and_another_machine_never() {
    let names: Vec<String> = (0..5000).map(|number| format!("/s/inc/{number}.h")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let disk = Pretended::new(Style::Posix, &names);
    let asked = disk.asked.clone();
    let mut files = names.clone();
    files.extend(["/s/none/a.h", "/s/none/sub/b.h", "/s/none/sub/deep/c.h"]);
    let mut info = info(Format::Elf, &[("/s", &files)]);
    info.resolve(&Resolve::on(disk));
    assert!(info.files[..5000].iter().all(|file| matches!(file.found, Found::At(_))));
    assert_eq!(*asked.borrow(), ["real /s/inc", "entries /s/inc", "real /s/none"]);

    let disk = Pretended::new(Style::Windows, &[r"C:\a"]);
    let asked = disk.asked.clone();
    let mut info = self::info(Format::Pdb, &[(r"C:\", &[r"\\server\share\x.h", r"\\?\UNC\s\t\u"])]);
    info.resolve(&Resolve::on(disk));
    assert!(asked.borrow().is_empty());
}

#[cfg(unix)]
#[test]
fn real_files_are_found_through_real_links() {
    let directory = tempfile::tempdir().unwrap();
    let root = std::fs::canonicalize(directory.path()).unwrap();
    std::fs::create_dir_all(root.join("real/deep")).unwrap();
    std::fs::write(root.join("real/deep/a.h"), "").unwrap();
    std::fs::write(root.join("real/b.h"), "").unwrap();
    std::os::unix::fs::symlink("real/deep", root.join("link")).unwrap();
    std::os::unix::fs::symlink("b.h", root.join("real/c.h")).unwrap();
    let root = root.to_str().unwrap();
    let files = ["link/a.h", "link/../b.h", "real/./c.h", "real/none.h", "real/deep/a.h"]
        .map(|name| format!("{root}/{name}"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let mut info = info(Format::Elf, &[(root, &files)]);
    info.resolve(&Resolve::new());
    let expected =
        ["real/deep/a.h", "real/b.h", "real/none.h"].map(|name| format!("{root}/{name}"));
    assert_eq!(paths(&info), expected);
    assert_eq!(info.files[2].found, Found::Missing);
}

#[test]
fn of_two_uses_that_turn_out_to_be_one_the_more_certain_counts() {
    use build_info::{File, FileId, FileUse, Provenance, Unit, UnitId};
    let orders = [
        [Provenance::LineTable, Provenance::Depfile],
        [Provenance::Depfile, Provenance::LineTable],
    ];
    for provenances in orders {
        let mut info = BuildInfo::new(Format::Elf);
        info.units.push(Unit::default());
        for (number, provenance) in (0..).zip(provenances) {
            info.files.push(File {
                path: ["/s/a.h", "/s/x/../a.h"][number as usize].to_owned(),
                spellings: Vec::new(),
                found: Found::Unknown,
                units: vec![UnitId(0)],
            });
            let checksum = (number == 1).then_some(7);
            info.units[0].files.push(FileUse { file: FileId(number), checksum, provenance });
        }
        info.resolve(&Resolve::lexical());
        let (file, provenance) = (FileId(0), Provenance::Depfile);
        assert_eq!(info.units[0].files, [FileUse { file, checksum: Some(7), provenance }]);
        assert_eq!(info.files.len(), 1);
    }
}
