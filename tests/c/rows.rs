//! Where each behaviour of cr's that hosts can see is tested: what it does well and what it does
//! badly, row by row, and what its own test asserts.
//!
//! Every test named here runs a host that includes `cr.h`, in a process of its own.

/// What happens, and the tests of it.
const ROWS: &[(&str, &[&str])] = &[
    // What cr's own test asserts, in its order.
    ("open, first update: version 1, variables of files and functions count", CR_FLOW),
    ("touch: a new version of the same bytes, state goes on, the heap stays", CR_FLOW),
    ("a fault in a step: -1, version and failure at once", CR_FLOW),
    ("the next update: the version before, with the state it was left with", CR_FLOW),
    ("a number is never used again", CR_FLOW),
    ("a fault in a load: -2, then the version before", CR_FLOW),
    ("a fault in an unload: -2, the next lower number, even one that failed before", CR_FLOW),
    ("close: no plugin, no version", CR_FLOW),
    ("the names inside `p`, cr_version_path, cr_del", CR_FLOW),
    // Crashes.
    (
        "a step: memory, instruction, bus, abort, assertion, raise, double free, division, trap, stack",
        &["every_fault_in_a_step_goes_back_and_the_next_build_loads"],
    ),
    ("a step: terminate", &["an_exception_that_leaves_the_guest_is_a_failure"]),
    (
        "the first version, in a step or load",
        &["a_first_version_that_fails_leaves_the_place_to_a_fixed_build"],
    ),
    ("a load", &["a_load_that_fails_goes_back_and_the_next_build_loads"]),
    (
        "a load, and the rollback's load",
        &["a_load_that_fails_goes_back_even_where_the_rollback_fails_too"],
    ),
    ("an unload", &["the_build_that_waited_for_a_failed_unload_is_loaded_after_all"]),
    (
        "an unload of the only version",
        &["an_unload_that_fails_does_not_cost_the_only_version_the_new_build"],
    ),
    ("a close", &["a_crash_in_close_leaves_nothing_behind"]),
    ("a negative number from a step", &["a_negative_number_is_handed_on_and_goes_back"]),
    (
        "a negative number from a load, from an unload",
        &["a_negative_number_from_a_load_goes_back_and_one_from_an_unload_loses_nothing"],
    ),
    ("an exception", &["an_exception_that_leaves_the_guest_is_a_failure"]),
    (
        "an exception, and a host that catches",
        &["a_hosts_own_catch_is_not_bothered_with_the_guests_exceptions"],
    ),
    // Without a deadline the host waits, as cr's does.
    ("an endless loop", &["an_endless_loop_is_a_failure_where_the_host_sets_a_deadline"]),
    ("exit()", &["exit_in_a_guest_ends_the_process_as_it_says"]),
    (
        "a thread of the guest's, during an update",
        &["a_fault_on_a_thread_of_the_guests_ends_the_host_and_nothing_else_happens"],
    ),
    (
        "a thread of the guest's, between updates",
        &["a_fault_on_a_thread_of_the_guests_between_updates_ends_the_host_too"],
    ),
    (
        "the host's own fault, on each thread, with and without a handler of its own, after the close",
        &["the_hosts_own_bug_ends_the_host_as_it_would_without_us"],
    ),
    (
        "nested: the inner plugin, the outer one after it called the inner",
        &["a_plugin_in_a_plugin_crashes_alone"],
    ),
    ("two plugins in turn", &["of_two_plugins_in_turn_one_crashes_alone"]),
    ("two plugins on two threads", &["of_two_plugins_on_two_threads_one_crashes_alone"]),
    (
        "a reload while a thread runs guest code",
        &["a_guest_with_a_running_thread_is_reloaded_and_its_thread_runs_on"],
    ),
    ("a constructor", &["a_constructor_that_crashes_costs_nothing"]),
    ("a destructor", &["a_destructor_that_crashes_costs_nothing"]),
    ("good, bad image, good, good, then two failures", &["what_never_worked_is_not_gone_back_to"]),
    // Images.
    (
        "cut short: at 10, 50, 90 %, 2 MB in half, before the section headers",
        &["a_truncated_build_is_waited_for"],
    ),
    ("the first build cut short", &["a_truncated_first_build_is_waited_for_too"]),
    ("30 MB by a slow linker", &["a_build_that_a_slow_linker_writes_is_loaded_when_it_is_whole"]),
    (
        "zeros in the middle, text, noise, another machine's, a library or a symbol that is missing, no cr_main",
        &["what_can_never_be_loaded_is_refused_once_and_costs_nothing"],
    ),
    ("text as the first build", &["a_text_file_as_the_first_build_leaves_the_place_to_a_good_one"]),
    ("50 refusals", &["what_is_refused_again_and_again_is_not_kept"]),
    (
        "an empty file, a file gone for a moment",
        &["a_build_that_is_gone_for_a_moment_or_empty_is_waited_for"],
    ),
    (
        "no section headers: in each build, in the second, at other addresses",
        &["without_section_headers_state_is_not_lost_in_silence"],
    ),
    (
        "stripped; gold, lld, mold; a section of one's own",
        &["every_linker_and_a_section_of_ones_own_keep_the_state"],
    ),
    (
        "collected sections, packed relocations, no RELRO, clang with GNU ld",
        &["every_way_of_linking_keeps_the_state"],
    ),
    // State, each in all four modes.
    ("no change", &["an_unchanged_build_keeps_everything"]),
    (
        "grown by 4 and by 8 bytes, inserted in front",
        &["what_is_new_starts_with_its_initialiser_and_the_rest_is_kept"],
    ),
    ("reordered", &["reordered_variables_keep_their_own_values"]),
    ("widened, dropped", &["widened_and_shrunken_state_keeps_what_it_has"]),
    ("moved", &["moved_state_is_refused_by_the_safest_mode_only"]),
    (".bss grows, shrinks", &["the_untagged_zeros_count_for_the_modes_that_compare_sizes"]),
    (
        ".state first appears, disappears",
        &["state_that_first_appears_or_disappears_is_refused_by_the_modes_that_compare_sizes_only"],
    ),
    ("a refused build, and the next", &["a_refused_build_is_followed_by_the_next_one"]),
    (".bss of 64-byte alignment", &["untagged_zeros_that_are_aligned_keep_every_element"]),
    (
        "untagged zeros, untagged data, thread-local variables",
        &[
            "untagged_zeros_are_carried_and_untagged_data_is_not",
            "what_a_thread_has_for_itself_starts_fresh",
        ],
    ),
    // C++.
    (
        "vector, map, short string in an image that moves, static of a function",
        &[
            "globals_function_statics_and_maps_keep_or_renew_their_content_whole",
            "where_destructors_are_registered_untagged_zeros_start_fresh",
        ],
    ),
    ("function, literal, own static, vtable", &["pointers_into_the_image_lead_to_the_new_one"]),
    (
        "static of a template, thread_local, atexit, iostream, exceptions",
        &["inline_statics_thread_locals_and_exit_handlers_hold_nobody"],
    ),
    // Detection, files, paths.
    (
        "two builds in a second, an older one, a touched one, 12 versions",
        &["builds_of_one_second_older_ones_and_equal_ones_are_all_noticed"],
    ),
    (
        "a link that is switched",
        &["a_link_that_is_switched_to_a_build_of_the_same_time_is_noticed"],
    ),
    (
        "a rebuilt library",
        &[
            "a_rebuilt_library_beside_the_guest_is_a_new_build_of_it",
            "a_rebuilt_library_that_another_beside_the_guest_needs_is_a_new_build_too",
        ],
    ),
    (
        "a temporary path and a library beside the guest",
        &[
            "a_library_beside_the_guest_is_found_from_any_temporary_path",
            "a_library_without_a_name_of_its_own_is_found_beside_the_guest",
            "a_search_path_of_the_old_sort_finds_what_the_libraries_need",
        ],
    ),
    (
        "no temporary directory, a full one, one mounted noexec",
        &["where_the_system_has_no_place_for_copies_they_are_made_beside_the_plugin"],
    ),
    ("two processes", &["two_processes_with_one_plugin_do_not_meet"]),
    ("plug and plug1", &["plugins_with_names_like_versions_do_not_meet"]),
    ("a longer copy left over", &["what_cr_left_behind_is_neither_used_nor_touched"]),
    (
        "what the close leaves; a temporary path without a slash",
        &["copies_lie_where_the_host_says_and_go_with_the_plugin"],
    ),
    (
        "a temporary path that is missing, or read-only",
        &["a_temporary_path_that_is_missing_or_read_only_is_no_reason_to_fail"],
    ),
    (
        "spaces, UTF-8, no extension, .so.1.2, 3,000 characters, a linked directory, a backslash, a bare name",
        &["odd_paths_are_paths"],
    ),
    ("CR_HOST in two files", &["both_headers_compile_strictly_in_every_language_and_file"]),
    ("a host in C", &["every_compiler_language_and_optimisation_works_with_every_other"]),
    ("gdb", &["a_breakpoint_by_file_and_line_is_hit_in_a_later_version"]),
];

const CR_FLOW: &[&str] = &["versions_state_and_failures_come_as_in_cr"];

#[test]
fn every_row_names_tests_that_there_are() {
    let sources = [
        include_str!("cr_flow.rs"),
        include_str!("crashes.rs"),
        include_str!("cxx_guests.rs"),
        include_str!("debugger.rs"),
        include_str!("dependencies.rs"),
        include_str!("files.rs"),
        include_str!("headers.rs"),
        include_str!("hosts.rs"),
        include_str!("images.rs"),
        include_str!("state.rs"),
    ];
    for (row, tests) in ROWS {
        assert!(!tests.is_empty(), "{row}");
        for test in *tests {
            let found = sources.iter().any(|it| it.contains(&format!("#[test]\nfn {test}()")));
            assert!(found, "{row}: there is no {test}");
        }
    }
}
