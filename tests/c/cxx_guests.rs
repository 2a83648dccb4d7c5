//! Guests with C++ in them: nothing of it is torn.

use reloader_tests::Build;

use crate::program::{Script, guest_cxx, host};

/// The values of a good many reloads in a row, the last of which is closed.
fn reloaded(build: impl Fn(usize) -> Build) -> Vec<String> {
    let mut script = Script::new(&build(1)).update(1);
    for n in 2..8 {
        script = script.put(&build(n)).update(1);
    }
    let lines = script.and("close").updates(&host(""));
    lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn globals_function_statics_and_maps_keep_or_renew_their_content_whole() {
    let build = |n| {
        guest_cxx(
            &format!(
                "#include <string>\n#include <unordered_map>\n#include <vector>\n/* {n} */\n\
                 static std::vector<int> numbers(1000, 1);\nstatic std::unordered_map<int, int> map;\n\
                 static std::string name = \"short\";\nlong far[{n} * 4000] = {{ 1 }};\n\
                 static std::vector<int> &local() {{ static std::vector<int> it(10, 2); return it; }}"
            ),
            "if (operation == CR_LOAD) for (int i = 0; i < 100; i++) map[i] = 1;\n\
             int sum = 0; for (int n : numbers) sum += n; for (int n : local()) sum += n;\n\
             for (auto &pair : map) sum += pair.second;\n\
             if (name != \"short\") return 0;\nname = \"short\"; return sum;",
        )
    };
    assert_eq!(reloaded(build), ["1120"; 7]);
}

#[test]
fn pointers_into_the_image_lead_to_the_new_one() {
    let build = |n| {
        guest_cxx(
            &format!(
                "#include <cstring>\nlong far[{n} * 9000] = {{ 1 }};\n\
                 struct shape {{ virtual int corners() {{ return 4; }} virtual ~shape() {{}} }};\n\
                 static int answer() {{ return {n}; }}\n\
                 static int CR_STATE number = 30;\nstatic int CR_STATE *to_number = nullptr;\n\
                 static const char CR_STATE *text = nullptr;\nstatic int (CR_STATE *function)() = nullptr;\n\
                 static shape CR_STATE *object = nullptr;"
            ),
            "if (!object) { object = new shape; to_number = &number; text = \"literal\"; function = answer; }\n\
             if (std::strcmp(text, \"literal\") != 0) return -1;\n\
             return object->corners() * 1000 + *to_number * 10 + function();",
        )
    };
    assert_eq!(reloaded(build), ["4301", "4302", "4303", "4304", "4305", "4306", "4307"]);
}

#[test]
fn inline_statics_thread_locals_and_exit_handlers_hold_nobody() {
    let build = |n| {
        guest_cxx(
            &format!(
                "#include <cstdlib>\n#include <iostream>\n\
                 template <int> struct counted {{ static inline int count = {n}; }};\n\
                 struct noisy {{ int n = {n}; ~noisy() {{ n = 0; }} }};\n\
                 static thread_local noisy local;\nstatic void at_end() {{}}"
            ),
            "if (operation == CR_LOAD) std::atexit(at_end);\n\
             try { throw 5; } catch (int) {}\nstd::cerr.flush();\n\
             return counted<0>::count * 10 + local.n;",
        )
    };
    assert_eq!(reloaded(build), ["11", "22", "33", "44", "55", "66", "77"]);
}
