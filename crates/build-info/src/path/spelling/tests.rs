use proptest::prelude::*;

use super::*;

fn windows(path: &str) -> String {
    Spelled::parse(path, Style::Windows).collapsed().to_string()
}

fn posix(path: &str) -> String {
    Spelled::parse(path, Style::Posix).collapsed().to_string()
}

fn joined(directory: &str, path: &str, style: Style) -> String {
    let directory = Spelled::parse(directory, style);
    Spelled::parse_in(path, &directory).collapsed().to_string()
}

#[test]
fn a_path_has_one_spelling() {
    for (path, spelling) in [
        (r"d:/QA\\src/.\sub\..\Cube.cpp", r"D:\QA\src\Cube.cpp"),
        (r"D:\..\..\a", r"D:\a"),
        (r"\\?\C:\a\b", r"C:\a\b"),
        (r"\??\c:\a", r"C:\a"),
        (r"\\.\c:\a", r"C:\a"),
        (r"\\?\UNC\server\share\a\..\..\b", r"\\server\share\b"),
        (r"\\server/share\\a", r"\\server\share\a"),
        ("//server/share/a", r"\\server\share\a"),
        (r"..\..\src\.\a.cpp", r"..\..\src\a.cpp"),
        (r"a\..\..\b", r"..\b"),
        ("c:a", "C:a"),
        (r"\a", r"\a"),
        ("", "."),
        // Made for Windows elsewhere.
        (r"/src\sub/a.c", "/src/sub/a.c"),
    ] {
        assert_eq!(windows(path), spelling, "{path}");
    }
    for (path, spelling) in [
        ("//usr/./include/../lib//x", "/usr/lib/x"),
        ("/../a", "/a"),
        ("../a/../../b", "../../b"),
        (r"a\b", r"a\b"),
        ("c:a", "./c:a"),
        // Made for Windows, seen from elsewhere.
        ("c:/mingw/x.h", r"C:\mingw\x.h"),
        (r"\\server\share\x", r"\\server\share\x"),
        ("/", "/"),
    ] {
        assert_eq!(posix(path), spelling, "{path}");
    }
}

#[test]
fn a_path_starts_from_the_directory_that_it_is_in() {
    for (directory, path, whole) in [
        (r"D:\QA\build\VS2022", r"..\..\src\Cube.cpp", r"D:\QA\src\Cube.cpp"),
        (r"D:\QA", r"\other\a.h", r"D:\other\a.h"),
        (r"D:\QA", "/other/a.h", r"D:\other\a.h"),
        (r"D:\QA", "d:a.h", r"D:\QA\a.h"),
        (r"D:\QA", "c:a.h", "C:a.h"),
        (r"D:\QA", r"C:\x", r"C:\x"),
        (r"\\server\share\a", r"\b", r"\\server\share\b"),
        ("/src/build", "../a.c", "/src/a.c"),
        ("/src/build", "/usr/include/x.h", "/usr/include/x.h"),
        ("/src/build", r"C:\x", r"C:\x"),
        ("build", "../a.c", "a.c"),
    ] {
        assert_eq!(joined(directory, path, Style::Windows), whole, "{directory} {path}");
    }
    assert_eq!(joined("/src", r"a\b", Style::Posix), r"/src/a\b");
}

#[test]
fn case_matters_where_it_does() {
    let key = |path| Spelled::parse(path, Style::Windows).key();
    assert_eq!(key(r"d:\qa\STRASSE\ä"), key(r"D:\QA\Strasse\Ä"));
    assert_ne!(key(r"d:\straße"), key(r"d:\strasse"));
    assert_ne!(key("/a"), key("/A"));
}

fn names_and_noise() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "B", "..", ".", "/", "\\", "c:", "\\\\", "?", "UNC", "//", "ä", " ", "x.h",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_spelling_is_its_own_spelling(path in names_and_noise()) {
        for style in [Style::Posix, Style::Windows] {
            let once = Spelled::parse(&path, style).collapsed();
            // No machine has such a name.
            let is_named_so = once.root == Root::Slash && once.names.first() == Some(&"??");
            prop_assume!(!is_named_so || style == Style::Posix);
            prop_assume!(!matches!(once.root, Root::Share("?" | "." | "??" | "..", _)));
            let text = once.to_string();
            let twice = Spelled::parse(&text, once.style).collapsed();
            prop_assert_eq!(twice.to_string(), text);
        }
    }

    #[test]
    fn what_is_in_an_absolute_directory_is_absolute(path in names_and_noise()) {
        for directory in ["/src", "C:\\src", "\\\\s\\t\\u"] {
            let directory = Spelled::parse(directory, Style::Windows);
            let whole = Spelled::parse_in(&path, &directory);
            prop_assert!(whole.is_absolute() || matches!(whole.root, Root::OnDrive(_) | Root::Slash));
        }
    }
}
