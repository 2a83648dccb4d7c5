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
    // Where its section headers begin, which stand at its end (ELF-64, `e_shoff`).
    let headers = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let (tenth, half) = (whole.len() / 10, whole.len() / 2);
    for cut in [0, 10, 64, tenth, half, tenth * 9, headers, headers - 1, whole.len() - 1] {
        let script = Script::new(&counter(100)).update(1).put_bytes(&whole[..cut]).update(3);
        let values: Vec<String> = script.put(&large()).update(1).and("close").updates(&host(""));
        let values: Vec<_> = values.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(values, ["101", "102", "103", "104", "5"], "cut at {cut}");
    }
}

#[test]
fn a_build_that_a_slow_linker_writes_is_loaded_when_it_is_whole() {
    let huge = counter(100).more("__asm__(\".section .rodata\\n.fill 30000000,1,90\\n.text\");\n");
    for how in ["slowly", "piecemeal"] {
        let script = Script::new(&counter(0)).update(1);
        reloader_tests::write(&script.directory().join("huge"), &huge.bytes());
        let script = script.and(&format!("{how}:huge")).and("until:2").update(1).and("close");
        let lines = script.run(&host(""));
        let last = lines.iter().position(|line| line == "until 2 0").unwrap();
        let updates: Vec<i32> = lines[1..last]
            .iter()
            .map(|line| line.strip_prefix("update ").unwrap().split(' ').next().unwrap())
            .map(|value| value.parse().unwrap())
            .collect();
        assert!(updates.is_sorted() && updates.len() > 40, "{how}: no step is lost: {updates:?}");
        // While the file grows the first version runs; only the last part makes a build of it.
        assert!(
            updates[..updates.len() - 1].iter().all(|&value| value < 100),
            "{how}: {updates:?}"
        );
        assert!(lines[last + 1].ends_with(" 2 0"), "{how}: {lines:?}");
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
    let mut hole = counter(0).bytes();
    let middle = hole.len() / 2;
    hole[middle - 2048..middle + 2048].fill(0);
    let undefined = guest("int nowhere_to_be_found(void);", "return nowhere_to_be_found();");
    let gone = tempfile::tempdir().unwrap();
    let library = gone.path().join("libgone.so");
    reloader_tests::write(&library, &Build::c("int x;").flag("-Wl,-soname,libgone.so").bytes());
    let needs = counter(0).flag("-Wl,--no-as-needed").library(&library).bytes();
    let cases: [(&str, Vec<u8>); 8] = [
        ("a library that is missing", needs),
        ("text", b"this is no library\n".repeat(99)),
        ("another machine's", wrong_machine),
        ("noise", noise),
        ("zeros in the middle", zeros),
        ("4 KB of zeros in the middle", hole),
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
        let told = if what.contains("zeros in the middle") { "102 1 0" } else { "102 1 8" };
        assert_eq!(lines[1], told, "{what}");
        assert_eq!(lines[3..5], ["104 1 0", "105 1 0"], "{what}: once");
        let left = std::fs::read_dir(script.temporary()).unwrap().count();
        assert_eq!(left, 0, "{what} leaves no file");
    }
}

#[test]
fn what_is_refused_again_and_again_is_not_kept() {
    let refused = |n| match n % 2 {
        0 => Build::c(format!("int x = {n};")),
        _ => counter(n)
            .more("static int CR_STATE more; int *keep(void); int *keep(void) { return &more; }"),
    };
    let script = Script::new(&counter(100)).update(1).and("mapped");
    let script = (0..50).fold(script, |script, n| script.put(&refused(n)).update(1));
    let script = script.and("mapped").and("close").and("mapped");
    let lines = script.run(&host("CR_SAFE"));
    let mapped: Vec<_> = lines.iter().filter(|line| line.starts_with("mapped")).collect();
    assert_eq!(mapped, ["mapped 1", "mapped 1", "mapped 0"]);
    let refused = lines.iter().filter(|line| line.ends_with(" 1 8") || line.ends_with(" 1 7"));
    assert_eq!(refused.count(), 50, "{lines:?}");
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
    let bare = |build: &Build| {
        let directory = tempfile::tempdir().unwrap();
        let after = directory.path().join("after");
        let mut strip = Command::new(&objcopy.0);
        strip.arg("--strip-sections").arg(build.path()).arg(&after);
        assert!(strip.status().unwrap().success());
        std::fs::read(after).unwrap()
    };
    let script = Script::new(&counter(100)).update(1).put_bytes(&bare(&counter(200))).update(2);
    let script = script.put(&counter(300)).update(1);
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 7", "103 1 0", "304 2 0"]);
    // At other addresses.
    let moved = counter(200).more("long far[40000] = { 1 };\n");
    let script = Script::new(&counter(100)).update(1).put_bytes(&bare(&moved)).update(2);
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 7", "103 1 0"]);
    // And where the first has none: it runs, and no other takes its place.
    let script = Script::empty();
    reloader_tests::write(&script.library(), &bare(&counter(100)));
    let script = script.and("open").update(1).put_bytes(&bare(&counter(200))).update(1);
    let script = script.put(&counter(300)).update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0", "102 1 7", "103 1 7"]);
}

#[test]
fn every_way_of_linking_keeps_the_state() {
    let ways: [&[&str]; 6] = [
        &["-O2", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"],
        &["-Wl,-z,pack-relative-relocs"],
        &["-fuse-ld=lld", "-Wl,-z,norelro"],
        &["-fuse-ld=mold", "-Wl,-z,norelro"],
        &["-Wl,-z,now,-z,relro"],
        &["clang", "-fuse-ld=bfd"],
    ];
    for flags in ways {
        let linker = flags.iter().find_map(|flag| flag.strip_prefix("-fuse-ld="));
        let (compiler, flags) = match flags.strip_prefix(&["clang"]) {
            Some(rest) => ("clang", rest),
            None => ("cc", flags),
        };
        let tools = [Some(compiler.to_owned()), linker.map(|linker| format!("ld.{linker}"))];
        if tools.iter().flatten().any(|name| tool(name).is_none()) {
            continue;
        }
        // With words for the loader to relocate.
        let words = "static int one, two; int *words[] = { &one, &two, &one };\n";
        let build = |base| {
            let build = counter(base).compiler(compiler).more(words);
            flags.iter().fold(build, |build, flag| build.flag(*flag))
        };
        let script = Script::new(&build(100)).update(2).put(&build(200)).update(2);
        let lines = script.put(&build(300)).update(1).and("close").updates(&host(""));
        assert_eq!(lines, ["101 1 0", "102 1 0", "203 2 0", "204 2 0", "305 3 0"], "{flags:?}");
    }
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

#[test]
fn of_a_stripped_guest_the_tagged_section_is_carried_as_it_is_and_nothing_else() {
    let build = |variables: &str| {
        let body = "if (operation == CR_STEP && ctx->version == 1) { a = 111; b = 222; }\n\
                    if (operation == CR_STEP) zero++; return a * 10000 + b * 10 + zero;";
        guest(&format!("{variables} static int zero;"), body)
            .flag("-s")
            .flag("-fno-toplevel-reorder")
    };
    let (a, b) = ("static int CR_STATE a = 1;", "static int CR_STATE b = 2;");
    let script = Script::new(&build(&format!("{a} {b}"))).update(2);
    let script = script.put(&build(&format!("{a} {b} /* again */"))).update(1);
    let script = script.put(&build(&format!("{b} {a}"))).update(1);
    let wanted = ["1112221 1 0", "1112222 1 0", "1112221 2 0", "2221111 3 0"];
    assert_eq!(script.updates(&host("")), wanted);
}

/// A name that is left tells nothing of what lies beside it.
#[test]
fn of_a_stripped_guest_that_exports_a_variable_the_others_are_carried_too() {
    let build = |more: &str| {
        let variables = format!("int CR_STATE a = 5; static int CR_STATE b = 7; {more}");
        let body = "if (operation == CR_STEP) { a++; b++; } return a * 100 + b;";
        guest(&variables, body).flag("-O2").flag("-s")
    };
    let larger =
        "static long CR_STATE c[3] = {1}; long *keep(void); long *keep(void) { return c; }";
    let script = Script::new(&build("")).update(2).put(&build("/* again */")).update(1);
    let script = script.put(&build(larger)).update(1);
    let lines = script.updates(&host(""));
    assert_eq!(lines[..3], ["608 1 0", "709 1 0", "810 2 0"]);
    assert_eq!(lines[3], "911 2 7", "CR_STATE_INVALIDATED");
}

/// glibc has room for some hundred bytes of such variables, and never again for those of the
/// versions that are gone.
#[test]
fn thread_local_variables_that_the_loader_has_no_more_room_for_are_refused_with_the_cure() {
    let own = "static __thread int own[64] __attribute__((tls_model(\"initial-exec\"))) = {7};";
    let build = guest(
        &format!("static int CR_STATE count = 0; {own}"),
        "if (operation == CR_STEP) count += own[0]; return count;",
    );
    let script = (0..20).fold(Script::new(&build), |script, _| script.and("touch").update(1));
    let program = host("").flag("-DCR_ERROR=printf").path();
    let run = |tunables: &str| {
        let mut command = script.command(&program);
        let output = command.env("GLIBC_TUNABLES", tunables).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run("");
    let refusals = said.lines().filter(|line| line.contains("is refused")).count();
    let cured = said.lines().filter(|line| line.contains("optional_static_tls")).count();
    assert!(refusals > 0 && refusals == cured, "{said}");
    // What runs, runs on.
    let last = said.lines().rfind(|line| line.starts_with("update ")).unwrap();
    assert!(last.starts_with("update 140 "), "{said}");
    let said = run("glibc.rtld.optional_static_tls=1048576");
    assert!(said.lines().any(|line| line == "update 140 20 0"), "{said}");
}
