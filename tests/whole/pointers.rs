//! Words of the state that lead into an old image, and the same words after a reload and a
//! rollback.

use reloader::{Event, Memory, StateReport, Step};
use reloader_tests::{Bench, Build, PEN, Paper, Seen, apart};

/// A guest in C: `globals`, the number of the build as `BUILD`, and what it does in a step.
fn guest(build: i32, globals: &str, step: &str) -> Build {
    Build::c(text(build, globals, step))
}

fn text(build: i32, globals: &str, step: &str) -> String {
    format!(
        r#"{PEN}
#include <stdlib.h>
#include <string.h>
#define BUILD {build}
{globals}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}
"#
    )
}

/// Globals that make the image larger, so that everything in it lies elsewhere.
fn elsewhere(size: usize) -> String {
    format!("char front_of_all[{size}] = {{1}}; char zeros_of_all[{size}];")
}

struct Scene {
    paper: Paper,
    bench: Bench,
}

impl Scene {
    fn with(first: &Build) -> Self {
        Self { paper: Paper::new(), bench: Bench::with(first) }
    }

    fn open(
        &self,
        options: impl FnOnce(reloader::Builder) -> reloader::Builder,
    ) -> (reloader::Plugin, Seen) {
        let (mut plugin, seen) = self.bench.open_with(options);
        self.paper.give_to(&mut plugin);
        (plugin, seen)
    }

    fn step(&self, plugin: &mut reloader::Plugin) -> String {
        assert_eq!(plugin.step(), Step::Ran(0));
        self.paper.take()
    }

    /// Whether a version's image is in memory.
    fn is_mapped(&self, version: u32) -> bool {
        self.bench.mappings().iter().any(|line| line.contains(&format!(".v{version}-")))
    }
}

fn report(seen: &Seen) -> (StateReport, Vec<(u32, Memory)>) {
    let mut state = None;
    let mut retired = Vec::new();
    for event in seen.take() {
        match event {
            Event::Reloaded { state: report, .. } => state = Some(report),
            Event::Retired { version, memory } => retired.push((version, memory)),
            Event::Fault(failure) => panic!("{failure}"),
            _ => {}
        }
    }
    (state.unwrap(), retired)
}

const ALL_SORTS: &str = r#"
struct node { int (*call)(void); const char *text; int *number; };
static int local(void) { return 10 * BUILD; }
int global(void) { return 20 * BUILD; }
static int table[4] = {1, 2, 3, 4};
static int CR_STATE kept = 5;
static int (*CR_STATE calls[2])(void);
static const char *CR_STATE text = 0;
static int *CR_STATE third = 0;
static int *CR_STATE own = 0;
static struct node *CR_STATE list[3];
"#;
const FILL: &str = r#"
calls[0] = local; calls[1] = global; text = "a literal of some length"; third = &table[2]; own = &kept; kept = 55;
for (int i = 0; i < 3; i++) {
    struct node *node = malloc(sizeof *node);
    node->call = i % 2 ? local : global; node->text = "on the heap"; node->number = &kept;
    list[i] = node;
}
"#;
const SHOW: &str = r#"
say("%d %d %s %d %d;", calls[0](), calls[1](), text, *third, *own);
for (int i = 2; i >= 0; i--) say(" %d %s %d", list[i]->call(), list[i]->text, *list[i]->number);
"#;
/// The literals that a version that does not fill in anything has as well.
const LITERALS: &str =
    r#"const char *const literals[] = {"a literal of some length", "on the heap"};"#;

/// Behind the blocks that the state itself leads to, nothing but objects with virtual functions is
/// changed: what else looks like a pointer there may be somebody else's number. The old image
/// stays, and it is said.
#[test]
fn a_function_pointer_deep_in_the_heap_goes_on_leading_to_the_old_image() {
    apart(|| {
        let globals = "struct node { struct node *next; int (*call)(void); }; \
                       static int local(void) { return BUILD; } \
                       static struct node *CR_STATE list = 0;";
        let fill = "for (int i = 0; i < 2; i++) { struct node *node = malloc(sizeof *node); \
                    node->next = list; node->call = local; list = node; }";
        let show = r#"say("%d %d", list->call(), list->next->call()); (void)local;"#;
        let scene = Scene::with(&guest(1, globals, fill));
        let (mut plugin, seen) = scene.open(|builder| builder.history(0));
        scene.step(&mut plugin);
        seen.forget();
        scene.bench.put(&guest(2, globals, show));
        assert_eq!(scene.step(&mut plugin), "2 1");
        let (state, retired) = report(&seen);
        assert!(state.untranslated.iter().any(|word| word.version == 1), "{state}");
        assert!(matches!(&retired[..], [(1, Memory::Referenced { .. })]), "{retired:?}");
    });
}

