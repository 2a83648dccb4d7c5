//! Guests in C++: what the language constructs and destroys, left alone and carried over.

use reloader::{Event, Memory, Plugin, Step};
use reloader_tests::{Bench, Build, PEN, Paper, Seen, apart};

/// A C++ guest with `globals`, which does `step`. A fault in `globals` is one of the guest's own.
fn guest(globals: &str, step: &str) -> Build {
    Build::cxx(format!(
        r#"{PEN}
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>
{globals}
CR_EXPORT int cr_main(cr_plugin *ctx, cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}
"#
    ))
}

fn elsewhere(size: usize) -> String {
    format!("char front_of_all[{size}] = {{1}}; char zeros_of_all[{size}];")
}

fn step(plugin: &mut Plugin, paper: &Paper) -> String {
    assert_eq!(plugin.step(), Step::Ran(0));
    paper.take()
}

/// What went wrong. An image that stays for a while because a stale word on the heap leads there is
/// not: the search takes each word for a pointer that may be one.
fn faults(seen: &Seen) -> Vec<String> {
    seen.take()
        .into_iter()
        .filter_map(|event| match event {
            Event::Fault(failure) => Some(failure.to_string()),
            Event::Retired { memory: Memory::Referenced { .. }, .. } => None,
            Event::Retired { memory, .. } if memory != Memory::Unmapped => Some(memory.to_string()),
            _ => None,
        })
        .collect()
}

/// Runs a body in a process whose allocator overwrites what is freed, so that a use after it shows.
fn with_freed_memory_overwritten(test: &str, body: impl FnOnce()) {
    match reloader_tests::alone(test) {
        Some(mut command) => {
            command.env("GLIBC_TUNABLES", "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0");
            drop(reloader_tests::pass(command));
        }
        None => body(),
    }
}

/// Containers of all sorts; `word` goes in front of each.
fn containers(word: &str) -> String {
    format!(
        r#"
static {word} std::vector<int> numbers;
static {word} std::map<int, std::string> names;
static {word} std::unordered_map<std::string, int> ages;
static {word} std::string brief;
static {word} std::string lengthy;
static {word} std::list<int> chain;
static {word} std::shared_ptr<std::vector<std::string>> shared;
static std::vector<int> &inside() {{ static {word} std::vector<int> kept; return kept; }}
void fill() {{ {FILL} }}
void grow() {{ {GROW} }}
"#
    )
}

const FILL: &str = r#"
for (int i = 0; i < 1000; i++) numbers.push_back(i);
for (int i = 0; i < 20; i++) names[i] = "name " + std::to_string(i) + std::string(i, '.');
for (int i = 0; i < 200; i++) ages["somebody called " + std::to_string(i)] = i;
brief = "brief"; lengthy = std::string(100, 'x');
for (int i = 0; i < 5; i++) chain.push_back(i);
shared = std::make_shared<std::vector<std::string>>(3, "a string that is too long for the short form");
inside().assign(10, 7);
"#;
const GROW: &str = r#"
numbers.push_back(1); names[100 + (int)names.size()] = "more"; ages["n" + std::to_string(ages.size())] = 1;
brief += "!"; lengthy += std::string(50, 'y'); chain.push_back(1); shared->push_back("s"); inside().push_back(1);
"#;
const SHOW: &str = r#"{
long sum = 0; for (int n : numbers) sum += n;
long letters = 0; for (auto &pair : names) letters += (long)pair.second.size();
long years = 0; for (auto &pair : ages) years += pair.second + ages.at(pair.first);
long links = 0; for (int n : chain) links += n;
say("%ld %zu %ld %zu %ld %s %zu %ld %zu %zu;", sum, names.size(), letters, ages.size(), years, brief.c_str(),
    lengthy.size(), links, shared ? shared->size() : 0, inside().size());
}"#;
const FILLED: &str = "499500 20 320 200 39800 brief 100 10 3 10;";
const EMPTY: &str = "0 0 0 0 0  0 0 0 0;";

