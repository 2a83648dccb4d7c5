//! A thousand reloads: nothing of the host grows.

use std::fs;

use reloader::Step;
use reloader_tests::{Bench, Build, apart};

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    resident: usize,
    mappings: usize,
    descriptors: usize,
    threads: usize,
    copies: usize,
}

impl Holding {
    fn now(bench: &Bench) -> Self {
        // What the allocator keeps for later would hide what is lost, or look like it.
        #[cfg(target_env = "gnu")]
        #[allow(unsafe_code, reason = "the C library's own clean-up")]
        // SAFETY: it gives free memory back, nothing else.
        unsafe {
            libc::malloc_trim(0)
        };
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let resident: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            resident: resident * 4096,
            mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
            copies: bench.copies().len(),
        }
    }

    /// The allocator may keep some, a mapping may be split or merged, and an image may stay for a few
    /// reloads while a word that is left over leads into it; a leak of one of each reload shows.
    fn has_not_grown_since(self, before: Self, reloads: usize) {
        println!("{before:?} to {self:?} in {reloads} reloads");
        assert!(
            self.resident < before.resident + reloads * 1024,
            "{before:?} to {self:?} in {reloads} reloads"
        );
        assert!(self.mappings <= before.mappings + 32, "{before:?} to {self:?}");
        assert_eq!(self.descriptors, before.descriptors);
        assert_eq!(self.threads, before.threads);
        assert!(self.copies <= before.copies + 4, "{before:?} to {self:?}");
    }
}

fn c(build: i32, size: usize, step: &str) -> Build {
    Build::c(format!(
        r#"#include "reloader_guest.h"
#include <stdlib.h>
static int CR_STATE count = 0;
static char *CR_STATE block = 0;
static int (*CR_STATE call)(void) = 0;
char front[{size}] = {{1}};
static int local(void) {{ return {build}; }}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    (void)ctx;
    if (operation != CR_STEP) return 0;
    if (!block) {{ block = calloc(1, 10000); call = local; }}
    block[0] = 1;
    {step}
    return (++count % 1000) * 10 + call();
}}"#
    ))
}

fn cxx(build: i32, size: usize) -> Build {
    Build::cxx(format!(
        r#"#include "reloader_guest.h"
#include <map>
#include <string>
#include <vector>
struct Shape {{ virtual ~Shape() {{}} virtual int number() {{ return {build}; }} }};
static CR_STATE std::map<int, std::string> kept;
static CR_STATE Shape *shape;
static CR_STATE int count;
static std::vector<int> fresh(10000, 1);
static std::vector<int> &inside() {{ static std::vector<int> inside(1000, 1); return inside; }}
inline std::string shared = "a string that is too long for the short form";
char front[{size}] = {{1}};
CR_EXPORT int cr_main(cr_plugin *, cr_op operation) {{
    if (operation != CR_STEP) return 0;
    if (!shape) shape = new Shape;
    inside().push_back(1); fresh.push_back(2); shared += "!";
    kept[count % 100] = "a string that is too long for the short form, too";
    return (++count % 1000) * 10 + shape->number();
}}"#
    ))
}

fn reloads(number: usize, builds: [Build; 2], history: usize) {
    let builds = builds.map(|build| build.bytes());
    let bench = Bench::new();
    bench.put_bytes(&builds[0]);
    let (mut plugin, _seen) = bench.open_with(|builder| builder.history(history));
    let mut run = |from: usize, to: usize| {
        for count in from..to {
            bench.put_bytes(&builds[count % 2]);
            let expected = (count + 1) % 1000 * 10 + count % 2 + 1;
            assert_eq!(plugin.step(), Step::Ran(i32::try_from(expected).unwrap()));
            _seen.forget();
        }
    };
    let warm = number / 5;
    run(0, warm);
    let before = Holding::now(&bench);
    run(warm, number);
    Holding::now(&bench).has_not_grown_since(before, number - warm);
    assert_eq!(plugin.version(), u32::try_from(number).ok());
    plugin.close();
    assert_eq!(bench.copies().len(), 0);
    assert_eq!(bench.mappings(), Vec::<String>::new());
}

#[test]
fn a_thousand_reloads_of_a_guest_in_c() {
    apart(|| reloads(1000, [c(1, 10, ""), c(2, 20_000, "")], 3));
}

#[test]
fn a_thousand_reloads_of_a_guest_in_cxx() {
    apart(|| reloads(1000, [cxx(1, 10), cxx(2, 20_000)], 0));
}

#[test]
fn hundreds_of_crashes_and_rollbacks() {
    apart(|| {
        let good = c(1, 10, "").bytes();
        let crash = "*(volatile int *)8 = 1;";
        let bad = [c(2, 5_000, crash).bytes(), c(3, 50_000, "abort();").bytes()];
        let bench = Bench::new();
        bench.put_bytes(&good);
        let (mut plugin, seen) = bench.open_with(|builder| builder.retry_known_bad(true));
        assert_eq!(plugin.step(), Step::Ran(11));
        let mut run = |from: usize, to: usize| {
            for count in from..to {
                bench.put_bytes(&bad[count % 2]);
                assert!(matches!(plugin.step(), Step::Failed(_)));
                assert_eq!(plugin.version(), Some(1));
                let expected = (count + 2) % 1000 * 10 + 1;
                assert_eq!(plugin.step(), Step::Ran(i32::try_from(expected).unwrap()));
                seen.forget();
            }
        };
        run(0, 100);
        let before = Holding::now(&bench);
        run(100, 700);
        Holding::now(&bench).has_not_grown_since(before, 600);
        plugin.close();
        assert_eq!(bench.copies().len(), 0);
        assert_eq!(bench.mappings(), Vec::<String>::new());
    });
}
