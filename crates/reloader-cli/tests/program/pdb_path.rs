use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::image::{image, signed};
use crate::session::{End, Session, program};
use crate::terminal::{all_of, terminal};

const OLD: &str = "D:\\build\\guest.pdb";
const SHORT: &str = "C:\\a.pdb";
const LONG: &str = "C:\\a\\much\\longer\\path\\than\\that\\was\\guest.pdb";
const GUID: &str = "11111111-1111-1111-1111-111111111111";

/// A directory with images in it, in which the program runs.
struct Desk(TempDir);

impl Desk {
    fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in files {
            fs::create_dir_all(desk.path(name).parent().unwrap()).unwrap();
            fs::write(desk.path(name), bytes).unwrap();
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> End {
        let mut command = program();
        Session::spawn(command.current_dir(self.0.path()).arg("pdb-path").args(arguments)).end()
    }

    /// Runs it with `--json`, to a good end, and gives the objects.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let end = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(end.status.code(), Some(0), "{arguments:?}: {}", end.error_text());
        objects(&end)
    }

    /// The path that an image has by the program's own list.
    fn listed(&self, name: &str) -> Value {
        self.json(&[name])[0]["entries"][0]["path"].clone()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn objects(end: &End) -> Vec<Value> {
    end.output.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Makes the edits of a report by hand.
fn edited(mut bytes: Vec<u8>, report: &Value) -> Vec<u8> {
    let hex = |text: &Value| -> Vec<u8> {
        let text = text.as_str().unwrap();
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    };
    for edit in report["edits"].as_array().unwrap() {
        let (old, new) = (hex(&edit["old"]), hex(&edit["new"]));
        let at = edit["offset"].as_u64().unwrap() as usize;
        assert_eq!(bytes[at..at + old.len()], old);
        bytes[at..at + old.len()].copy_from_slice(&new);
    }
    if let Some(at) = report["tail"]["offset"].as_u64() {
        assert_eq!(bytes[at as usize..], hex(&report["tail"]["old"]));
        bytes.truncate(at as usize);
        bytes.extend(hex(&report["tail"]["new"]));
    }
    bytes
}

#[test]
fn a_list_is_a_table_for_readers_and_an_object_for_programs() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    let end = desk.run(&["guest.dll"]);
    assert!(end.status.success(), "{}", end.error_text());
    assert_eq!(end.output[0], "guest.dll: x64, not signed, no checksum");
    let columns: Vec<&str> = end.output[1].split_whitespace().collect();
    assert_eq!(columns, ["ENTRY", "KIND", "GUID", "AGE", "CAPACITY", "PATH"]);
    let row: Vec<&str> = end.output[2].split_whitespace().collect();
    assert_eq!(row, ["0", "rsds", GUID, "1", "18", OLD]);
    assert_eq!(end.output.len(), 3);
    assert!(!end.output.join("").contains('\x1b'), "{:?}", end.output);

    let [object] = &desk.json(&["guest.dll"])[..] else { panic!("one object for one image") };
    let computed = object["checksum"]["computed"].as_u64().unwrap();
    assert!(computed > 0x400, "{object}");
    let expected = json!({
        "file": "guest.dll",
        "machine": "x64",
        "entries": [{
            "index": 0, "kind": "rsds", "guid": GUID, "age": 1, "path": OLD,
            "capacity": OLD.len(), "problems": [],
        }],
        "problems": [],
        "signed": false,
        "checksum": {"stored": 0, "computed": computed},
    });
    assert_eq!(*object, expected);
}

#[test]
fn an_image_that_is_cut_short_is_listed_and_changed_with_a_warning() {
    let mut bytes = image(&[OLD]);
    bytes.truncate(bytes.len() - 0x40);
    let desk = Desk::with(&[("guest.dll", bytes)]);
    let warning = "the file is cut short: 0x40 bytes of section 0 are missing";
    assert_eq!(desk.json(&["guest.dll"])[0]["problems"], json!([warning]));
    let end = desk.run(&["guest.dll"]);
    assert_eq!(end.output.last().unwrap().trim(), warning);
    let report = &desk.json(&["guest.dll", "--set", SHORT, "--in-place"])[0];
    assert_eq!(report["warnings"], json!([warning]));
    assert_eq!(desk.listed("guest.dll"), SHORT);
}

#[test]
fn a_debug_directory_that_is_not_in_the_file_is_not_said_to_be_none() {
    let mut elsewhere = image(&[OLD]);
    // The data directory of an image whose one section is at 0x1000.
    let place = [0x1000_u32, 28].map(u32::to_le_bytes).concat();
    let field = elsewhere.windows(8).position(|it| it == place).unwrap();
    elsewhere[field..field + 4].copy_from_slice(&0x9000_u32.to_le_bytes());
    let mut without = elsewhere.clone();
    without[field..field + 8].fill(0);
    let desk = Desk::with(&[("elsewhere.dll", elsewhere), ("without.dll", without)]);

    let lines = desk.run(&["elsewhere.dll"]).output;
    let problem = "the file does not hold the directory (0x1c bytes at 0x9000)";
    assert_eq!(lines[1], "  a debug directory of which no entry can be read");
    assert_eq!((lines[2].trim(), lines.len()), (problem, 3));
    assert_eq!(desk.json(&["elsewhere.dll"])[0]["problems"], json!([problem]));

    let lines = desk.run(&["without.dll"]).output;
    assert_eq!((lines[1].trim(), lines.len()), ("no debug directory", 2));
    assert_eq!(desk.json(&["without.dll"])[0]["problems"], json!([]));
}

#[test]
fn a_set_path_is_written_where_the_user_says_and_the_report_is_what_was_done() {
    for (new, rung) in [(SHORT, "record"), (LONG, "tail"), (&LONG.repeat(12), "new-section")] {
        let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
        let before = desk.bytes("guest.dll");
        let [report] = &desk.json(&["guest.dll", "--set", new, "--output", "out.dll"])[..] else {
            panic!("one object for one image")
        };
        assert_eq!(report["rung"], rung, "{report}");
        assert_eq!(
            report["entries"],
            json!([{"index": 0, "rung": rung, "before": OLD, "after": new}])
        );
        assert_eq!(report["checksum"], json!({"before": 0, "after": 0}));
        assert_eq!(report["signature"], "unsigned");
        assert_eq!(report["warnings"], json!([]));
        let output = Path::new(report["output"].as_str().unwrap());
        assert_eq!(output.file_name(), Some("out.dll".as_ref()));
        assert_eq!(desk.bytes("guest.dll"), before, "the image itself stays");
        assert_eq!(desk.bytes("out.dll"), edited(before, report));
        assert_eq!(desk.listed("out.dll"), new);
        assert_eq!(desk.names(), ["guest.dll", "out.dll"]);
    }
}

#[test]
fn in_place_the_file_is_replaced_and_keeps_its_mode() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    fs::set_permissions(desk.path("guest.dll"), PermissionsExt::from_mode(0o750)).unwrap();
    let end = desk.run(&["guest.dll", "--basename", "--in-place"]);
    assert!(end.status.success(), "{}", end.error_text());
    let text = end.output.join("\n");
    for words in ["guest.dll", "within its record", OLD, "guest.pdb", "checksum", "unsigned"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(desk.listed("guest.dll"), "guest.pdb");
    assert_eq!(fs::metadata(desk.path("guest.dll")).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(desk.names(), ["guest.dll"]);
    // The second time there is nothing to do.
    let end = desk.run(&["guest.dll", "--basename", "--in-place"]);
    assert!(end.output[0].contains("nothing to change"), "{:?}", end.output);
}

#[test]
fn a_dry_run_shows_all_and_writes_nothing() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    let before = desk.bytes("guest.dll");
    let dry = desk.json(&["guest.dll", "--set", LONG, "--dry-run", "--in-place"]);
    assert_eq!(desk.bytes("guest.dll"), before);
    assert_eq!(dry[0]["output"], Value::Null);
    let wet = desk.json(&["guest.dll", "--set", LONG, "--in-place"]);
    assert_eq!(dry[0]["edits"], wet[0]["edits"]);
    assert_eq!(desk.bytes("guest.dll"), edited(before, &dry[0]));
}

#[test]
fn a_stripped_path_leaves_guid_and_age() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    desk.json(&["guest.dll", "--strip", "--in-place"]);
    let listed = desk.json(&["guest.dll"]);
    assert_eq!(listed[0]["entries"][0]["path"], "");
    assert_eq!(listed[0]["entries"][0]["guid"], GUID);
    assert!(!desk.bytes("guest.dll").windows(5).any(|it| it == b"guest"));
}

#[test]
fn an_entry_is_chosen_by_its_index() {
    let desk = Desk::with(&[("two.dll", image(&[OLD, "E:\\other.pdb"]))]);
    assert_eq!(desk.json(&["two.dll", "--entry", "1"])[0]["entries"][0]["path"], "E:\\other.pdb");
    desk.json(&["two.dll", "--entry", "1", "--basename", "--in-place"]);
    let listed = &desk.json(&["two.dll"])[0];
    assert_eq!(listed["entries"][0]["path"], OLD);
    assert_eq!(listed["entries"][1]["path"], "other.pdb");
    for arguments in [&["--entry", "2"][..], &["--entry", "2", "--strip", "--dry-run"]] {
        let end = desk.run(&[&["two.dll"], arguments].concat());
        assert_eq!(end.status.code(), Some(1));
        assert!(end.error_text().contains("no entry 2"), "{}", end.error_text());
    }
    // Which base name?
    let end = desk.run(&["two.dll", "--basename", "--dry-run"]);
    assert_eq!(end.status.code(), Some(1));
    assert!(end.error_text().contains("--entry"), "{}", end.error_text());
}

#[test]
fn a_signed_image_is_refused_and_the_refusal_names_the_cure() {
    let desk = Desk::with(&[("signed.dll", signed(&[OLD]))]);
    let before = desk.bytes("signed.dll");
    assert_eq!(desk.json(&["signed.dll"])[0]["signed"], true);
    let end = desk.run(&["signed.dll", "--set", SHORT, "--in-place"]);
    assert_eq!(end.status.code(), Some(1));
    let error = end.error_text();
    assert!(error.contains("signed.dll") && error.contains("--allow-strip-signature"), "{error}");
    assert_eq!(desk.bytes("signed.dll"), before);
    let report =
        &desk.json(&["signed.dll", "--set", SHORT, "--in-place", "--allow-strip-signature"])[0];
    assert_eq!(report["signature"], "stripped");
    assert_eq!(desk.bytes("signed.dll"), edited(before, report));
    assert_eq!(desk.json(&["signed.dll"])[0]["signed"], false);
}

#[test]
fn patterns_that_no_shell_has_expanded_are_expanded_here() {
    let files = ["b.dll", "a.dll", "deep/c.dll"].map(|name| (name, image(&[OLD])));
    let desk = Desk::with(&files);
    let files = |arguments: &[&str]| -> Vec<String> {
        desk.json(arguments).iter().map(|it| it["file"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(files(&["*.dll"]), ["a.dll", "b.dll"]);
    assert_eq!(files(&["**/*.dll"]), ["a.dll", "b.dll", "deep/c.dll"]);
    assert_eq!(files(&["*.dll", "--set", SHORT, "--in-place"]), ["a.dll", "b.dll"]);
    assert_eq!(desk.listed("a.dll"), SHORT);
    assert_eq!(desk.listed("deep/c.dll"), OLD);
    let end = desk.run(&["*.exe"]);
    assert_eq!(end.status.code(), Some(1));
    assert!(end.error_text().contains("*.exe"), "{}", end.error_text());
}

#[test]
fn what_is_no_image_is_an_error_that_says_where_that_became_clear_and_the_others_are_done() {
    let mut broken = image(&[OLD]);
    broken[0x40..0x44].copy_from_slice(b"LE\0\0");
    let desk = Desk::with(&[
        ("text", b"#!/bin/sh\n".to_vec()),
        ("broken.dll", broken),
        ("short.dll", image(&[OLD])[..0x90].to_vec()),
        ("good.dll", image(&[OLD])),
    ]);
    for (name, offset) in [("text", 0), ("broken.dll", 0x40)] {
        let end = desk.run(&[name]);
        assert_eq!(end.status.code(), Some(1));
        let error = end.error_text();
        assert!(error.contains(name) && error.contains(&format!("{offset:#x}")), "{error}");
    }
    let end = desk.run(&["text", "broken.dll", "short.dll", "missing.dll", "good.dll", "--json"]);
    assert_eq!(end.status.code(), Some(1));
    let objects = objects(&end);
    let offsets: Vec<&Value> = objects.iter().take(4).map(|it| &it["offset"]).collect();
    assert_eq!(offsets[..2], [&json!(0), &json!(0x40)], "{objects:?}");
    assert!(offsets[2].is_u64() && offsets[3].is_null(), "{objects:?}");
    for (object, name) in objects.iter().zip(["text", "broken.dll", "short.dll", "missing.dll"]) {
        assert_eq!(object["file"], name);
        assert!(object["error"].as_str().unwrap().contains(name), "{object}");
        assert!(end.error_text().contains(name), "{}", end.error_text());
    }
    assert_eq!(objects[4]["entries"][0]["path"], OLD);
    assert!(end.error_text().contains("4 of 5"), "{}", end.error_text());
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2_and_touches_nothing() {
    let desk = Desk::with(&[("a.dll", image(&[OLD])), ("b.dll", image(&[OLD]))]);
    for (arguments, word) in [
        (&[][..], "IMAGE"),
        (&["a.dll", "--set", SHORT], "--in-place"),
        (&["a.dll", "--output", "x.dll"], "--set"),
        (&["a.dll", "--in-place"], "--set"),
        (&["a.dll", "--dry-run"], "--set"),
        (&["a.dll", "--set", SHORT, "--basename", "--in-place"], "--basename"),
        (&["a.dll", "--strip", "--basename", "--in-place"], "--basename"),
        (&["a.dll", "--strip", "--in-place", "--output", "x.dll"], "--output"),
        (&["a.dll", "b.dll", "--strip", "--output", "x.dll"], "--output"),
        (&["*.dll", "--strip", "--output", "x.dll"], "--output"),
        (&["a.dll", "--entry", "-1"], "-1"),
    ] {
        let end = desk.run(arguments);
        assert_eq!(end.status.code(), Some(2), "{arguments:?}: {}", end.error_text());
        assert!(end.error_text().contains(word), "{arguments:?}: {}", end.error_text());
        assert!(end.output.is_empty(), "{arguments:?}: {:?}", end.output);
    }
    assert_eq!(desk.names(), ["a.dll", "b.dll"]);
    assert_eq!(desk.bytes("a.dll"), image(&[OLD]));
}

#[test]
fn what_an_image_says_does_not_reach_the_terminal_as_commands() {
    let desk = Desk::with(&[("odd.dll", image(&["\x1b]0;owned\x07.pdb"]))]);
    for arguments in [&["odd.dll"][..], &["odd.dll", "--strip", "--dry-run"]] {
        let text = desk.run(arguments).output.join("\n");
        assert!(text.contains("owned") && !text.contains(['\x1b', '\x07']), "{text:?}");
    }
    assert_eq!(desk.listed("odd.dll"), "\x1b]0;owned\x07.pdb");
}

#[test]
fn colour_is_for_terminals_and_for_those_who_did_not_decline_it() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    for (json, no_color, coloured) in [(false, "", true), (false, "1", false), (true, "", false)] {
        let (terminal, side) = terminal();
        let mut command = program();
        command.arg("pdb-path").arg(desk.path("guest.dll")).args(json.then_some("--json"));
        let mut child =
            command.env("NO_COLOR", no_color).stdout(Stdio::from(side)).spawn().unwrap();
        // The program's side of the terminal is open in the command too.
        drop(command);
        let text = all_of(terminal);
        assert!(child.wait().unwrap().success());
        assert!(text.contains("guest.pdb"), "{text}");
        assert_eq!(text.contains('\x1b'), coloured, "{text:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let desk = Desk::with(&[("guest.dll", image(&[OLD]))]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output =
        program().arg("pdb-path").arg(desk.path("guest.dll")).stdout(full).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot write to the standard output"), "{error}");
}

#[test]
fn the_long_help_names_every_field() {
    let help = Desk::with(&[]).run(&["--help"]).output.join("\n");
    for word in [
        "file",
        "machine",
        "entries",
        "index",
        "kind",
        "guid",
        "age",
        "path",
        "capacity",
        "problems",
        "signed",
        "stored",
        "computed",
        "output",
        "rung",
        "before",
        "after",
        "edits",
        "tail",
        "offset",
        "old",
        "new",
        "checksum",
        "signature",
        "warnings",
        "error",
    ] {
        assert!(
            help.split(|it: char| !it.is_alphanumeric()).any(|it| it == word),
            "{word}: {help}"
        );
    }
}
