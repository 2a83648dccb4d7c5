//! Command lines: those who wrote the rules take the same lines apart the same way.

use std::io::Write;
use std::process::{Command as Process, Stdio};

use build_info::{Command, Quoting, Style, expand_response_files};
use proptest::prelude::*;

use crate::around_support::Pretended;
use crate::tools::tool;

const ALL: [Quoting; 5] =
    [Quoting::Windows, Quoting::Posix, Quoting::Gnu, Quoting::Llvm, Quoting::Words];

/// Lines of whatever has a meaning to somebody.
fn line() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "bc", " ", " ", "\t", "\"", "\"", "\"\"", "\\", "\\\\", "\\\"", "'", "=", "-D", "/",
        "ä", "\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn argument() -> impl Strategy<Value = String> {
    prop_oneof![line(), "[ -~]{0,12}", "\\PC{0,6}"]
}

proptest! {
    #[test]
    fn what_is_joined_comes_apart_again(arguments in prop::collection::vec(argument(), 0..6)) {
        for quoting in [Quoting::Windows, Quoting::Posix, Quoting::Gnu, Quoting::Llvm] {
            // A lone empty argument is nothing in LLVM's form.
            if quoting == Quoting::Llvm && arguments == [""] {
                continue;
            }
            let line = quoting.join(&arguments);
            let split = quoting.split(&line);
            prop_assert!(split.complete, "{:?} {}", quoting, line);
            prop_assert_eq!(&split.arguments, &arguments, "{:?} {}", quoting, line);
        }
    }

    #[test]
    fn any_line_is_split_and_what_comes_out_can_be_joined(line in line()) {
        for quoting in ALL {
            let split = quoting.split(&line);
            if quoting == Quoting::Llvm && split.arguments == [""] {
                continue;
            }
            let again = quoting.split(&quoting.join(&split.arguments));
            prop_assert_eq!(again.arguments, split.arguments);
        }
    }
}

/// Lines by the same strategy, the same in each run.
fn lines(count: usize) -> Vec<String> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| line().new_tree(&mut runner).unwrap().current()).collect()
}

fn output(command: &mut Process, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(writer.join().unwrap());
    assert!(output.status.success(), "{command:?}");
    output.stdout
}

fn words(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let records = text.split_terminator('\x02');
    records.map(|record| record.split_terminator('\x01').map(str::to_owned).collect()).collect()
}

#[test]
fn a_shell_takes_what_is_joined_for_the_same_words() {
    let Some(sh) = tool("sh") else { return };
    let arguments: Vec<String> = lines(400).into_iter().chain(["$HOME `x` *".to_owned()]).collect();
    let mut script = String::new();
    for pair in arguments.chunks(3) {
        script += &format!("printf '%s\\1' {}; printf '\\2'\n", Quoting::Posix.join(pair));
    }
    let seen = words(&output(Process::new(sh).arg("-s"), script.as_bytes()));
    let expected: Vec<Vec<String>> = arguments.chunks(3).map(<[String]>::to_vec).collect();
    assert_eq!(seen, expected);
}

#[test]
fn python_splits_the_same_lines_into_the_same_words() {
    let Some(python) = tool("python3") else { return };
    let program = r#"
import shlex, sys
out = []
for line in sys.stdin.buffer.read().decode().split('\x01'):
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = ' \t\n', True, ''
        words = list(lexer)
        out.append(''.join(word + '\x01' for word in words))
    except ValueError:
        out.append('unfinished\x03')
sys.stdout.buffer.write('\x02'.join(out).encode())
"#;
    // Python knows no continued lines, and of what double quotes protect only two.
    let lines: Vec<String> =
        lines(3000).into_iter().filter(|line| !line.contains("\\\n")).collect();
    let seen = output(Process::new(python).args(["-c", program]), lines.join("\x01").as_bytes());
    let seen = words(&seen);
    assert_eq!(seen.len(), lines.len());
    let mut unfinished = 0;
    for (line, seen) in lines.iter().zip(seen) {
        let split = Quoting::Posix.split(line);
        if seen == ["unfinished\x03"] {
            assert!(!split.complete, "{line:?}");
            unfinished += 1;
        } else {
            assert!(split.complete, "{line:?}");
            assert_eq!(split.arguments, seen, "{line:?}");
        }
    }
    assert!(unfinished > 100 && unfinished < lines.len() - 100);
}