#[test]
fn containers_that_are_no_state_are_fresh_and_destroyed_once() {
    let test = "cxx::containers_that_are_no_state_are_fresh_and_destroyed_once";
    with_freed_memory_overwritten(test, || {
        for history in [0, 3] {
            let paper = Paper::new();
            let build = |size| {
                let globals = format!("{} {}", elsewhere(size), containers(""));
                guest(&globals, &format!("{SHOW} fill(); {SHOW}"))
            };
            let bench = Bench::with(&build(10));
            let (mut plugin, seen) = bench.open_with(|builder| builder.history(history));
            paper.give_to(&mut plugin);
            assert_eq!(step(&mut plugin, &paper), format!("{EMPTY}{FILLED}"));
            for size in [100, 10_000, 100_000, 1_000_000, 20] {
                bench.put(&build(size));
                assert_eq!(step(&mut plugin, &paper), format!("{EMPTY}{FILLED}"));
            }
            plugin.close();
            assert_eq!(bench.mappings(), Vec::<String>::new());
            assert_eq!(faults(&seen), Vec::<String>::new());
        }
    });
}

fn tagged(size: usize, step: &str) -> Build {
    guest(&format!("{} {}", elsewhere(size), containers("CR_STATE")), step)
}

#[test]
fn containers_that_are_state_keep_their_contents_across_reloads() {
    let test = "cxx::containers_that_are_state_keep_their_contents_across_reloads";
    with_freed_memory_overwritten(test, || {
        for history in [0, 3] {
            let paper = Paper::new();
            let bench = Bench::with(&tagged(10, &format!("fill(); {SHOW}")));
            let (mut plugin, seen) = bench.open_with(|builder| builder.history(history));
            paper.give_to(&mut plugin);
            assert_eq!(step(&mut plugin, &paper), FILLED);
            let grown = [
                "499501 21 324 201 39802 brief! 150 11 4 11;",
                "499502 22 328 202 39804 brief!! 200 12 5 12;",
                "499503 23 332 203 39806 brief!!! 250 13 6 13;",
                "499504 24 336 204 39808 brief!!!! 300 14 7 14;",
                "499505 25 340 205 39810 brief!!!!! 350 15 8 15;",
            ];
            for (size, expected) in [100, 10_000, 100_000, 1_000_000, 20].into_iter().zip(grown) {
                bench.put(&tagged(size, &format!("grow(); {SHOW}")));
                assert_eq!(step(&mut plugin, &paper), expected, "history {history}");
            }
            plugin.close();
            assert_eq!(bench.mappings(), Vec::<String>::new());
            assert_eq!(faults(&seen), Vec::<String>::new(), "history {history}");
        }
    });
}

/// The crash comes before the new version has changed anything: what it changes of the heap stays
/// changed.
#[test]
fn containers_that_are_state_survive_a_crash_and_the_next_build() {
    let test = "cxx::containers_that_are_state_survive_a_crash_and_the_next_build";
    with_freed_memory_overwritten(test, || {
        let paper = Paper::new();
        let bench = Bench::with(&tagged(10, &format!("if (numbers.empty()) {{ fill(); }} {SHOW}")));
        let (mut plugin, seen) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), FILLED);
        for (size, crash) in [
            (1_000, "abort();"),
            (100_000, "*(volatile int *)8 = 1;"),
            (500, "throw std::runtime_error(\"out\");"),
        ] {
            seen.forget();
            bench.put(&tagged(size, &format!("{SHOW} {crash}")));
            assert!(matches!(plugin.step(), Step::Failed(_)));
            assert_eq!(paper.take(), FILLED);
            assert_eq!(plugin.version(), Some(1));
            assert_eq!(step(&mut plugin, &paper), FILLED);
            let faults = faults(&seen);
            assert_eq!(faults.len(), 1, "{faults:?}");
        }
        bench.put(&tagged(50_000, &format!("grow(); {SHOW}")));
        assert_eq!(step(&mut plugin, &paper), "499501 21 324 201 39802 brief! 150 11 4 11;");
        plugin.close();
        assert_eq!(bench.mappings(), Vec::<String>::new());
        assert_eq!(faults(&seen), Vec::<String>::new());
    });
}

