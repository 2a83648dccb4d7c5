//! Who sees what: the same targets read by this crate, by gdb and by lldb.
//!
//! The table is printed. It is compared with the one in the crate's README where the debuggers are
//! those of the README; `WRITE_TABLE=1` writes it there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reloader_tests::tool;

use crate::kinds;
use crate::target::Target;
use crate::workshop::{M32, Work};

/// How many images there are of each file.
type Counts = BTreeMap<PathBuf, usize>;

#[test]
fn the_table_of_who_sees_what_is_true() {
    let (Some(gdb), Some(lldb)) = (tool("gdb"), tool("lldb-19")) else { return };
    let mut table = vec![
        "| target | this crate | gdb 13 | lldb 19 |".to_owned(),
        "|---|---|---|---|".to_owned(),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (name, target) in targets(directory.path()) {
        let mapped = counted(target.mapped().into_iter().map(|(_, path)| path));
        let (snapshot, _) = kinds::read(&target);
        let ours = counted(snapshot.modules().map(|it| PathBuf::from(it.path_lossy().as_ref())));
        // The same image in two namespaces is listed in both, and mapped once.
        let ours = ours.into_iter().map(|(path, count)| {
            let most = mapped.get(&path).copied().unwrap_or(count);
            (path, count.min(most))
        });
        let ours = compared(&mapped, &ours.collect());
        assert_eq!(ours, "all", "{name}");
        let gdb = compared(&mapped, &by_gdb(&gdb.0, &target));
        let lldb = compared(&mapped, &by_lldb(&lldb.0, &target));
        table.push(format!("| {name} | {ours} | {gdb} | {lldb} |"));
    }
    let table = table.join("\n") + "\n";
    println!("{table}");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/rendezvous/README.md");
    let text = fs::read_to_string(&readme).unwrap();
    let start = text.find("| target | this crate |").expect("the table is in the README");
    let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end + 1);
    if std::env::var_os("WRITE_TABLE").is_some() {
        fs::write(&readme, [&text[..start], &table, &text[end..]].concat()).unwrap();
    } else if version_of(&gdb.0).contains(" 13.") && version_of(&lldb.0).contains(" 19.") {
        assert_eq!(table, text[start..end], "WRITE_TABLE=1 writes it anew");
    } else {
        println!("not compared: these are other debuggers");
    }
}

/// The targets, each with a library opened.
fn targets(directory: &Path) -> Vec<(&'static str, Target)> {
    let mut targets = Vec::new();
    let Some(library) = Work::library("a").make() else { return targets };
    let mut add = |name, program: Option<PathBuf>, library: &Path| {
        if let Some(program) = program {
            let mut target = Target::start(program);
            target.open(library);
            targets.push((name, target));
        }
    };
    let with = |flags: &[&str]| Work::program().flags(flags.iter().copied()).make();
    add("PIE", with(&["-fPIE", "-pie"]), &library);
    add("fixed addresses", with(&["-no-pie"]), &library);
    add("linked by lld", with(&["-fuse-ld=lld"]), &library);
    add("linked by mold", with(&["-fuse-ld=mold"]), &library);
    add("musl", Work::program().compiler("musl-gcc").make(), &library);
    add("static PIE with dlopen", with(&["-static-pie"]), &library);
    add("static with dlopen", with(&["-static", "-no-pie"]), &library);
    add("own `_r_debug`", kinds::own_r_debug().make(), &library);
    add("copy of `_r_debug`", kinds::copied_r_debug().make(), &library);
    if let Some(library) = Work::library("a").flag("-m32").make() {
        add("32 bits on 64", with(&M32), &library);
    }
    add("no `DT_DEBUG`", kinds::without_dt_debug(directory), &library);
    if let Some(placed) = Work::library("placed").flag("-Wl,-Ttext-segment=0x21000000").make() {
        add("library without bias", with(&[]), &placed);
    }
    let Some(program) = with(&[]) else { return targets };
    if let Some(loader) = kinds::interpreter(&program) {
        let mut target = Target::of(Command::new(loader).arg(&program));
        target.open(&library);
        targets.push(("`ld.so ./program`", target));
    }
    if let Some(audit) = kinds::audit().make() {
        let mut target = Target::of(Command::new(&program).env("LD_AUDIT", audit));
        target.open(&library);
        targets.push(("`LD_AUDIT`", target));
    }
    let mut target = Target::start(&program);
    target.handle(&format!("space {}", library.display()));
    target.handle(&format!("space {}", library.display()));
    targets.push(("`dlmopen` twice", target));
    targets
}

/// The kernel's own image apart, which has no file.
fn counted(paths: impl Iterator<Item = PathBuf>) -> Counts {
    let mut counts = Counts::new();
    for path in paths.filter(|path| path.is_absolute()) {
        let path = fs::canonicalize(&path).unwrap_or(path);
        *counts.entry(path).or_default() += 1;
    }
    counts
}

/// `all`, or how many of how many, and how many there are not.
fn compared(there: &Counts, seen: &Counts) -> String {
    let total: usize = there.values().sum();
    let found: usize =
        there.iter().map(|(path, count)| *count.min(seen.get(path).unwrap_or(&0))).sum();
    let surplus = seen.values().sum::<usize>() - found;
    match (found == total, surplus) {
        (true, 0) => "all".to_owned(),
        (true, surplus) => format!("all, {surplus} twice"),
        (false, 0) => format!("{found} of {total}"),
        (false, surplus) => format!("{found} of {total}, {surplus} twice"),
    }
}

fn by_gdb(gdb: &Path, target: &Target) -> Counts {
    let pid = target.pid().to_string();
    let text = said(
        Command::new(gdb)
            .args(["-nx", "-batch", "-iex", "set debuginfod enabled off", "-p", &pid])
            .args(["-ex", "info sharedlibrary", "-ex", "info inferiors"]),
    );
    // `0x… 0x… Yes (*) /path` for libraries; `* 1 process 12 1 (native) /path` for the program.
    let is_listed = |line: &&str| line.starts_with("0x") || line.starts_with("* 1 ");
    counted(text.lines().filter(is_listed).filter_map(path_in))
}

fn by_lldb(lldb: &Path, target: &Target) -> Counts {
    let pid = target.pid().to_string();
    let text = said(Command::new(lldb).args(["--no-lldbinit", "--batch", "-p", &pid]).args([
        "-o",
        "image list -h -f",
        "-o",
        "detach",
    ]));
    // `[  0] 0x… /path`.
    let is_listed = |line: &&str| line.starts_with('[') && line.contains("0x");
    counted(text.lines().filter(is_listed).filter_map(path_in))
}

fn path_in(line: &str) -> Option<PathBuf> {
    line.find(" /").map(|at| PathBuf::from(line[at..].trim()))
}

fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn version_of(program: &Path) -> String {
    said(Command::new(program).arg("--version")).lines().next().unwrap_or_default().to_owned()
}