#[test]
fn functions_literals_and_addresses_lead_to_the_new_image_on_the_heap_too() {
    apart(|| {
        let scene = Scene::with(&guest(1, ALL_SORTS, FILL));
        let (mut plugin, seen) = scene.open(|builder| builder.history(0));
        scene.step(&mut plugin);
        let mut size = 1000;
        for build in 2..7 {
            size *= 4;
            seen.forget();
            let globals = format!("{} {LITERALS} {ALL_SORTS}", elsewhere(size));
            scene.bench.put(&guest(build, &globals, SHOW));
            let (local, global) = (10 * build, 20 * build);
            assert_eq!(
                scene.step(&mut plugin),
                format!(
                    "{local} {global} a literal of some length 3 55; {global} on the heap 55 {local} on the heap 55 {global} on the heap 55"
                )
            );
            let (state, retired) = report(&seen);
            assert!(state.is_whole(), "{state}");
            assert_eq!(state.translated, 5 + 3 * 3, "{state}");
            let old = u32::try_from(build).unwrap() - 1;
            assert_eq!(retired, [(old, Memory::Unmapped)]);
            assert!(!scene.is_mapped(old));
        }
    });
}

#[test]
fn a_pointer_to_what_the_new_version_lacks_keeps_the_old_image_and_works() {
    apart(|| {
        let globals = |function: &str| {
            format!(
                "static int (*CR_STATE call)(void); static const char *CR_STATE text; {function}"
            )
        };
        let gone = "static int gone(void) { return 100 + BUILD; }";
        let first = guest(1, &globals(gone), r#"call = gone; text = "only in the first";"#);
        let scene = Scene::with(&first);
        let (mut plugin, seen) = scene.open(|builder| builder.history(0));
        scene.step(&mut plugin);
        seen.forget();
        let show = r#"say("%d %s", call(), text);"#;
        let moved = format!("{} {}", elsewhere(50_000), globals(""));
        scene.bench.put(&guest(2, &moved, show));
        assert_eq!(scene.step(&mut plugin), "101 only in the first");
        let (state, retired) = report(&seen);
        assert!(!state.is_whole());
        let mut words: Vec<String> = state.untranslated.iter().map(ToString::to_string).collect();
        words.sort();
        assert_eq!(
            words,
            ["call+0x0 -> gone of version 1", "text+0x0 -> \"only in the first\" of version 1"]
        );
        let [(1, Memory::Referenced { by })] = retired.as_slice() else { panic!("{retired:?}") };
        assert_eq!(by.len(), 2);
        assert!(scene.is_mapped(1));
        // A version that has both again sets the first one free.
        let both = format!(
            "{} {} {gone} int (*use)(void) = gone; const char *literal = \"only in the first\";",
            elsewhere(90_000),
            globals("")
        );
        scene.bench.put(&guest(3, &both, show));
        assert_eq!(scene.step(&mut plugin), "103 only in the first");
        let (state, mut retired) = report(&seen);
        assert!(state.is_whole(), "{state}");
        retired.sort_by_key(|(version, _)| *version);
        assert_eq!(retired, [(1, Memory::Unmapped), (2, Memory::Unmapped)]);
        assert!(!scene.is_mapped(1) && !scene.is_mapped(2));
    });
}

#[test]
fn a_pointer_into_an_image_without_names_is_reported_and_keeps_it() {
    apart(|| {
        let globals = "static int (*CR_STATE call)(void); static int local(void) { return BUILD; }";
        let stripped = |build, step| guest(build, globals, step).flag("-s");
        let scene = Scene::with(&stripped(1, "call = local;"));
        let (mut plugin, seen) = scene.open(|builder| builder.history(0));
        scene.step(&mut plugin);
        seen.forget();
        scene.bench.put(&stripped(2, r#"say("%d", call()); if (0) call = local;"#));
        assert_eq!(scene.step(&mut plugin), "1");
        let (state, retired) = report(&seen);
        assert_eq!(state.untranslated.len(), 1, "{state}");
        assert!(matches!(retired.as_slice(), [(1, Memory::Referenced { .. })]), "{retired:?}");
    });
}

#[test]
fn the_pointer_in_the_context_is_translated_and_followed() {
    apart(|| {
        let first = Build::c(text(1, "static int own = 5;", ""))
            .source("more", "static int unused; int *address_of(void) { return &unused; }");
        let bench = Bench::with(&first);
        // The guest leaves a pointer to a block on the heap that leads back into its image.
        let build = |build: i32, front: &str, step: &str| {
            Build::c(format!(
                r#"#include "reloader_guest.h"
#include <stdlib.h>
{front}
static int function(void) {{ return {build}; }}
struct block {{ long first; int (*call)(void); }};
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    (void)function;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}"#
            ))
        };
        bench.put(&build(
        1,
        "",
        "struct block *block = malloc(64); block->call = function; ctx->userdata = block; return 1;",
    ));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(1));
        let step = "return ((struct block *)ctx->userdata)->call();";
        for number in 2..5_u8 {
            let front = elsewhere(usize::from(number) * 40_000);
            bench.put(&build(i32::from(number), &front, step));
            assert_eq!(plugin.step(), Step::Ran(i32::from(number)));
        }
        let retired: Vec<_> = seen
            .take()
            .into_iter()
            .filter_map(|event| match event {
                Event::Retired { version, memory } => Some((version, memory)),
                _ => None,
            })
            .collect();
        assert_eq!(retired, [1, 2, 3].map(|version| (version, Memory::Unmapped)));
    });
}

/// A C++ guest with shapes on the heap.
fn shapes(build: i32, front: &str, step: &str) -> Build {
    Build::cxx(format!(
        r#"{PEN}
{front}
struct Shape {{ virtual int area() {{ return {build}; }} virtual ~Shape() {{}} int kept = 7; }};
struct Square : Shape {{ int area() override {{ return 100 * {build}; }} }};
struct Other {{ virtual int other() {{ return 5 * {build}; }} int pad = 1; }};
struct Both : Shape, Other {{ int other() override {{ return 6 * {build}; }} }};
static Shape *CR_STATE shapes[2];
static Other *CR_STATE other;
CR_EXPORT int cr_main(cr_plugin *ctx, cr_op operation) {{
    paper = (struct paper *)ctx->userdata;
    if (operation == CR_STEP) {{ {step} }}
    return 0;
}}
// All vtables are in each version.
extern "C" Shape *make(int i) {{ return i ? new Shape : new Square; }}
extern "C" Other *make_other(int i) {{ return i ? static_cast<Other *>(new Both) : new Other; }}
"#
    ))
}

const SHOW_SHAPES: &str =
    r#"say("%d %d %d %d", shapes[0]->area(), shapes[1]->area(), shapes[0]->kept, other->other());"#;

#[test]
fn objects_on_the_heap_get_the_new_virtual_functions() {
    apart(|| {
        let make = "shapes[0] = make(1); shapes[1] = make(0); shapes[0]->kept = 70; other = make_other(1);";
        let declare = "struct Shape; struct Other; extern \"C\" Shape *make(int); extern \"C\" Other *make_other(int);";
        for compiler in ["g++", "clang++"] {
            let scene = Scene::with(&shapes(1, declare, make).compiler(compiler));
            let (mut plugin, seen) = scene.open(|builder| builder.history(0));
            scene.step(&mut plugin);
            for build in 2..6_u8 {
                seen.forget();
                let front = elsewhere(100 << (2 * build));
                let next = shapes(i32::from(build), &front, SHOW_SHAPES).compiler(compiler);
                scene.bench.put(&next);
                let number = i32::from(build);
                let said = format!("{number} {} 70 {}", 100 * number, 6 * number);
                assert_eq!(scene.step(&mut plugin), said, "{compiler}");
                let (state, retired) = report(&seen);
                assert!(state.is_whole(), "{state}");
                assert_eq!(retired, [(u32::from(build) - 1, Memory::Unmapped)]);
            }
        }
    });
}

#[test]
fn a_crash_after_the_translation_translates_back() {
    apart(|| {
        let scene = Scene::with(&guest(
            1,
            &format!("{LITERALS} {ALL_SORTS}"),
            &format!("if (!list[0]) {{ {FILL} }} {SHOW}"),
        ));
        let (mut plugin, seen) = scene.open(|builder| builder);
        let said = "10 20 a literal of some length 3 55; 20 on the heap 55 10 on the heap 55 20 on the heap 55";
        assert_eq!(scene.step(&mut plugin), said);
        for (at, crash) in [
            ("CR_STEP", "abort();"),
            ("CR_LOAD", "*(volatile int *)8 = 1;"),
            ("CR_LOAD", "return -3;"),
            ("CR_STEP", "__builtin_trap();"),
        ] {
            let crashing = guest(
                2,
                &format!("{} {LITERALS} {ALL_SORTS}", elsewhere(200_000)),
                &format!("{SHOW} abort();"),
            );
            let crashing = if at == "CR_STEP" && crash == "abort();" {
                crashing
            } else {
                Build::c(
                    text(2, &format!("{} {LITERALS} {ALL_SORTS}", elsewhere(200_000)), "").replace(
                        "if (operation == CR_STEP)",
                        &format!("if (operation == {at}) {{ {crash} }} if (operation == CR_STEP)"),
                    ),
                )
            };
            seen.forget();
            scene.bench.put(&crashing);
            assert!(matches!(plugin.step(), Step::Failed(_)), "{at} {crash}");
            drop(scene.paper.take());
            assert_eq!(plugin.version(), Some(1));
            assert_eq!(scene.step(&mut plugin), said, "{at} {crash}");
            let retired: Vec<_> = seen
                .take()
                .into_iter()
                .filter_map(|event| match event {
                    Event::Retired { version, memory } => Some((version > 1, memory)),
                    _ => None,
                })
                .collect();
            assert_eq!(retired, [(true, Memory::Unmapped)], "{at} {crash}");
        }
    });
}

#[test]
fn a_rollback_that_is_asked_for_translates_back_and_forth() {
    apart(|| {
        let build = |number: i32, size: usize| {
            guest(
                number,
                &format!("{} {LITERALS} {ALL_SORTS}", elsewhere(size)),
                &format!("if (!list[0]) {{ {FILL} }} {SHOW}"),
            )
        };
        let said = |number: i32| {
            let (local, global) = (10 * number, 20 * number);
            format!(
                "{local} {global} a literal of some length 3 55; {global} on the heap 55 {local} on the heap 55 {global} on the heap 55"
            )
        };
        let scene = Scene::with(&build(1, 10));
        let (mut plugin, _) = scene.open(|builder| builder);
        assert_eq!(scene.step(&mut plugin), said(1));
        for (number, size) in [(2, 100_000), (3, 1_000_000)] {
            scene.bench.put(&build(number, size));
            assert_eq!(scene.step(&mut plugin), said(number));
        }
        for (version, number) in [(1, 1), (3, 3), (2, 2), (1, 1), (3, 3)] {
            plugin.roll_back_to(version).unwrap();
            assert_eq!(scene.step(&mut plugin), said(number));
        }
    });
}

#[test]
fn the_search_says_when_it_did_not_come_to_its_end() {
    apart(|| {
        let globals = "static long *CR_STATE block;";
        let scene = Scene::with(&guest(1, globals, "block = calloc(1 << 20, 1);"));
        let (mut plugin, seen) = scene.open(|builder| builder.history(0).search_limit(1 << 16));
        scene.step(&mut plugin);
        seen.forget();
        scene.bench.put(&guest(2, globals, r#"say("%ld", block[5]);"#));
        assert_eq!(scene.step(&mut plugin), "0");
        assert_eq!(report(&seen).1, [(1, Memory::NotSearched)]);
        assert!(scene.is_mapped(1));
    });
}

#[test]
fn without_a_search_the_heap_is_left_as_it_is() {
    apart(|| {
        let globals =
            "static int **CR_STATE block; static int *CR_STATE direct; static int target = 1;";
        let scene = Scene::with(&guest(
            1,
            globals,
            "block = malloc(sizeof *block); *block = &target; direct = &target;",
        ));
        let (mut plugin, seen) = scene.open(|builder| builder.search_limit(0));
        scene.step(&mut plugin);
        seen.forget();
        scene.bench.put(&guest(
            2,
            globals,
            r#"say("%d %d", direct == &target, *block == &target);"#,
        ));
        assert_eq!(scene.step(&mut plugin), "1 0");
        assert_eq!(report(&seen).0.translated, 1);
    });
}

/// What the state leads to in the middle, what surrounds it, what was freed, and the records of the
/// loader itself.
#[test]
fn only_what_belongs_to_the_state_is_looked_through() {
    apart(|| {
        let globals = r#"
#include <dlfcn.h>
#include <pthread.h>
struct thing { long pad[4]; int (*call)(void); long more[4]; };
static int call(void) { return BUILD; }
static long *CR_STATE middle; static struct thing *CR_STATE neighbour; static void *CR_STATE handle;
static struct thing **CR_STATE dangling; static pthread_t CR_STATE thread; static char *CR_STATE pool;
static int CR_STATE filled;
static struct thing *make(void) { struct thing *thing = calloc(1, sizeof *thing); thing->call = call; return thing; }
"#;
        let fill = r#"if (!filled) {
            filled = 1;
            middle = make()->pad + 2;
            for (int i = 0; i < 50; i++) free(make());
            neighbour = make();
            dangling = malloc(5000); make(); free(dangling);
            handle = dlopen(0, RTLD_NOW);
            thread = pthread_self();
            pool = calloc(1 << 20, 1);
            struct thing *in_pool = (struct thing *)(pool + 600000); in_pool->call = call; in_pool->pad[0] = 7;
            pool = (char *)in_pool;
        }"#;
        let show = r#"say("%d %d %d", ((struct thing *)(middle - 2))->call(), neighbour->call(), ((struct thing *)pool)->call());"#;
        let build = |number: i32| {
            guest(
                number,
                &format!("{} {globals}", elsewhere(20_000 * usize::try_from(number).unwrap())),
                &format!("{fill} {show}"),
            )
        };
        let run = || {
            let scene = Scene::with(&build(1));
            let (mut plugin, seen) = scene.open(|builder| builder);
            assert_eq!(scene.step(&mut plugin), "1 1 1");
            for number in 2..8 {
                seen.forget();
                scene.bench.put(&build(number));
                assert_eq!(scene.step(&mut plugin), format!("{number} {number} {number}"));
                // What `dangling` leads to has been handed out again, and may hold what was there
                // before: that is translated with the rest, or keeps an image for a while.
                let (state, _) = report(&seen);
                assert!(state.translated >= 3, "{state}");
            }
            for version in [5, 4, 7, 6] {
                plugin.roll_back_to(version).unwrap();
                let said = format!("{version} {version} {version}");
                assert_eq!(scene.step(&mut plugin), said);
            }
            plugin.close();
        };
        // In the heap of another thread, which is gone before the images come to lie where its
        // stack still says, and in that of this one.
        std::thread::scope(|scope| scope.spawn(run).join().unwrap());
        run();
    });
}

/// A host may keep its plugin in what it shows its guest.
#[test]
fn the_reloaders_own_memory_is_left_alone() {
    apart(|| {
        #[repr(C)]
        struct App {
            callback: usize,
            plugins: Vec<reloader::Plugin>,
        }
        let build = |number: i32, size: usize| {
            Build::c(format!(
                r#"#include "reloader_guest.h"
{}
struct app {{ int (*callback)(void); }};
static int callback(void) {{ return {number}; }}
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    struct app *app = (struct app *)ctx->userdata;
    if (operation != CR_STEP) return 0;
    if (!app->callback) app->callback = callback;
    return 10 * {number} + (app->callback == callback);
}}"#,
                elsewhere(size)
            ))
        };
        let bench = Bench::with(&build(1, 10));
        let (plugin, _) = bench.open();
        let mut app = Box::new(App { callback: 0, plugins: vec![plugin] });
        let address = &raw mut *app;
        app.plugins[0].set_userdata(address.cast());
        assert_eq!(app.plugins[0].step(), Step::Ran(11));
        for number in 2..4_u8 {
            bench.put(&build(i32::from(number), usize::from(number) * 30_000));
            assert_eq!(app.plugins[0].step(), Step::Ran(10 * i32::from(number) + 1));
        }
        for version in [1, 3, 2] {
            app.plugins[0].roll_back_to(version).unwrap();
            let number = i32::try_from(version).unwrap();
            assert_eq!(app.plugins[0].step(), Step::Ran(10 * number + 1));
        }
        assert_ne!(app.callback, 0);
    });
}

#[test]
fn the_context_may_lead_to_a_variable_of_the_guests_own() {
    apart(|| {
        let build = |number: i32, size: usize| {
            Build::c(format!(
                r#"#include "reloader_guest.h"
{}
static int own = {number};
CR_EXPORT int cr_main(struct cr_plugin *ctx, enum cr_op operation) {{
    if (!ctx->userdata) ctx->userdata = &own;
    return operation == CR_STEP ? *(int *)ctx->userdata + 100 * (ctx->userdata == &own) : 0;
}}"#,
                elsewhere(size)
            ))
        };
        let bench = Bench::with(&build(1, 10));
        let (mut plugin, seen) = bench.open_with(|builder| builder.history(0));
        assert_eq!(plugin.step(), Step::Ran(101));
        bench.put(&build(2, 50_000));
        assert_eq!(plugin.step(), Step::Ran(102));
        let gone = seen
            .take()
            .into_iter()
            .any(|event| matches!(event, Event::Retired { version: 1, memory: Memory::Unmapped }));
        assert!(gone);
    });
}