#[test]
fn containers_that_are_state_survive_going_back_and_forth_and_are_destroyed_once() {
    let test = "cxx::containers_that_are_state_survive_going_back_and_forth_and_are_destroyed_once";
    with_freed_memory_overwritten(test, || {
        for last in [1, 2, 3] {
            let paper = Paper::new();
            let build = |size| tagged(size, &format!("if (numbers.empty()) {{ fill(); }} {SHOW}"));
            let bench = Bench::with(&build(10));
            let (mut plugin, seen) = bench.open();
            paper.give_to(&mut plugin);
            assert_eq!(step(&mut plugin, &paper), FILLED);
            for size in [1_000, 100_000] {
                bench.put(&build(size));
                assert_eq!(step(&mut plugin, &paper), FILLED);
            }
            for version in [1, 2, 1, 3, 2] {
                plugin.roll_back_to(version).unwrap();
                assert_eq!(step(&mut plugin, &paper), FILLED);
            }
            if plugin.version() != Some(last) {
                plugin.roll_back_to(last).unwrap();
                assert_eq!(step(&mut plugin, &paper), FILLED);
            }
            // Versions go one by one as new ones come, and the rest at the end.
            for size in [2_000, 3_000, 4_000] {
                bench.put(&build(size));
                assert_eq!(step(&mut plugin, &paper), FILLED);
            }
            plugin.close();
            assert_eq!(bench.mappings(), Vec::<String>::new());
            assert_eq!(faults(&seen), Vec::<String>::new());
        }
    });
}

#[test]
fn containers_are_carried_as_untagged_zeros_too() {
    let test = "cxx::containers_are_carried_as_untagged_zeros_too";
    with_freed_memory_overwritten(test, || {
        let paper = Paper::new();
        let build = |size, step: &str| {
            guest(&format!("char front_of_all[{size}] = {{1}}; {}", containers("")), step)
        };
        let bench = Bench::with(&build(10, &format!("fill(); {SHOW}")));
        let (mut plugin, seen) = bench.open_with(|builder| builder.untagged_bss(true).history(1));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), FILLED);
        for size in [100, 100_000, 1_000, 10] {
            bench.put(&build(size, SHOW));
            assert_eq!(step(&mut plugin, &paper), FILLED);
        }
        bench.put(&build(20, &format!("grow(); {SHOW}")));
        assert_eq!(step(&mut plugin, &paper), "499501 21 324 201 39802 brief! 150 11 4 11;");
        plugin.close();
        assert_eq!(bench.mappings(), Vec::<String>::new());
        assert_eq!(faults(&seen), Vec::<String>::new());
    });
}

#[test]
fn where_a_build_has_functions_for_its_end_untagged_zeros_start_fresh_if_asked() {
    apart(|| {
        let plain = "static int count;";
        let destructor = "static int *numbers;
        __attribute__((destructor)) static void last() { free(numbers); }
        __attribute__((constructor)) static void first() { numbers = (int *)calloc(1, 64); }
        static int count;";
        let object = "static std::vector<int> numbers; static int count;";
        let count = "say(\"%d\", ++count);";
        let c = |globals: &str, number| {
            let text = format!("{PEN}\n#include <stdlib.h>\nint number = {number};\n{globals}");
            let body =
                format!("paper = (struct paper *)ctx->userdata; if (op == CR_STEP) {{ {count} }}");
            let main = "CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op op)";
            Build::c(format!("{text}\n{main} {{ {body} return 0; }}"))
        };
        let cxx = |globals: &str, number| {
            let globals = format!("int number = {number}; {globals}");
            guest(
                &globals,
                &format!("numbers.push_back(1); {count} say(\" %zu\", numbers.size());"),
            )
            .flag("-fno-use-cxa-atexit")
        };
        let reloaded = |build: &dyn Fn(i32) -> Build, fresh| {
            let paper = Paper::new();
            let bench = Bench::with(&build(1));
            let (mut plugin, seen) = bench
                .open_with(|builder| builder.untagged_bss(true).fresh_objects(fresh).history(0));
            paper.give_to(&mut plugin);
            let first = step(&mut plugin, &paper);
            bench.put(&build(2));
            let second = step(&mut plugin, &paper);
            plugin.close();
            assert_eq!(faults(&seen), Vec::<String>::new());
            (first, second)
        };
        let said = |first: &str, second: &str| (first.to_owned(), second.to_owned());
        assert_eq!(reloaded(&|n| c(plain, n), true), said("1", "2"));
        assert_eq!(reloaded(&|n| c(plain, n).flag("-s"), true), said("1", "1"), "it has no names");
        assert_eq!(reloaded(&|n| c(destructor, n), true), said("1", "1"));
        assert_eq!(reloaded(&|n| cxx(object, n), true), said("1 1", "1 1"));
        let end = |n| c(plain, n).more("void over(void) {}").flag("-Wl,-fini=over");
        assert_eq!(reloaded(&end, true), said("1", "1"));
        assert_eq!(reloaded(&end, false), said("1", "2"));
    });
}

