use crate::desk::Desk;

#[test]
fn what_holds_no_build_information_is_named_with_what_to_do() {
    let desk = Desk::new();
    desk.write("empty", "");
    desk.write("text", "hello");
    desk.write("portable.pdb", b"BSJB\x01\0\x01\0\0\0\0\0\x0c\0\0\0PDB v1.0\0\0\0\0");
    let whole = std::fs::read(env!("CARGO_BIN_EXE_reloader")).unwrap();
    desk.write("cut.elf", &whole[..100]);
    desk.write("cut.pdb", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0\0\x10\0\0");
    for (file, words) in [
        ("nothing", "No such file"),
        ("empty", "still being written"),
        ("text", "neither ELF, Mach-O, PE nor PDB: starts with \"hell\""),
        ("portable.pdb", "ortable PDB"),
        ("cut.elf", "still being written"),
        ("cut.pdb", "still being written"),
        (".", "directory"),
    ] {
        for subcommand in ["units", "compile-commands"] {
            let end = desk.run([subcommand, file]);
            let error = end.failure(1);
            assert!(error.starts_with(&format!("reloader: {file}: ")), "{error}");
            assert!(error.contains(words), "{file}: {error}");
            assert!(!error.contains('\x1b'), "{error}");
        }
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let desk = Desk::new();
    for arguments in [&["units"][..], &["affected", "x"], &["owner", "x"], &["units", "x", "y"]] {
        assert!(desk.run(arguments).failure(2).contains("Usage: reloader"));
    }
}
