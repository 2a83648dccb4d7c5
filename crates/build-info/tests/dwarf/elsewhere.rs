//! Debug information that is not in the image: split, packed, stripped off, shared.

use build_info::{Flag, Nearby, Questions};

use crate::workshop::{Workshop, files, read, unit};

#[test]
fn split_units_say_what_whole_ones_do() {
    let workshop = Workshop::new();
    for compiler in ["g++", "clang++-14", "clang++-19"] {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let Some(image) = workshop.build(compiler, version, "") else { continue };
            let whole = read(&image);
            let options = format!("{version} -gsplit-dwarf");
            workshop.build(compiler, &options, version).expect("the compiler is there");
            let split = read(&image);
            let told = format!("{compiler} {version}");
            assert_eq!(split.remarks, [""; 0], "{told}");
            assert_eq!(split.units.len(), whole.units.len());
            for (number, (split_unit, unit)) in split.units.iter().zip(&whole.units).enumerate() {
                assert!(split_unit.flags.contains(&Flag::SplitDebugInfo));
                assert_eq!(split_unit.source, unit.source, "{told}");
                assert_eq!(split_unit.cwd, unit.cwd, "{told}");
                assert_eq!(split_unit.language, unit.language, "{told}");
                assert_eq!(split_unit.front_end, unit.front_end, "{told}");
                assert_eq!(split_unit.size, unit.size, "{told}");
                assert_eq!(files(&split, number), files(&whole, number), "{told}");
            }
            // A package of them says the same, and the files may go.
            // binutils' packer ends with a fault on version 5, and LLVM's does not end on GCC's.
            let packer = match (compiler, version) {
                (_, "-gdwarf-4") => "dwp",
                ("g++", _) => continue,
                _ => "llvm-dwp-19",
            };
            if workshop.run(&format!("{packer} -e image -o image.dwp")).is_some() {
                for object in ["main.dwo", "part.dwo", "plain.dwo"] {
                    std::fs::remove_file(workshop.at(object)).expect("a split file");
                }
                assert_eq!(read(&image), split, "{told}");
                std::fs::remove_file(workshop.at("image.dwp")).expect("a package");
                let without = read(&image);
                assert!(without.remarks.iter().any(|one| one.contains("main.dwo")), "{told}");
            }
        }
    }
}

#[test]
fn a_split_file_of_another_build_is_not_believed() {
    let workshop = Workshop::new();
    let options = "-g -gsplit-dwarf";
    if workshop.build("clang++-14", options, "").is_none() {
        return;
    }
    workshop.write("plain.c", "int plain(int x) { return x; }\nint more;\n");
    let stale = format!("clang++-14 {options} -O2 -Iinclude -c plain.c -o plain.o");
    workshop.run(&stale).expect("the compiler is there");
    let info = read(&workshop.at("image"));
    assert!(info.remarks.iter().any(|one| one.ends_with("plain.dwo is of another build")));
    assert!(info.remarks.iter().any(|one| one.contains("not found: plain.dwo")));
}

#[test]
fn stripped_debug_information_is_found_as_debuggers_find_it() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-g", "-Wl,--build-id") else { return };
    let whole = read(&image);
    std::fs::copy(&image, workshop.at("whole")).expect("a copy");
    let run = |words: &str| workshop.run(words).expect("the tools are there");
    run("objcopy --only-keep-debug image image.debug");
    run("strip image");
    let without = build_info::open(&image, &Questions::ALL).expect("an image");
    assert!(without.units.iter().all(|unit| unit.flags.contains(&Flag::NoDebugInfo)));

    // By a link, beside the image and in the directory for it.
    run("objcopy --add-gnu-debuglink=image.debug image");
    assert_eq!(read(&image), whole);
    std::fs::create_dir(workshop.at(".debug")).expect("a directory");
    std::fs::rename(workshop.at("image.debug"), workshop.at(".debug/image.debug")).expect("a move");
    assert_eq!(read(&image), whole);

    // By build-id.
    let Some(build_info::Identity::BuildId(id)) = &whole.identity else { panic!("a build-id") };
    let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let place = format!("debug/.build-id/{}/{}.debug", &digits[..2], &digits[2..]);
    workshop.write(&place, "");
    std::fs::rename(workshop.at(".debug/image.debug"), workshop.at(&place)).expect("a move");
    let nearby = Nearby::of(&image).debug_directory(workshop.at("debug"));
    let file = std::fs::File::open(&image).expect("an image");
    let info = build_info::read_with(&file, &Questions::ALL, &nearby).expect("an image");
    assert_eq!(info, whole);
    let bytes = std::fs::read(&image).expect("an image");
    let stripped = build_info::elf::symbol(&bytes, "plain").expect("symbols");
    let found = build_info::elf::symbol_with(&bytes, "plain", &nearby).expect("symbols");
    assert_eq!((stripped.len(), found.len()), (0, 1));

    // What is of another build is not believed, whichever way it is told.
    std::fs::copy(workshop.at(&place), workshop.at("image.debug")).expect("a copy");
    run("objcopy --remove-section=.note.gnu.build-id image");
    assert_eq!(read(&image).units, whole.units);
    let mut other = std::fs::read(workshop.at("image.debug")).expect("debug information");
    *other.last_mut().expect("a byte") ^= 1;
    std::fs::write(workshop.at("image.debug"), other).expect("a file");
    let info = read(&image);
    assert!(info.remarks.iter().any(|one| one.ends_with("image.debug is of another build")));
    assert!(info.remarks.iter().any(|one| one.contains("that is not found")));
}

