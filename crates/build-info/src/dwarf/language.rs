//! The languages that DWARF has numbers for.

/// A language's usual name.
pub(crate) fn name(number: u64) -> Option<&'static str> {
    let number = gimli::DwLang(u16::try_from(number).ok()?);
    Some(match number {
        gimli::DW_LANG_C
        | gimli::DW_LANG_C89
        | gimli::DW_LANG_C99
        | gimli::DW_LANG_C11
        | gimli::DW_LANG_C17
        | C23 => "C",
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20
        | CPP23 => "C++",
        gimli::DW_LANG_ObjC => "Objective-C",
        gimli::DW_LANG_ObjC_plus_plus => "Objective-C++",
        gimli::DW_LANG_Rust => "Rust",
        gimli::DW_LANG_Swift => "Swift",
        gimli::DW_LANG_Go => "Go",
        gimli::DW_LANG_D => "D",
        gimli::DW_LANG_Zig => "Zig",
        gimli::DW_LANG_Fortran77
        | gimli::DW_LANG_Fortran90
        | gimli::DW_LANG_Fortran95
        | gimli::DW_LANG_Fortran03
        | gimli::DW_LANG_Fortran08
        | gimli::DW_LANG_Fortran18 => "Fortran",
        gimli::DW_LANG_Ada83 | gimli::DW_LANG_Ada95 | gimli::DW_LANG_Ada2005 => "Ada",
        gimli::DW_LANG_Pascal83 => "Pascal",
        gimli::DW_LANG_Modula2 => "Modula-2",
        gimli::DW_LANG_Java => "Java",
        gimli::DW_LANG_Python => "Python",
        gimli::DW_LANG_OpenCL => "OpenCL C",
        gimli::DW_LANG_Haskell => "Haskell",
        gimli::DW_LANG_OCaml => "OCaml",
        gimli::DW_LANG_Julia => "Julia",
        gimli::DW_LANG_Kotlin => "Kotlin",
        gimli::DW_LANG_Mips_Assembler => "Assembler",
        _ => return None,
    })
}

// Given numbers after DWARF 5 was finished.
const CPP23: gimli::DwLang = gimli::DwLang(0x3a);
const C23: gimli::DwLang = gimli::DwLang(0x3e);
