use std::fs;

use serde_json::json;

use crate::browser::Browser;
use crate::desk::Desk;

/// Directories and a file with names that are markup, script, and text that turns around.
const EVIL: &str =
    "<img src=x onerror=alert(1)>/</script><script>alert(2)<!--/\u{202e}{{data}}&\".c";

/// The page about a program of three units, one of them named to do harm.
fn page(desk: &Desk) -> Option<std::path::PathBuf> {
    let evil = desk.path(EVIL);
    fs::create_dir_all(evil.parent().unwrap()).unwrap();
    desk.write(EVIL, "int evil(int x) { return x * 3; }\n");
    desk.write("shared.h", "static inline int twice(int x) { return x + x; }\n");
    desk.write(
        "large.c",
        "#include \"shared.h\"\nint table[64];\nint large(int x) {\n  for (int i = 0; i < 64; i++)\n    \
         table[i] = twice(x) / (i + 1) % 7;\n  return table[x & 63];\n}\n",
    );
    let evil = evil.to_str().unwrap();
    let flags = ["-g3", "-O1", "-DWORD=\"<b>\"", evil, "large.c"];
    let main = "#include \"shared.h\"\nint main(int n, char **v) { return twice(n); }\n";
    desk.compile(main, &flags, "program")?;
    let end = desk.run(["build-report", "program", "-o", "report.html"]);
    assert_eq!(end.code, Some(0), "{}", end.error);
    assert_eq!(end.output, "");
    Some(desk.path("report.html"))
}

#[test]
fn the_page_draws_its_map_and_tables_without_a_complaint() {
    for scheme in ["light", "dark"] {
        let desk = Desk::new();
        let Some(page) = page(&desk) else { return };
        let Some(mut browser) = Browser::open(&page, scheme) else { return };
        let names = browser
            .evaluate("[...document.querySelectorAll('#map button')].map((it) => it.textContent)");
        let names: Vec<&str> =
            names.as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        for name in ["large.c", "program.c", "\\u{202e}{{data}}&\".c"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert_eq!(names[0], "large.c", "the largest comes first");
        // What is drawn fills the map, and nothing lies over another.
        let area = browser.evaluate(
            "[...document.querySelectorAll('#map button')].reduce((sum, it) => {
                const { width, height } = it.getBoundingClientRect();
                return sum + width * height;
             }, 0) / (map.clientWidth * map.clientHeight)",
        );
        assert!((0.98..1.02).contains(&area.as_f64().unwrap()), "{area}");
        // A header has the units that were made from it, and comes before files of one unit.
        let first = browser.evaluate("document.querySelector('#files tbody').innerText");
        let lines: Vec<&str> = first.as_str().unwrap().lines().collect();
        let shared = lines.iter().position(|it| it.ends_with("/shared.h")).unwrap();
        let own = lines.iter().position(|it| it.ends_with("/large.c")).unwrap();
        assert!(lines[shared].starts_with('2') && shared < own, "{lines:?}");
        let toolchains = browser.evaluate("document.querySelector('#toolchains').innerText");
        assert!(toolchains.as_str().unwrap().contains("GNU C"), "{toolchains}");
        let options = browser.evaluate("document.querySelector('#options').innerText");
        assert!(options.as_str().unwrap().contains("-O1"), "{options}");

        let back = browser.evaluate("getComputedStyle(document.body).backgroundColor");
        let expected = if scheme == "dark" { "rgb(21, 24, 28)" } else { "rgb(255, 255, 255)" };
        assert_eq!(back, expected);
        assert_eq!(browser.complaints(), [""; 0]);
    }
}

#[test]
fn no_name_becomes_markup() {
    let desk = Desk::new();
    let Some(page) = page(&desk) else { return };
    let Some(mut browser) = Browser::open(&page, "light") else { return };
    // Every table, the details of every unit and file.
    browser.evaluate(
        "document.querySelectorAll('#map button, td button').forEach((it) => it.click())",
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('img, b').length"), 0);
    assert_eq!(browser.evaluate("document.scripts.length"), 2);
    let shown = browser.evaluate("document.querySelector('#units').innerText");
    assert!(shown.as_str().unwrap().contains("<img src=x onerror=alert(1)>/</script>"), "{shown}");
    assert!(!shown.as_str().unwrap().contains('\u{202e}'), "{shown}");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_page_can_be_used_with_the_keyboard_alone() {
    let desk = Desk::new();
    let Some(page) = page(&desk) else { return };
    let Some(mut browser) = Browser::open(&page, "light") else { return };
    const FOCUSED: &str = "document.activeElement.textContent";
    // The link past the map, and then one place for the whole map.
    browser.press("Tab");
    assert_eq!(browser.evaluate("document.activeElement.className"), "skip");
    browser.press("Tab");
    assert_eq!(browser.evaluate(FOCUSED), "large.c");
    browser.press("End");
    assert_ne!(browser.evaluate(FOCUSED), "large.c");
    browser.press("Home");
    assert_eq!(browser.evaluate(FOCUSED), "large.c");
    browser.press("Enter");
    let detail = browser.evaluate("detail.innerText");
    assert!(detail.as_str().unwrap().contains("large.c"), "{detail}");
    assert_eq!(browser.evaluate("document.querySelectorAll('#map .chosen').length"), 1);
    browser.press("Escape");
    assert_eq!(browser.evaluate("detail.innerText"), "");
    assert_eq!(browser.evaluate("document.querySelectorAll('#map .chosen').length"), 0);
    // The arrows reach every tile: from each, some arrow leads on.
    let reached = browser.evaluate(
        "(() => {
            const seen = new Set();
            const go = (key) => map.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
            const visit = () => {
                const here = document.activeElement;
                if (seen.has(here)) return;
                seen.add(here);
                for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) {
                    here.click();
                    go(key);
                    visit();
                }
            };
            document.querySelector('#map button').click();
            visit();
            return [seen.size, document.querySelectorAll('#map button:not([hidden])').length];
         })()",
    );
    assert_eq!(reached[0], reached[1], "{reached}");
    // From a file to its dependants in the map.
    browser.evaluate(
        "[...document.querySelectorAll('#files td button')]
            .find((it) => it.textContent.endsWith('/shared.h')).focus()",
    );
    browser.press("Enter");
    assert_eq!(browser.evaluate("document.querySelectorAll('#map .chosen').length"), 2);
    assert_eq!(browser.evaluate("document.querySelectorAll('[tabindex=\"0\"]').length"), json!(1));
    assert_eq!(browser.complaints(), [""; 0]);
}
