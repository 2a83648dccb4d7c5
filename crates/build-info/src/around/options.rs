//! What the arguments of a compiler say of what it reads and writes.

use std::borrow::Cow;

/// What a compiler is told to write, by `-o`, `/Fo` or the name of the source.
pub(crate) fn output(arguments: &[String]) -> Option<String> {
    let mut rest = arguments.iter().skip(1);
    let mut found = None;
    while let Some(argument) = rest.next() {
        if argument == "-o" || argument == "--output" {
            found = rest.next().cloned().or(found);
        } else if let Some(path) = joined(argument) {
            found = Some(path.to_owned());
        }
    }
    found
}

/// A path in the same argument as its option.
fn joined(argument: &str) -> Option<&str> {
    let microsoft = argument.strip_prefix("/Fo").or_else(|| argument.strip_prefix("-Fo"));
    let microsoft = microsoft.map(|path| path.trim_start_matches(':'));
    let path = microsoft.or_else(|| argument.strip_prefix("--output="));
    let is_other = OTHERS.iter().any(|other| argument.starts_with(other));
    let joined = || argument.strip_prefix("-o").filter(|_| !is_other);
    path.or_else(joined).filter(|path| !path.is_empty())
}

/// Options that begin with `-o` and name nothing that is written: of Microsoft's compiler, and of
/// Clang for Apple's systems.
const OTHERS: [&str; 3] = ["-openmp", "-objcmt", "-object"];

/// Whether the arguments say to compile one thing, and not to link.
pub(crate) fn compiles(arguments: &[String]) -> bool {
    let rustc = arguments.first().is_some_and(|program| stem(program) == "rustc");
    rustc || arguments.iter().skip(1).any(|argument| matches!(&**argument, "-c" | "/c" | "-S"))
}

/// The source among the arguments: the last that has the name of one, and is no option's value.
pub(crate) fn source(arguments: &[String]) -> Option<&String> {
    source_of(arguments.get(1..)?)
}

/// The same of arguments without the program.
pub(crate) fn source_of(arguments: &[String]) -> Option<&String> {
    let mut found = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if takes_value(argument) {
            rest.next();
        } else if is_source(argument) && !argument.starts_with('-') {
            found = Some(argument);
        }
    }
    found
}

/// Whether the files that a compiler is told to list have the system's headers among them; nothing
/// if it is not told to list any.
pub(crate) fn lists_system(arguments: &[String]) -> Option<bool> {
    let mut lists = None;
    for argument in arguments {
        let argument = argument.strip_prefix("-Wp,").unwrap_or(argument);
        match argument.split(',').next().unwrap_or_default() {
            "-MMD" | "-MM" | "--user-dependencies" | "/showIncludes:user" => return Some(false),
            "-MD" | "-M" | "--dependencies" | "/showIncludes" | "-showIncludes" => {
                lists = Some(true);
            }
            _ => {}
        }
    }
    lists
}

/// Whether the next argument belongs to an option.
pub(crate) fn takes_value(option: &str) -> bool {
    matches!(
        option,
        "-o" | "-I"
            | "-D"
            | "-U"
            | "-isystem"
            | "-iquote"
            | "-idirafter"
            | "-include"
            | "-imacros"
            | "-iprefix"
            | "-iwithprefix"
            | "-iwithprefixbefore"
            | "-isysroot"
            | "-imultilib"
            | "-MF"
            | "-MT"
            | "-MQ"
            | "-x"
            | "-arch"
            | "-target"
            | "-Xclang"
            | "-Xpreprocessor"
            | "-Xassembler"
            | "-Xlinker"
            | "-include-pch"
            | "--param"
            | "-L"
            | "-l"
            | "-T"
            | "-u"
            | "-z"
            | "-Xarch_host"
            | "-Xarch_device"
            | "-mllvm"
            | "--sysroot"
            | "-B"
            | "-aux-info"
            | "-dumpbase"
            | "-dumpdir"
            | "-wrapper"
            | "-framework"
            | "-F"
            | "-iframework"
            | "--output"
            | "--serialize-diagnostics"
            | "-dumpbase-ext"
            | "-working-directory"
            | "-resource-dir"
            | "-stdlib++-isystem"
            | "-cxx-isystem"
            | "-imultiarch"
            | "-MJ"
    )
}

