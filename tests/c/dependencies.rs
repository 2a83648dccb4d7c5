//! Libraries beside the guest: rebuilding one of them counts as rebuilding the guest.

use std::path::Path;

use reloader_tests::{Build, write};

use crate::program::{Script, guest, host};

/// A library that counts how often it was called, in hundreds times `factor`.
fn library(factor: i32) -> Build {
    Build::c(format!("static int calls; int called(void) {{ return {factor} * 100 + ++calls; }}"))
        .flag("-Wl,-soname,libbeside.so")
}

fn dependent(beside: &Path, body: &str) -> Build {
    guest("static int CR_STATE count = 0; int called(void);", body)
        .flag("-Wl,-rpath,$ORIGIN")
        .library(beside)
}

const BODY: &str = "if (operation != CR_STEP) return 0; return ++count * 10000 + called();";

/// A script with the library in place, and builds of it that may follow.
fn script(body: &str) -> Script {
    let script = Script::empty();
    let beside = script.directory().join("libbeside.so");
    write(&beside, &library(1).bytes());
    for factor in 2..5 {
        write(&script.directory().join(format!("beside{factor}")), &library(factor).bytes());
    }
    write(&script.directory().join("noise"), b"no library");
    let half = library(2).bytes();
    write(&script.directory().join("half"), &half[..half.len() / 2]);
    write(&script.library(), &dependent(&beside, body).bytes());
    script.and("open")
}

#[test]
fn a_rebuilt_library_beside_the_guest_is_a_new_build_of_it() {
    let script = script(BODY).update(2);
    let again = dependent(&script.directory().join("libbeside.so"), &format!("{BODY} /* 2 */"));
    let script = script.and("rename:beside2=libbeside.so").update(2);
    // The guest alone is rebuilt: the library is the same, with its variables.
    let script = script.put(&again).update(1).and("rename:beside3=libbeside.so").update(1);
    assert_eq!(
        script.and("close").updates(&host("")),
        ["10101 1 0", "20102 1 0", "30201 2 0", "40202 2 0", "50203 3 0", "60301 4 0"]
    );
}

#[test]
fn a_library_that_is_not_whole_is_waited_for() {
    let script = script(BODY).update(1).and("rename:half=libbeside.so").update(3);
    let script = script.and("rename:noise=libbeside.so").update(2);
    let script = script.and("rename:beside4=libbeside.so").and("until:2").update(1).and("close");
    let lines = script.updates(&host(""));
    assert_eq!(lines[..4], ["10101 1 0", "20102 1 0", "30103 1 0", "40104 1 0"]);
    assert!(lines[6].contains("402 2 0"), "{lines:?}");
}

#[test]
fn a_version_that_fails_goes_back_to_the_library_it_was_built_with() {
    let body = "if (operation != CR_STEP) return 0; int it = called(); if (it / 100 == 2) abort(); return it;";
    let script = script(body).update(1).and("rename:beside2=libbeside.so").update(2);
    let script = script.and("rename:beside3=libbeside.so").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["101 1 0", "-1 1 3", "102 1 0", "301 3 0"]);
}

#[test]
fn a_library_of_the_hosts_own_is_not_exchanged() {
    let script = script(BODY);
    let source = "extern \"C\" int called();\nint keep();\nint keep() { return called(); }\n";
    let beside = script.directory().join("libbeside.so");
    let host = host("").source("keep.cpp", source);
    let host = host.flag("-Wl,--no-as-needed").flag(beside.to_str().unwrap()).flag("-Wl,-rpath,.");
    let script = script.update(1).and("rename:beside2=libbeside.so").update(2).and("close");
    assert_eq!(script.updates(&host), ["10101 1 0", "20102 1 0", "30103 1 0"]);
}

#[test]
fn a_library_beside_the_guest_is_found_from_any_temporary_path() {
    let script = script(BODY);
    let place = script.directory().join("elsewhere");
    std::fs::create_dir(&place).unwrap();
    let script = script.and(&format!("temporary:{}", place.display())).update(1);
    let script = script.and("rename:beside2=libbeside.so").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["10101 1 0", "20201 2 0"]);
}

