//! A command as a question: which files do you read?

use super::options;

/// The arguments that make a compiler name the files that it reads, of those that it was given;
/// nothing if there is no one source among them.
///
/// Only those are kept that can change which files are read, and that write nothing: with any other
/// (`-ofile`, `-Wp,-MD,file`, `-save-temps`, `-fdump-…`, and what will be added to compilers yet) the
/// question could overwrite what a build has made.
pub(super) fn arguments(given: &[String]) -> Option<Vec<String>> {
    let source = options::source_of(given)?;
    let mut asked = Vec::new();
    let mut rest = given.iter();
    while let Some(argument) = rest.next() {
        let argument = argument.as_str();
        // What a file of options says is not known.
        if argument.starts_with('@') {
            return None;
        }
        if let Some(handed) = argument.strip_prefix("-Wp,") {
            asked.extend(defines(handed));
        } else if WITH_VALUE.contains(&argument) {
            asked.extend([argument.to_owned(), rest.next()?.clone()]);
        } else if options::takes_value(argument) {
            rest.next();
        } else if ALONE.contains(&argument)
            || BEGINNINGS.iter().any(|beginning| argument.starts_with(beginning))
                && !WRITERS.iter().any(|beginning| argument.starts_with(beginning))
        {
            asked.push(argument.to_owned());
        }
    }
    asked.extend(["-w".to_owned(), "-M".to_owned(), source.clone()]);
    Some(asked)
}

/// Of several options that are handed to the preprocessor in one argument those that define: others
/// may write.
fn defines(handed: &str) -> impl Iterator<Item = String> {
    let defines =
        |option: &&str| option.len() > 2 && (option.starts_with("-D") || option.starts_with("-U"));
    handed.split(',').filter(defines).map(str::to_owned)
}

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 27] = [
    "-D",
    "-U",
    "-I",
    "-F",
    "-B",
    "-x",
    "-arch",
    "-target",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-iprefix",
    "-iwithprefix",
    "-iwithprefixbefore",
    "-isysroot",
    "-imultilib",
    "-imultiarch",
    "-iframework",
    "-iframeworkwithsysroot",
    "-isystem-after",
    "-stdlib++-isystem",
    "-cxx-isystem",
    "-working-directory",
    "-resource-dir",
    "--sysroot",
];

const ALONE: [&str; 12] = [
    "-ansi",
    "-undef",
    "-nostdinc",
    "-nostdinc++",
    "-nostdlibinc",
    "-nobuiltininc",
    "-pthread",
    "-traditional-cpp",
    "-trigraphs",
    "-no-canonical-prefixes",
    "-ObjC",
    "-ObjC++",
];

const BEGINNINGS: [&str; 19] = [
    "-D",
    "-U",
    "-I",
    "-i",
    "-F/",
    "-B",
    "-std",
    "--std=",
    "-f",
    "-m",
    "-O",
    "-x",
    "-stdlib=",
    "--target=",
    "--sysroot=",
    "--gcc-toolchain=",
    "--gcc-install-dir=",
    "-working-directory=",
    "-resource-dir=",
];

/// Those that would write something, or run something.
const WRITERS: [&str; 21] = [
    "-index",
    "-mllvm",
    "-mmlir",
    "-fauto-profile",
    "-fcallgraph",
    "-fcrash",
    "-fdiagnostics",
    "-fdump",
    "-fdeps",
    "-fmodule-output",
    "-fmodules-cache-path",
    "-fmemory-profile",
    "-fopt-info",
    "-foptimization",
    "-fplugin",
    "-fpass-plugin",
    "-fprofile",
    "-fproc-stat",
    "-fsave",
    "-ftime",
    "-finstrument",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(given: &str) -> Option<String> {
        let given: Vec<String> = given.split(' ').map(str::to_owned).collect();
        arguments(&given).map(|asked| asked.join(" "))
    }

    #[test]
    fn what_says_where_to_look_is_asked_and_what_writes_is_not() {
        for (given, expected) in [
            ("-O2 -Wall -g -c a.c -o a.o", "-O2"),
            ("-c a.c -oa.o --output=b.o -S --output c.o", ""),
            (
                "-DX=1 -D Y -UZ -I../i -isystem s -include f.h -c a.c",
                "-DX=1 -D Y -UZ -I../i -isystem s -include f.h",
            ),
            ("-MD -MF a.d -MTx -MQ y -MP -MMD -MJx.json -c a.c", ""),
            ("-Wp,-MD,a.d -Wp,-MMD,b.d -Wp,-DX -Wa,-adhln=l -Wl,-Map=m a.c", "-DX"),
            ("-Wp,-DX,-MD,a.d,-UY -index-store-path i -mllvm=-info-output-file=f a.c", "-DX -UY"),
            ("-save-temps -save-temps=obj -dumpdir x -dumpbase y -aux-info z -c a.c", ""),
            (
                "-fdump-tree-all -fplugin=p.so -fprofile-use=p -ftime-trace=t -fno-rtti a.c",
                "-fno-rtti",
            ),
            ("-fsave-optimization-record -fdiagnostics-format=sarif-file -m32 a.c", "-m32"),
            (
                "-mllvm -print-all -Xclang -emit-pch -march=native -std=c11 a.c",
                "-march=native -std=c11",
            ),
            ("--serialize-diagnostics d -gsplit-dwarf -x c -pthread -c a.c", "-x c -pthread"),
        ] {
            let expected = format!("{expected} -w -M a.c");
            assert_eq!(asked(given).as_deref(), Some(expected.trim_start()), "{given}");
        }
        assert_eq!(asked("@options a.c"), None);
        assert_eq!(asked("-c"), None);
    }
}
