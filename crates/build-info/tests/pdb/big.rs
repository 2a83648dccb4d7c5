//! Large PDBs, as large programs have them, in a minute: a few units are compiled, and their
//! objects copied under other names, which are all of one length.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How large.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub units: usize,
    pub headers: usize,
    /// How many of the headers each unit includes.
    pub per_unit: usize,
    pub functions: usize,
    /// How many blocks with a variable each function has.
    pub blocks: usize,
    /// Each function in a section of its own.
    pub apart: bool,
}

/// How many units are really compiled.
const COMPILED: usize = 20;

/// Makes `big.exe` and `big.pdb` in a directory, unless they are there. `None` without the tools.
pub fn make(shape: &Shape, directory: &Path) -> Option<PathBuf> {
    let pdb = directory.join("big.pdb");
    if pdb.exists() {
        return Some(pdb);
    }
    let compiler = tool(&["clang-cl-19", "clang-19", "clang-cl", "clang"])?;
    let linker = tool(&["lld-link-19", "lld-link"])?;
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory.join("obj")).unwrap();
    for header in 0..shape.headers {
        let path = directory.join(header_name(header));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, header_text(header)).unwrap();
    }
    let compile = |name: &str, text: &str| {
        fs::write(directory.join(format!("{name}.cpp")), text).unwrap();
        let mut command = Command::new(compiler);
        command
            .current_dir(directory)
            .args(["--driver-mode=cl", "/c", "/Z7", "/nologo", "/X", "/GS-", "/EHs-c-", "/GR-"])
            .args(["/Od", "/Iinc", "--target=x86_64-pc-windows-msvc", "/Zl"])
            .arg(if shape.apart { "/Gy" } else { "/Gy-" })
            .arg(format!("/Foobj/{name}.obj"))
            .arg(format!("{name}.cpp"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let templates = COMPILED.min(shape.units);
    for template in 0..templates {
        compile(&unit_name(TEMPLATE + template), &unit_text(shape, TEMPLATE + template));
    }
    let mut objects = String::from("obj/main.obj\n");
    let mut main = String::from(MEMSET);
    let mut calls = String::from("extern \"C\" int entry() {\n  int s = 0;\n");
    for unit in 0..shape.units {
        let template = TEMPLATE + unit % templates;
        let mut bytes =
            fs::read(directory.join(format!("obj/{}.obj", unit_name(template)))).unwrap();
        rename(&mut bytes, &format!("_{template:05}"), &format!("_{unit:05}"));
        fs::write(directory.join(format!("obj/{}.obj", unit_name(unit))), bytes).unwrap();
        writeln!(objects, "obj/{}.obj", unit_name(unit)).unwrap();
        writeln!(main, "extern \"C\" int entry_{unit:05}(int);").unwrap();
        writeln!(calls, "  s += entry_{unit:05}(s);").unwrap();
    }
    compile("main", &format!("{main}{calls}  return s;\n}}\n"));
    fs::write(directory.join("objects"), objects).unwrap();
    let output = Command::new(linker)
        .current_dir(directory)
        .args(["/debug", "/nodefaultlib", "/entry:entry", "/subsystem:console", "/machine:x64"])
        .args(["/opt:noref", "/opt:noicf", "/out:big.exe", "/pdb:unfinished.pdb", "@objects"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    fs::remove_dir_all(directory.join("obj")).unwrap();
    fs::rename(directory.join("unfinished.pdb"), &pdb).unwrap();
    Some(pdb)
}

/// The first of the programs that is there.
pub fn tool(names: &[&'static str]) -> Option<&'static str> {
    let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    names.iter().find(runs).copied()
}

/// The number of the first unit that is compiled.
const TEMPLATE: usize = 90_000;

fn unit_name(unit: usize) -> String {
    format!("unit_{unit:05}")
}

fn rename(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, from).collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
}

fn header_name(header: usize) -> String {
    format!("inc/engine/module_{:03}/component_header_{header:05}.h", header / 25)
}

/// Every tenth has nothing but macros.
fn header_text(header: usize) -> String {
    let module = header / 25;
    if header % 10 == 9 {
        return format!("#pragma once\n#define MACRO_ONLY_{header}(x) ((x)*{header})\n");
    }
    format!(
        "#pragma once
#define HDR_{header}_SCALE(x) ((x) * {scale})
namespace engine {{ namespace module_{module:03} {{
struct Record_{header:05} {{ int id; float weight; unsigned long long key; const char* name; }};
enum class Mode_{header:05} {{ Off, On, Auto, Count }};
template <class T> class Box_{header:05} {{
  T value_; int count_;
public:
  explicit Box_{header:05}(T v) : value_(v), count_(0) {{}}
  T get() const {{ return value_; }}
  Box_{header:05}& set(T v) {{
    value_ = v;
    ++count_;
    return *this;
  }}
}};
inline int helper_{header:05}(Record_{header:05}& r, Mode_{header:05} m) {{
  Box_{header:05}<int> b(r.id);
  b.set(HDR_{header}_SCALE(r.id)).set(b.get() + (int)m);
  return b.get();
}}
}} }}
",
        scale = header % 97 + 1,
    )
}

fn unit_text(shape: &Shape, unit: usize) -> String {
    // A few numbers of a linear congruential generator spread the headers.
    let mut state = unit as u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut headers = std::collections::BTreeSet::new();
    while headers.len() < shape.per_unit.min(shape.headers) {
        headers.insert(next() % shape.headers);
    }
    let live: Vec<usize> = headers.iter().copied().filter(|header| header % 10 != 9).collect();
    let mut text = String::new();
    for &header in &headers {
        let name = header_name(header);
        writeln!(text, "#include \"{}\"", name.strip_prefix("inc/").unwrap()).unwrap();
    }
    writeln!(text, "namespace game {{ namespace unit_{unit:05} {{").unwrap();
    writeln!(text, "static int counter_{unit:05};\nint table_{unit:05}[8] = {{1,2,3}};").unwrap();
    for function in 0..shape.functions {
        let header = live[function % live.len()];
        let module = header / 25;
        let blocks: String = (0..shape.blocks)
            .map(|block| {
                format!("  {{ int local_{block} = seed + {block}; sum += local_{block}; }}\n")
            })
            .collect();
        writeln!(
            text,
            "int update_{function:03}(int seed, float dt) {{
  engine::module_{module:03}::Record_{header:05} rec{{seed, dt, (unsigned long long)seed, \"u_{unit:05}f{function}\"}};
  int sum = counter_{unit:05}++;
  for (int i = 0; i < {rounds}; ++i) {{
    rec.id += i;
    if (rec.id & {bit})
      sum += engine::module_{module:03}::helper_{header:05}(rec, engine::module_{module:03}::Mode_{header:05}::Auto);
    else
      sum -= rec.id ^ table_{unit:05}[i & 7];
  }}
{blocks}  return sum;
}}",
            rounds = next() % 37 + 3,
            bit = 1 << (next() % 8),
        )
        .unwrap();
    }
    text.push_str("int touch_all(int seed) {\n  int sum = 0;\n");
    for header in live.iter().skip(shape.functions) {
        let module = header / 25;
        writeln!(
            text,
            "  {{ engine::module_{module:03}::Record_{header:05} r{{seed,0,0,0}}; sum += \
             engine::module_{module:03}::helper_{header:05}(r, engine::module_{module:03}::Mode_{header:05}::On); }}",
        )
        .unwrap();
    }
    text.push_str("  return sum;\n}\n} }\n");
    writeln!(
        text,
        "extern \"C\" int entry_{unit:05}(int x) {{ return game::unit_{unit:05}::update_000(x, 1.f) + \
         game::unit_{unit:05}::touch_all(x); }}",
    )
    .unwrap();
    text
}

const MEMSET: &str = "extern \"C\" void* memset(void* p, int c, unsigned long long n) {
  char* q = (char*)p; while (n--) *q++ = (char)c; return p; }
extern \"C\" int _fltused = 0;
";