#[test]
fn a_library_without_a_name_of_its_own_is_found_beside_the_guest() {
    let nameless = |factor: i32| {
        Build::c(format!(
            "static int calls; int called(void) {{ return {factor} * 100 + ++calls; }}"
        ))
    };
    let script = Script::empty();
    let directory = script.directory();
    write(&directory.join("libnameless.so"), &nameless(1).bytes());
    write(&directory.join("nameless2"), &nameless(2).bytes());
    // Asked for by its name and not by the path it is linked by.
    let guest = |body: &str| {
        let search = format!("-L{}", directory.display());
        let guest = guest("static int CR_STATE count = 0; int called(void);", body);
        // Other variables of the loader stay in the path, and lead nowhere here.
        let path = "-Wl,--no-as-needed,-rpath,/opt/$LIB/x:/opt/../$ORIGIN/none:$ORIGIN";
        guest.flag(search).flag(path).flag("-lnameless")
    };
    write(&script.library(), &guest(BODY).bytes());
    let again = guest(&format!("{BODY} /* 2 */"));
    let script = script.and("open").update(2).put(&again).update(1);
    let script = script.and("rename:nameless2=libnameless.so").update(1).and("close");
    let lines = script.updates(&host(""));
    assert_eq!(lines, ["10101 1 0", "20102 1 0", "30103 2 0", "40201 3 0"]);
}

#[test]
fn a_rebuilt_library_that_another_beside_the_guest_needs_is_a_new_build_too() {
    for named in [true, false] {
        let script = Script::empty();
        let directory = script.directory();
        let search = format!("-L{}", directory.display());
        let linked = |build: Build, name: &str| {
            let build = build.flag(&search).flag("-Wl,--no-as-needed,-rpath,$ORIGIN");
            if named { build.flag(format!("-Wl,-soname,lib{name}.so")) } else { build }
        };
        let base = |number: i32| {
            linked(Build::c(format!("int base(void) {{ return {number}; }}")), "base")
        };
        write(&directory.join("libbase.so"), &base(10).bytes());
        for number in [50, 70] {
            write(&directory.join(format!("base{number}")), &base(number).bytes());
        }
        let middle = |more: i32| {
            let source = format!("int base(void); int value(void) {{ return base() + {more}; }}");
            linked(Build::c(source), "middle").flag("-lbase")
        };
        write(&directory.join("libmiddle.so"), &middle(1).bytes());
        write(&directory.join("middle2"), &middle(2).bytes());
        let body = "if (operation != CR_STEP) return 0; return ++count * 1000 + value();";
        let guest = guest("static int CR_STATE count = 0; int value(void);", body);
        let guest = guest.flag(&search).flag("-Wl,--no-as-needed,-rpath,$ORIGIN").flag("-lmiddle");
        write(&script.library(), &guest.bytes());
        let script = script.and("open").update(2).and("rename:base50=libbase.so").update(2);
        let script = script.and("rename:middle2=libmiddle.so").update(1);
        let script = script.and("rename:base70=libbase.so").update(1).and("close");
        assert_eq!(
            script.updates(&host("")),
            ["1011 1 0", "2011 1 0", "3051 2 0", "4051 2 0", "5052 3 0", "6072 4 0"]
        );
    }
}

/// As linkers write it with `--disable-new-dtags`, it holds for all that is loaded for the guest.
#[test]
fn a_search_path_of_the_old_sort_finds_what_the_libraries_need() {
    let script = Script::empty();
    let search = format!("-L{}", script.directory().display());
    let linked = |build: Build| {
        let paths = format!("-Wl,-rpath-link,{}", script.directory().display());
        build.flag(&search).flag("-Wl,--no-as-needed").flag(paths)
    };
    let base = |number: i32| linked(Build::c(format!("int base(void) {{ return {number}; }}")));
    write(&script.directory().join("libbase.so"), &base(10).bytes());
    write(&script.directory().join("base50"), &base(50).bytes());
    let middle = linked(Build::c("int base(void); int value(void) { return base() + 1; }"));
    write(&script.directory().join("libmiddle.so"), &middle.flag("-lbase").bytes());
    let body = "if (operation != CR_STEP) return 0; return ++count * 1000 + value();";
    let guest = guest("static int CR_STATE count = 0; int value(void);", body);
    let guest = linked(guest).flag("-Wl,--disable-new-dtags,-rpath,$ORIGIN").flag("-lmiddle");
    write(&script.library(), &guest.bytes());
    let script = script.and("open").update(2).put(&guest.more("/* 2 */")).update(1);
    let script = script.and("rename:base50=libbase.so").update(1).and("close");
    assert_eq!(script.updates(&host("")), ["1011 1 0", "2011 1 0", "3011 2 0", "4051 3 0"]);
}
