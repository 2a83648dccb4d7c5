use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::session::{Session, program};

/// A process that runs until it is told to end: `cat`, which answers each line with itself.
struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Target {
    fn start() -> Self {
        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut target = Self { child, input, output };
        // When it answers, it has been loaded.
        target.is_alive();
        target
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn is_alive(&mut self) {
        self.input.as_mut().unwrap().write_all(b"alive\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "alive\n");
    }

    fn ends_well(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn json(arguments: &[&str]) -> Value {
    let output = program().arg("modules").args(arguments).arg("--json").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether these are the modules of `cat`, each with all its facts.
fn are_those_of_cat(modules: &[Value]) {
    let roles: Vec<&str> = modules.iter().map(|it| it["role"].as_str().unwrap()).collect();
    for role in ["program", "loader", "library"] {
        assert!(roles.contains(&role), "{roles:?}");
    }
    for module in modules {
        assert_eq!(module["namespace"], 0);
        assert_eq!(module["deleted"], false);
        for address in ["bias", "dynamic"] {
            assert!(module[address].as_str().unwrap().starts_with("0x"), "{module}");
        }
        assert!(module["build_id"].is_string() || module["build_id"].is_null(), "{module}");
    }
    let program = modules.iter().find(|it| it["role"] == "program").unwrap();
    let path = std::fs::canonicalize("/bin/cat").unwrap();
    assert_eq!(program["path"], path.to_str().unwrap());
}

#[test]
fn a_process_is_listed_and_this_program_itself() {
    let target = Target::start();
    are_those_of_cat(json(&[&target.pid()]).as_array().unwrap());
    let own = json(&["self"]);
    let own = own.as_array().unwrap().iter().find(|it| it["role"] == "program").unwrap();
    let path = std::fs::canonicalize(env!("CARGO_BIN_EXE_reloader")).unwrap();
    assert_eq!(own["path"], path.to_str().unwrap());
    target.ends_well();
}

#[test]
fn namespaces_are_objects_with_modules_of_their_own() {
    let target = Target::start();
    let spaces = json(&[&target.pid(), "--namespaces"]);
    let [space] = &spaces.as_array().unwrap()[..] else { panic!("{spaces}") };
    assert_eq!(space["namespace"], 0);
    assert_eq!(space["state"], "consistent");
    assert!(space["r_debug"].as_str().unwrap().starts_with("0x"));
    are_those_of_cat(space["modules"].as_array().unwrap());
    target.ends_well();
}

#[test]
fn without_json_each_module_is_a_line() {
    let target = Target::start();
    let pid = target.pid();
    let output = program().args(["modules", &pid]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().all(|line| line.trim_start().starts_with("0x")), "{text}");
    assert!(text.contains("  program  ") && text.contains("/cat  "), "{text}");
    let output = program().args(["modules", &pid, "--namespaces"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("namespace 0: r_debug at 0x"), "{text}");
    target.ends_well();
}

#[test]
fn a_watch_begins_with_what_is_there_and_ends_with_the_process() {
    let target = Target::start();
    let pid = target.pid();
    let session = Session::start(["modules", &pid, "--watch", "--json"]);
    let count = json(&[&pid]).as_array().unwrap().len();
    let present: Vec<Value> = (0..count).map(|_| session.expect("added")).collect();
    are_those_of_cat(&present);
    target.ends_well();
    let end = session.end();
    assert!(end.status.success(), "{}", end.error_text());
    let [exit] = &end.events()[..] else { panic!("{:?}", end.output) };
    assert_eq!(exit["event"], "exit");
    assert!(exit["micros"].as_u64() >= present[0]["micros"].as_u64(), "{exit}");
    assert!(end.error_text().contains("is watched by"), "{}", end.error_text());
}

#[test]
fn a_watch_that_is_ended_leaves_the_process_alone() {
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut target = Target::start();
        // What a shell runs in the background ignores the first of them otherwise.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(program().get_program());
        command.args(["modules", &target.pid(), "--watch", "--json"]);
        let session = Session::spawn(&mut command);
        session.expect("added");
        session.signal(signal);
        assert!(!session.end().status.success());
        target.is_alive();
        target.ends_well();
    }
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends_though_nothing_happens() {
    for json in [&["--json"][..], &[]] {
        let mut target = Target::start();
        let mut watch = program()
            .args(["modules", &target.pid(), "--watch"])
            .args(json)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(watch.stdout.take().unwrap());
        // All that is there is told, and the watch waits.
        let modules = self::json(&[&target.pid()]).as_array().unwrap().len();
        for _ in 0..modules {
            output.read_line(&mut String::new()).unwrap();
        }
        drop(output);
        assert!(watch.wait().unwrap().success());
        target.is_alive();
        target.ends_well();
    }
}

#[test]
fn a_core_file_is_listed_as_the_process_was() {
    if Command::new("gcore").arg("--version").output().is_err() {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "gcore is missing");
        println!("skipped: gcore is missing");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("core");
    let target = Target::start();
    let dumped = Command::new("gcore").arg("-o").arg(&prefix).arg(target.pid()).output().unwrap();
    let core = format!("{}.{}", prefix.display(), target.pid());
    if !dumped.status.success() || !std::path::Path::new(&core).exists() {
        println!("skipped: this machine forbids debugging");
        return;
    }
    let live = json(&[&target.pid()]);
    target.ends_well();
    assert_eq!(json(&[&core]), live);
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_why() {
    for (arguments, code, reason) in [
        (&["modules", "999999999"][..], 1, "no process 999999999"),
        (&["modules", "/dev/null"], 1, "/dev/null: "),
        (&["modules", "self", "--watch"], 2, "watch another process"),
        (&["modules", "/dev/null", "--watch"], 2, "a core file does not change"),
        (&["modules"], 2, "PID|CORE|self"),
    ] {
        let output = program().args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(reason), "{arguments:?}: {text}");
    }
}