#[test]
fn variables_of_blocks_and_lambdas_are_refused_rather_than_swapped_once_one_is_put_in_front() {
    let block = |value| format!("{{ static int CR_STATE c = {value}; say(\" %d\", ++c); }}");
    let lambda = |value| format!("[] {{ static int CR_STATE c = {value}; say(\" %d\", ++c); }}();");
    let silent = "[] { static int other; other++; }();".to_owned();
    let two = |one: &dyn Fn(i32) -> String| one(100) + &one(200);
    let build = |number, body: String| guest(&format!("int number = {number};"), &body);
    for (before, after, said, refused) in [
        (two(&block), block(900) + &two(&block), " 901 101 201", 2),
        (two(&lambda), lambda(900) + &two(&lambda), " 901 101 201", 2),
        (two(&lambda), silent + &two(&lambda), " 101 201", 2),
        (block(900) + &two(&block), two(&block), " 101 201", 3),
        (two(&block) + &two(&lambda), two(&block) + &two(&lambda), " 102 202 102 202", 0),
    ] {
        let paper = Paper::new();
        let bench = Bench::with(&build(1, before));
        let (mut plugin, seen) = bench.open();
        paper.give_to(&mut plugin);
        drop(step(&mut plugin, &paper));
        bench.put(&build(2, after));
        assert_eq!(step(&mut plugin, &paper), said);
        let reports: Vec<usize> = seen
            .take()
            .into_iter()
            .filter_map(|event| match event {
                Event::Reloaded { state, .. } => Some(state.refused.len()),
                _ => None,
            })
            .collect();
        assert_eq!(reports, [refused]);
    }
}

/// Says when it is constructed and destroyed, once the paper is there.
const LOUD: &str = r#"
struct Loud {
    const char *name; int *alive;
    Loud(const char *name) : name(name), alive(new int(1)) {}
    ~Loud() { say("-%s%s%d ", name, *alive == 1 ? "" : "(again)", BUILD); *alive = 0; }
};
static struct AtTheEnd { ~AtTheEnd() { say("end%d ", BUILD); } } at_the_end;
"#;

fn loud(build: i32, globals: &str, step: &str) -> Build {
    guest(&format!("#define BUILD {build}\n{LOUD} {globals}"), step)
}

#[test]
fn destructors_run_when_their_version_goes_and_those_of_carried_objects_with_the_last() {
    apart(|| {
        let globals = r#"static Loud plain("plain"); static CR_STATE Loud carried("carried");
            static Loud &function() { static Loud inner("inner"); return inner; }
            static void __attribute__((destructor)) last() { say("fini%d ", BUILD); }
            static void at_exit() { say("atexit%d ", BUILD); }
            static bool registered = atexit(at_exit) == 0;"#;
        let build = |number| loud(number, globals, r#"function(); say("step%d ", BUILD);"#);
        let paper = Paper::new();
        let bench = Bench::with(&build(1));
        let (mut plugin, _) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "step1 ");
        bench.put(&build(2));
        // What the new version had constructed is destroyed before the old content comes in; the
        // rest in reverse order.
        assert_eq!(step(&mut plugin, &paper), "-inner1 atexit1 -plain1 end1 fini1 step2 ");
        bench.put(&build(3));
        let said = step(&mut plugin, &paper);
        assert!(said.ends_with("-inner2 atexit2 -plain2 end2 fini2 step3 "), "{said}");
        plugin.close();
        assert_eq!(paper.take(), "-inner3 atexit3 -carried3 -plain3 end3 fini3 ");
    });
}