#[test]
fn what_dwz_takes_out_is_put_back() {
    let workshop = Workshop::new();
    for options in ["", "-5"] {
        let Some(image) = workshop.build("g++", "-g -O1", "") else { return };
        let whole = read(&image);
        std::fs::copy(&image, workshop.at("twin")).expect("a copy");
        if workshop.run(&format!("dwz {options} -m common.dwz image twin")).is_none() {
            return;
        }
        let shared = read(&image);
        assert_eq!(shared.remarks, [""; 0]);
        assert_eq!(shared, whole);
        std::fs::remove_file(workshop.at("common.dwz")).expect("what is shared");
        let without = read(&image);
        assert!(without.remarks[0].contains("common.dwz"), "{:?}", without.remarks);
        assert_eq!(without.units.len(), whole.units.len());
        assert_eq!(without.units[unit(&without, "main.cc")].size, whole.units[0].size);
    }
}

#[test]
fn an_object_that_is_not_linked_is_called_one() {
    let workshop = Workshop::new();
    if workshop.build("g++", "-g", "").is_none() {
        return;
    }
    let object = std::fs::read(workshop.at("plain.o")).expect("an object");
    let error = build_info::read(&object, &Questions::ALL).expect_err("an object");
    assert!(error.to_string().contains("not linked"), "{error}");
}

#[test]
fn what_is_no_file_is_not_opened() {
    let workshop = Workshop::new();
    if workshop.build("g++", "-g", "").is_none() || workshop.run("mkfifo image.debug").is_none() {
        return;
    }
    // Who opened the pipe would wait for somebody to write to it.
    workshop.run("objcopy --strip-debug image bare").expect("objcopy is there");
    std::fs::rename(workshop.at("image.debug"), workshop.at("pipe")).expect("a pipe");
    workshop.write("image.debug", "debug information");
    workshop.run("objcopy --add-gnu-debuglink=image.debug bare").expect("objcopy is there");
    std::fs::rename(workshop.at("pipe"), workshop.at("image.debug")).expect("a pipe");
    let info = read(&workshop.at("bare"));
    assert!(info.units.iter().all(|unit| unit.flags.contains(&Flag::NoDebugInfo)));
}

#[test]
fn a_packed_image_with_macros_names_all_files_to_whoever_asks_for_nothing_else() {
    let workshop = Workshop::new();
    let Some(image) = workshop.build("g++", "-g3 -gz", "-gz") else { return };
    let ask = |questions| build_info::open(&image, &questions).expect("an image");
    let (some, all) = (ask(Questions::FILES), ask(Questions::ALL));
    let main = unit(&all, "main.cc");
    assert_eq!(files(&some, unit(&some, "main.cc")), files(&all, main));
    assert!(files(&all, main).contains(&"macros.h"));
}

#[test]
fn sources_without_debug_information_beside_others_with_it_are_named() {
    let workshop = Workshop::new();
    workshop.write("a.c", "static int low = 1; int f(void) { return low++; }");
    workshop.write("b.c", "int f(void); int main(void) { return f(); }");
    if workshop.run("gcc -c a.c -o a.o").is_none() {
        return;
    }
    workshop.run("gcc -g -c b.c -o b.o");
    workshop.run("gcc a.o b.o -o app");
    let info = read(&workshop.at("app"));
    assert_eq!(info.units.len(), 1);
    let remark = "not among the units, for want of debug information (-g): a.c";
    assert_eq!(info.remarks, [remark]);
    workshop.run("gcc -g a.c b.c -o all");
    assert_eq!(read(&workshop.at("all")).remarks, [""; 0]);
}