/// Whether a file's name is that of headers or a module that a compiler has read before.
pub(crate) fn is_compiled_header(path: &str) -> bool {
    let (_, extension) = path.rsplit_once('.').unwrap_or_default();
    matches!(extension, "gch" | "pch" | "gcm" | "pcm" | "ifc")
}

/// Whether a file's name is that of something to compile.
pub(crate) fn is_source(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    matches!(
        &*extension.to_ascii_lowercase(),
        "c" | "cc"
            | "cp"
            | "cpp"
            | "cxx"
            | "c++"
            | "cppm"
            | "ixx"
            | "i"
            | "ii"
            | "m"
            | "mm"
            | "mi"
            | "mii"
            | "s"
            | "sx"
            | "asm"
            | "rs"
            | "f"
            | "for"
            | "ftn"
            | "f77"
            | "f90"
            | "f95"
            | "f03"
            | "f08"
            | "d"
            | "ada"
            | "adb"
            | "go"
            | "cu"
            | "hip"
            | "swift"
            | "zig"
            | "vala"
    )
}

/// Whether a file's name is that of something to link.
pub(crate) fn is_linked(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|it| matches!(&*it, "o" | "obj" | "a" | "lib" | "lo" | "rlib" | "res"))
}

/// What matters of the arguments when two commands are compared: in the order that they have, one
/// option an argument, without what says where to write and of what to tell.
pub(crate) fn essence(arguments: &[String]) -> Vec<Cow<'_, str>> {
    let mut essence = Vec::new();
    let mut rest = arguments.iter().skip(1).peekable();
    while let Some(argument) = rest.next() {
        let argument = argument.as_str();
        match argument {
            "-c" | "/c" | "-MD" | "-MMD" | "-MP" | "-MM" | "-M" | "-MG" => {}
            "-o" | "-MF" | "-MT" | "-MQ" | "--output" => drop(rest.next()),
            "-D" | "-U" | "-I" => {
                let value = rest.next().map(String::as_str).unwrap_or_default();
                essence.push(Cow::Owned(format!("{argument}{value}")));
            }
            _ if argument.starts_with("-M") || joined(argument).is_some() => {}
            _ if is_source(argument) && !argument.starts_with('-') => {}
            _ => essence.push(Cow::Borrowed(argument)),
        }
    }
    essence
}

/// A program's name without directory and extension.
pub(crate) fn stem(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    name.strip_suffix(".exe").or_else(|| name.strip_suffix(".EXE")).unwrap_or(name)
}

/// Whether a program is a compiler by its usual names, with a target before and a version behind.
pub(crate) fn is_compiler(program: &str) -> bool {
    let stem = stem(program);
    let name = stem.trim_end_matches(|char: char| char.is_ascii_digit() || "-.".contains(char));
    let name = name.rsplit('-').next().unwrap_or(name);
    matches!(
        name,
        "cc" | "c++"
            | "gcc"
            | "g++"
            | "clang"
            | "clang++"
            | "tcc"
            | "icc"
            | "icpc"
            | "icx"
            | "icpx"
            | "gfortran"
            | "rustc"
            | "nvcc"
            | "c89"
            | "c99"
    )
}

/// Of a shell's chain of commands (`cd x && cc … && :`) the one that compiles or links the most,
/// and the directories that are entered before it, one after the other.
pub(crate) fn of_chain(arguments: &[String]) -> Option<(Vec<String>, Vec<String>)> {
    if !arguments.iter().any(|argument| argument == "&&") {
        return None;
    }
    let parts = || arguments.split(|argument| argument == "&&").enumerate();
    let about = |(_, part): &(usize, &[String])| {
        (part.iter().filter(|it| is_source(it) || is_linked(it)).count(), part.len())
    };
    let (chosen, part) = parts().max_by_key(about)?;
    let entered = parts().take(chosen).filter_map(|(_, part)| match part {
        [cd, directory] if cd == "cd" => Some(directory.clone()),
        // As `cmd` goes to another drive.
        [cd, drive, directory] if cd == "cd" && drive.eq_ignore_ascii_case("/d") => {
            Some(directory.clone())
        }
        _ => None,
    });
    Some((entered.collect(), part.to_vec()))
}