#[test]
fn a_version_of_the_history_is_destroyed_when_it_leaves_it() {
    apart(|| {
        let build =
            |number| loud(number, r#"static Loud plain("plain");"#, r#"say("step%d ", BUILD);"#);
        let paper = Paper::new();
        let bench = Bench::with(&build(1));
        let (mut plugin, _) = bench.open_with(|builder| builder.history(2));
        paper.give_to(&mut plugin);
        for (number, expected) in
            [(1, "step1 "), (2, "step2 "), (3, "step3 "), (4, "-plain1 end1 step4 ")]
        {
            bench.put(&build(number));
            assert_eq!(step(&mut plugin, &paper), expected);
        }
        plugin.close();
        assert_eq!(paper.take(), "-plain2 end2 -plain3 end3 -plain4 end4 ");
    });
}

#[test]
fn a_version_that_crashed_is_not_destroyed() {
    apart(|| {
        let paper = Paper::new();
        let globals = r#"static Loud plain("plain"); static CR_STATE Loud carried("carried");"#;
        let bench = Bench::with(&loud(1, globals, r#"say("step1 ");"#));
        let (mut plugin, _) = bench.open();
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "step1 ");
        bench.put(&loud(2, globals, r#"say("step2 "); abort();"#));
        assert!(matches!(plugin.step(), Step::Failed(_)));
        let said = paper.take();
        assert!(said.ends_with("step2 "), "{said}");
        assert_eq!(step(&mut plugin, &paper), "step1 ");
        plugin.close();
        assert_eq!(paper.take(), "-carried1 -plain1 end1 ");
    });
}

#[test]
fn a_static_of_a_function_that_is_state_is_constructed_once() {
    apart(|| {
        let build = |number| {
            guest(
                &format!(
                    r#"static std::vector<int> &kept() {{ static CR_STATE std::vector<int> kept = {{{number}, 1, 2}}; return kept; }}"#
                ),
                r#"kept().push_back(9); say("%d %zu", kept()[0], kept().size());"#,
            )
        };
        let paper = Paper::new();
        let bench = Bench::with(&build(1));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "1 4");
        for (number, expected) in [(2, "1 5"), (3, "1 6"), (4, "1 7")] {
            bench.put(&build(number));
            assert_eq!(step(&mut plugin, &paper), expected);
        }
        plugin.close();
        assert_eq!(bench.mappings(), Vec::<String>::new());
        assert_eq!(faults(&seen), Vec::<String>::new());
    });
}

#[test]
fn a_static_of_a_function_that_was_never_called_is_constructed_when_it_is() {
    apart(|| {
        let build = |step| {
            guest(
                r#"static std::string &kept() { static CR_STATE std::string kept = "constructed"; return kept; }
                   void *use = (void *)kept;"#,
                step,
            )
        };
        let paper = Paper::new();
        let bench = Bench::with(&build(r#"say("not yet");"#));
        let (mut plugin, _) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "not yet");
        bench.put(&build(r#"say("%s", kept().c_str());"#));
        assert_eq!(step(&mut plugin, &paper), "constructed");
    });
}

#[test]
fn inline_and_template_statics_belong_to_their_version_unless_they_are_state() {
    apart(|| {
        let build = |number: i32| {
            guest(
                &format!(
                    r#"
inline int fresh = {number};
inline CR_STATE int kept = {number};
template <class T> struct Holder {{ static int fresh; }};
template <class T> int Holder<T>::fresh = {number};"#
                ),
                r#"say("%d %d %d", fresh++, kept++, Holder<int>::fresh++);"#,
            )
        };
        let paper = Paper::new();
        let bench = Bench::with(&build(10));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        assert_eq!(step(&mut plugin, &paper), "10 10 10");
        for (number, expected) in [(20, "20 11 20"), (30, "30 12 30")] {
            bench.put(&build(number));
            assert_eq!(step(&mut plugin, &paper), expected);
        }
        plugin.close();
        assert_eq!(bench.mappings(), Vec::<String>::new());
        assert_eq!(faults(&seen), Vec::<String>::new());
    });
}

#[test]
fn thread_local_objects_of_the_stepping_thread_are_destroyed_once_with_their_version() {
    apart(|| {
        let build = |number| {
            loud(
                number,
                r#"static thread_local Loud local("local"); static __thread int plain = 5;"#,
                r#"say("%s%d ", local.name, plain++);"#,
            )
        };
        let paper = Paper::new();
        let bench = Bench::with(&build(1));
        let paper = std::thread::spawn(move || {
            let (mut plugin, _) = bench.open_with(|builder| builder.history(0));
            paper.give_to(&mut plugin);
            assert_eq!(step(&mut plugin, &paper), "local5 ");
            assert_eq!(step(&mut plugin, &paper), "local6 ");
            bench.put(&build(2));
            // Its own thread's objects go with a version.
            assert_eq!(step(&mut plugin, &paper), "-local1 end1 local5 ");
            plugin.close();
            paper
        })
        .join()
        .unwrap();
        assert_eq!(paper.take(), "-local2 end2 ");
    });
}

#[test]
fn exceptions_inside_and_streams_work_in_every_version() {
    apart(|| {
        let build = |number: i32, size| {
            guest(
                &format!(
                    r#"{} struct Error : std::runtime_error {{ using runtime_error::runtime_error; }};
                    static void fail() {{ throw Error("caught in {number}"); }}"#,
                    elsewhere(size)
                ),
                r#"std::cout << "" << std::flush;
                   try { fail(); } catch (const std::exception &error) { say("%s", error.what()); }
                   try { std::vector<int>().at(5); } catch (const std::out_of_range &) { say(" out"); }"#,
            )
        };
        let paper = Paper::new();
        let bench = Bench::with(&build(1, 10));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        paper.give_to(&mut plugin);
        for (number, size) in [(1, 10), (2, 100_000), (3, 1_000), (4, 1)] {
            bench.put(&build(number, size));
            assert_eq!(step(&mut plugin, &paper), format!("caught in {number} out"));
        }
        plugin.close();
        assert_eq!(bench.mappings(), Vec::<String>::new());
        assert_eq!(faults(&seen), Vec::<String>::new());
    });
}

/// Containers that grow leave memory behind that is full of old pointers, and other owners' memory
/// hangs on those.
#[test]
#[allow(unsafe_code, reason = "the address of a symbol is asked for")]
fn containers_that_grow_do_not_lead_the_search_to_the_hosts_own_numbers() {
    apart(|| {
        let build = |size: usize| {
            Build::cxx(format!(
                r#"#include "reloader_guest.h"
#include <string>
#include <vector>
static CR_STATE std::string text = "abc";
static CR_STATE std::vector<int> numbers;
char front[{size}] = {{1}};
CR_EXPORT int cr_main(cr_plugin *, cr_op operation) {{
    if (operation == CR_STEP) {{ text += "x"; numbers.push_back(1); }}
    return text.size() == 3 + numbers.size() ? (int)numbers.size() : -1;
}}"#
            ))
        };
        let builds = [build(10), build(20_000)];
        for history in [0, 3] {
            let bench = Bench::with(&builds[0]);
            let (mut plugin, seen) = bench.open_with(|builder| builder.history(history));
            let mut log: Vec<(usize, Box<[usize; 4]>)> = Vec::new();
            for round in 1..=200 {
                bench.put(&builds[round % 2]);
                assert_eq!(plugin.step(), Step::Ran(i32::try_from(round).unwrap()));
                // SAFETY: the address is only looked at.
                let main = *unsafe { plugin.symbol::<*const u8>("cr_main") }.unwrap();
                log.push((!main.addr(), Box::new([main.addr(); 4])));
            }
            for (inverted, numbers) in &log {
                assert!(
                    numbers.iter().all(|number| *number == !inverted),
                    "a number of the host's was changed"
                );
            }
            plugin.close();
            assert_eq!(faults(&seen), Vec::<String>::new());
        }
    });
}