#[test]
fn what_python_quotes_for_windows_comes_apart_again() {
    let Some(python) = tool("python3") else { return };
    let program = r#"
import subprocess, sys
for record in sys.stdin.buffer.read().decode().split('\x02'):
    line = subprocess.list2cmdline(record.split('\x01'))
    sys.stdout.buffer.write((line + '\x02').encode())
"#;
    let arguments = lines(900);
    // Python quotes blanks and tabs alone.
    let arguments: Vec<&[String]> =
        arguments.chunks(3).filter(|chunk| !chunk.concat().contains('\n')).collect();
    let input: Vec<String> = arguments.iter().map(|chunk| chunk.join("\x01")).collect();
    let seen = output(Process::new(python).args(["-c", program]), input.join("\x02").as_bytes());
    let seen = String::from_utf8(seen).unwrap();
    let seen: Vec<&str> = seen.split_terminator('\x02').collect();
    assert_eq!(seen.len(), arguments.len());
    for (line, arguments) in seen.iter().zip(arguments) {
        assert_eq!(Quoting::Windows.split(line).arguments, arguments, "{line}");
    }
}

/// A program that prints how the system's function, and how the runtime of a child, take apart
/// the lines of a file.
const SPLITTER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <shellapi.h>

int main(int argc, char **argv) {
  if (getenv("SPLITTER_CHILD")) {
    for (int i = 0; i < argc; i++) printf("%s\1", argv[i]);
    printf("\2");
    return 0;
  }
  FILE *lines = fopen(argv[1], "rb");
  char line[4096], self[MAX_PATH];
  GetModuleFileNameA(0, self, sizeof self);
  while (fgets(line, sizeof line, lines)) {
    WCHAR wide[4096];
    int count;
    line[strcspn(line, "\n")] = 0;
    MultiByteToWideChar(CP_UTF8, 0, line, -1, wide, 4096);
    LPWSTR *words = CommandLineToArgvW(wide, &count);
    for (int i = 0; i < count; i++) printf("%ls\1", words[i]);
    printf("\2");
    fflush(stdout);
    if (strlen(line) % 8 == 0) {
      STARTUPINFOA startup = {sizeof startup};
      PROCESS_INFORMATION process;
      SetEnvironmentVariableA("SPLITTER_CHILD", "1");
      CreateProcessA(self, line, 0, 0, 1, 0, 0, 0, &startup, &process);
      WaitForSingleObject(process.hProcess, INFINITE);
    } else {
      printf("-\1\2");
    }
    fflush(stdout);
  }
}
"#;

