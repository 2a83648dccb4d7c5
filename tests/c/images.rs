//! Builds that are no builds: none costs the running version anything.

use std::process::Command;

use reloader_tests::{Build, tool};

use crate::program::{Script, counter, guest, host};

/// A counter with so much in it that it can be cut.
fn large() -> Build {
    counter(0).more("__asm__(\".section .rodata\\n.fill 2000000,1,90\\n.text\");\n")
}

#[test]
fn a_truncated_build_is_waited_for() {
    let whole = large().bytes();
    let cuts =
        [0, 10, 64, whole.len() / 10, whole.len() / 2, whole.len() * 9 / 10, whole.len() - 1];
    for cut in cuts {
        let script = Script::new(&counter(100)).update(1).put_bytes(&whole[..cut]).update(3);
        let values: Vec<String> = script.put(&large()).update(1).and("close").updates(&host(""));
        let values: Vec<_> = values.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(values, ["101", "102", "103", "104", "5"], "cut at {cut}");
    }
}

#[test]
fn a_truncated_first_build_is_waited_for_too() {
    let whole = large().bytes();
    let script = Script::empty();
    reloader_tests::write(&script.library(), &whole[..whole.len() / 2]);
    let script = script.and("open").update(2).put_bytes(&whole).update(1);
    assert_eq!(script.updates(&host("")), ["-2 0 8", "-2 0 9", "1 1 0"]);
}

#[test]
fn what_can_never_be_loaded_is_refused_once_and_costs_nothing() {
    let mut wrong_machine = large().bytes();
    wrong_machine[18] = 0xf3;
    let mut noise = large().bytes();
    noise[16..4000].fill(0xa5);
    let mut zeros = large().bytes();
    let middle = zeros.len() / 2;
    zeros[64..middle].fill(0);
    let undefined = guest("int nowhere_to_be_found(void);", "return nowhere_to_be_found();");
    let gone = tempfile::tempdir().unwrap();
    let library = gone.path().join("libgone.so");
    reloader_tests::write(&library, &Build::c("int x;").flag("-Wl,-soname,libgone.so").bytes());
    let needs = counter(0).flag("-Wl,--no-as-needed").library(&library).bytes();
    let cases: [(&str, Vec<u8>); 7] = [
        ("a library that is missing", needs),
        ("text", b"this is no library\n".repeat(99)),
        ("another machine's", wrong_machine),
        ("noise", noise),
        ("zeros in the middle", zeros),
        ("an undefined symbol", undefined.flag("-Wl,-z,now").bytes()),
        ("no cr_main", Build::c("int x;").bytes()),
    ];
    for (what, bytes) in cases {
        let script = Script::new(&counter(100)).update(1).put_bytes(&bytes).update(4);
        let script = script.put(&counter(200)).update(1).and("close");
        let lines = script.updates(&host(""));
        let values: Vec<_> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(values, ["101", "102", "103", "104", "105", "206"], "{what}: {lines:?}");
        // What looks like a file that is not whole yet is waited for, and told of later.
        let told = if what == "zeros in the middle" { "102 1 0" } else { "102 1 8" };
        assert_eq!(lines[1], told, "{what}");
        assert_eq!(lines[3..5], ["104 1 0", "105 1 0"], "{what}: once");
        let left = std::fs::read_dir(script.temporary()).unwrap().count();
        assert_eq!(left, 0, "{what} leaves no file");
    }
}

#[test]
fn a_text_file_as_the_first_build_leaves_the_place_to_a_good_one() {
    let script = Script::empty();
    reloader_tests::write(&script.library(), b"not yet");
    let script = script.and("open").update(2).put(&counter(0)).update(1).and("close");
    let updates = script.updates(&host(""));
    assert_eq!(updates[2], "1 1 0");
    assert!(updates[..2].iter().all(|line| line.starts_with("-2 0 ")), "{updates:?}");
}

#[test]
fn a_build_that_is_gone_for_a_moment_or_empty_is_waited_for() {
    let script = Script::new(&counter(100)).update(1).and("remove").update(2);
    let script = script.put_bytes(b"").update(1).put(&counter(200)).update(1);
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 0", "103 1 0", "104 1 0", "205 2 0"]);
}

#[test]
fn without_section_headers_state_is_not_lost_in_silence() {
    let Some(objcopy) = tool("llvm-objcopy-19") else { return };
    let script = Script::empty();
    let (before, after) = (script.directory().join("before"), script.directory().join("after"));
    reloader_tests::write(&before, &counter(200).bytes());
    let mut strip = Command::new(objcopy.0);
    strip.args(["--strip-sections"]).arg(before).arg(&after);
    assert!(strip.status().unwrap().success());
    let bare = std::fs::read(after).unwrap();
    let script = Script::new(&counter(100)).update(1).put_bytes(&bare).update(2);
    let script = script.put(&counter(300)).update(1);
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 7", "103 1 0", "304 2 0"]);
}

#[test]
fn every_linker_and_a_section_of_ones_own_keep_the_state() {
    let own = "__attribute__((section(\"my_registry\"))) int entry = 5;\n";
    for linker in ["bfd", "gold", "lld", "mold"] {
        if tool(&format!("ld.{linker}")).is_none() {
            continue;
        }
        let build = |base| counter(base).flag(format!("-fuse-ld={linker}")).more(own);
        let script = Script::new(&build(100)).update(2).put(&build(200)).update(1);
        let script = script.put(&build(300).flag("-s")).update(1).put(&build(400)).update(1);
        let larger = build(500)
            .flag("-s")
            .more("static int CR_STATE more[99];int *keep(void);int *keep(void) { return more; }");
        let script = script.put(&build(400).flag("-s")).update(1).put(&larger).update(1);
        let lines = script.and("close").updates(&host(""));
        assert_eq!(lines[..4], ["101 1 0", "102 1 0", "203 2 0", "304 3 0"], "{linker}");
        assert_eq!(lines[4..], ["405 4 0", "406 5 0", "407 5 7"], "{linker}");
    }
}