#[test]
fn windows_own_splitters_split_the_same() {
    let (Some(wine), Some(cc)) = (tool("wine64"), tool("x86_64-w64-mingw32-gcc")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("splitter.c"), SPLITTER).unwrap();
    let mut compile = Process::new(cc);
    compile.arg(path("splitter.c")).arg("-o").arg(path("splitter.exe")).arg("-lshell32");
    assert!(compile.status().unwrap().success());
    // The first word is the program's, for which the two have rules of their own; `*` and `?` are
    // no part of these lines, because some runtimes expand them.
    let lines: Vec<String> = lines(400)
        .into_iter()
        .map(|line| format!("p {}", line.replace(['\n', 'ä'], "u")))
        .chain([r#""C:\Program Files\x" a"#.to_owned(), r#"C:\x\ a"#.to_owned()])
        .collect();
    std::fs::write(path("lines"), lines.join("\n") + "\n").unwrap();
    let mut run = Process::new(wine);
    run.arg(path("splitter.exe")).arg(path("lines")).stderr(Stdio::null());
    run.env("WINEPREFIX", path("prefix")).env("WINEDEBUG", "-all");
    let seen = words(&output(&mut run, b""));
    assert_eq!(seen.len(), lines.len() * 2);
    let mut children = 0;
    for (line, seen) in lines.iter().zip(seen.chunks(2)) {
        let split = Quoting::Windows.split_with_program(line).arguments;
        // What doubled quotes within quotes do is where the system's function differs.
        if !line.contains("\"\"") {
            assert_eq!(split, seen[0], "{line}");
        }
        if seen[1] != ["-"] {
            assert_eq!(split, seen[1], "{line}");
            children += 1;
        }
    }
    assert!(children > 20, "{children}");
}

#[test]
fn what_clang_records_comes_apart_into_what_it_was_given() {
    let Some(clang) = tool("clang") else { return };
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a b.c"), "int a;").unwrap();
    let given = [
        "-g",
        "-grecord-command-line",
        "-D",
        "A=\"x y\"",
        "-D",
        "B='\\ z'",
        "-I",
        "",
        "-c",
        "a b.c",
    ];
    let mut compile = Process::new(&clang);
    compile.args(given).args(["-o", "-", "-S"]).current_dir(directory.path());
    let assembly = String::from_utf8(output(&mut compile, b"")).unwrap();
    // The producer as the assembler is given it: once more escaped, as in C.
    let quoted = assembly.lines().find(|line| line.contains("-grecord-command-line")).unwrap();
    let from = quoted.find('"').unwrap() + 1;
    let producer =
        quoted[from..quoted.rfind('"').unwrap()].replace("\\\"", "\"").replace("\\\\", "\\");
    let flags = &producer[producer.find("/").unwrap()..];
    let recorded = Quoting::Llvm.split(flags).arguments;
    let start = recorded.iter().position(|argument| argument == "-g").unwrap();
    assert_eq!(recorded[start..start + given.len()], given, "{producer}");
}

#[test]
fn a_compiler_reads_what_is_joined_for_a_response_file() {
    let Some(gcc) = tool("gcc") else { return };
    let arguments: Vec<String> = lines(60).into_iter().map(|line| format!("-DX{line}")).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arguments");
    std::fs::write(&path, Quoting::Gnu.join(&arguments)).unwrap();
    let echo = directory.path().join("echo");
    std::fs::write(&echo, "#!/bin/sh\nfor a; do printf '%s\\001' \"$a\"; done; printf '\\002'")
        .unwrap();
    let mut permissions = std::fs::metadata(&echo).unwrap().permissions();
    #[cfg(unix)]
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&echo, permissions).unwrap();
    let mut compile = Process::new(gcc);
    compile.arg("-wrapper").arg(&echo).args(["-E", "-xc", "-"]).arg(format!("@{}", path.display()));
    let seen = words(&output(&mut compile, b"")).remove(0);
    let seen: Vec<&String> = seen.iter().skip_while(|word| *word != "-D").collect();
    // The compiler's driver has the macros apart from their option.
    let macros: Vec<&str> = seen
        .iter()
        .zip(seen.iter().skip(1))
        .filter(|(one, _)| **one == "-D")
        .map(|(_, x)| x.as_str())
        .collect();
    let expected: Vec<&str> = arguments.iter().map(|argument| &argument[2..]).collect();
    assert_eq!(macros, expected);
}

#[test]
fn a_cut_line_says_so_and_is_split_all_the_same() {
    for (quoting, line) in [
        (Quoting::Windows, r#"a "b c"#),
        (Quoting::Posix, "a 'b c"),
        (Quoting::Posix, r#"a "b c"#),
        (Quoting::Gnu, "a 'b c"),
    ] {
        let split = quoting.split(line);
        assert_eq!(split.arguments, ["a", "b c"], "{line}");
        assert!(!split.complete, "{line}");
        let command = Command::Line { raw: line.into(), quoting, with_compiler: false, cut: false };
        assert!(command.is_cut());
    }
    for quoting in [Quoting::Posix, Quoting::Gnu, Quoting::Llvm] {
        assert!(!quoting.split("a\\").complete);
    }
}

#[test]
fn the_programs_name_has_rules_of_its_own_on_windows() {
    let line = r#""C:\Program Files\cl.exe" -c "C:\x\\" a.c"#;
    let split = Quoting::Windows.split_with_program(line).arguments;
    assert_eq!(split, [r"C:\Program Files\cl.exe", "-c", r"C:\x\", "a.c"]);
    let split = Quoting::Windows.split_with_program(r#""C:\x\" a"#).arguments;
    assert_eq!(split, [r"C:\x\", "a"]);
}

#[test]
fn response_files_stand_where_they_are_named() {
    let mut disk = Pretended::new(Style::Posix, &[]);
    let mut put = |path: &str, bytes: &[u8]| drop(disk.files.insert(path.into(), bytes.into()));
    put("/b/x.rsp", b"-c 'a b'\n@sub/y.rsp -z");
    put("/b/sub/y.rsp", b"\xef\xbb\xbf-y");
    put("/b/loop.rsp", b"@loop.rsp @loop.rsp");
    let utf16: Vec<u8> =
        "\u{feff}/c \"a b\"\r\n/Fo\"x\\\\\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
    put("/b/win.rsp", &utf16);
    let expand = |arguments: &[&str], quoting| {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        expand_response_files(arguments, quoting, "/b", &disk)
    };
    let expanded = expand(&["cc", "@x.rsp", "@none", "@"], Quoting::Gnu);
    assert_eq!(expanded.arguments, ["cc", "-c", "a b", "-y", "-z", "@none", "@"]);
    assert_eq!(expanded.missing, ["none"]);
    let expanded = expand(&["@win.rsp"], Quoting::Windows);
    assert_eq!(expanded.arguments, ["/c", "a b", r"/Fox\"]);
    let expanded = expand(&["@loop.rsp"], Quoting::Gnu);
    assert!(!expanded.missing.is_empty() && expanded.arguments.len() < 200);
}
