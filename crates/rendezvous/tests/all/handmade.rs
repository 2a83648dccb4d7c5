use rendezvous::oracle::{START, rendezvous_walk};
use rendezvous::{
    Bytes, Consistency, Core, LocateError, Location, Mappings, Memory, Rendezvous, Role, State,
    System, Way,
};

use crate::paper::{
    DT_DEBUG, DT_MIPS_RLD_MAP, DT_MIPS_RLD_MAP_REL, EM_MIPS, LAYOUTS, Nodes, Paper,
};

fn names(paper: &Paper) -> Vec<String> {
    let snapshot = paper.found().snapshot(&paper.memory());
    assert_eq!(snapshot.problem, None);
    assert_eq!(snapshot.consistency, Consistency::Consistent);
    snapshot.modules().map(|module| module.path_lossy().into_owned()).collect()
}

#[test]
fn a_list_is_found_and_read_in_every_layout() {
    for layout in LAYOUTS {
        let (paper, nodes) = Paper::simple(layout, &["", "/lib/a.so", "b.so"]);
        assert_eq!(names(&paper), ["", "/lib/a.so", "b.so"], "{layout:?}");
        let rendezvous = paper.found();
        assert_eq!(rendezvous.way, Way::DynamicTable);
        let snapshot = rendezvous.snapshot(&paper.memory());
        let [namespace] = &snapshot.namespaces[..] else { panic!("{snapshot:?}") };
        assert_eq!(namespace.head.breakpoint, 0xb4c);
        assert_eq!(namespace.head.loader_base, 0x7000_0000);
        assert_eq!(namespace.head.state, State::Consistent);
        for (index, module) in namespace.modules.iter().enumerate() {
            assert_eq!(module.link_map, nodes[index]);
            assert_eq!(module.bias, 0x100_0000 * (index as u64 + 1));
            assert_eq!(module.dynamic, module.bias + 0x2000);
            assert_eq!(module.namespace, 0);
        }
    }
}

#[test]
fn every_kind_of_node_gives_the_bias_and_not_the_base() {
    for layout in LAYOUTS {
        for (nodes, system, release, machine) in [
            (Nodes::SystemV, System::Linux, None, 62),
            (Nodes::SystemV, System::Linux, None, EM_MIPS),
            (Nodes::SystemV, System::FreeBsd, Some(1_200_000), 62),
            (Nodes::SystemV, System::FreeBsd, None, 62),
            (Nodes::OldMips, System::FreeBsd, Some(1_200_000), EM_MIPS),
            (Nodes::FreeBsd13, System::FreeBsd, Some(1_300_000), 62),
            (Nodes::FreeBsd13Mips, System::FreeBsd, Some(1_300_000), EM_MIPS),
        ] {
            let mut paper = Paper::new(layout);
            paper.startup.system = system;
            paper.startup.auxv.freebsd_release = release;
            let list = paper.list(nodes, &["/bin/main", "/lib/a.so"]);
            // FreeBSD has left the version 0.
            let head = paper.head(0, list[0], 0, 0xbad);
            paper.program(machine, &[(DT_DEBUG, head)]);
            assert_eq!(names(&paper), ["/bin/main", "/lib/a.so"]);
            let snapshot = paper.found().snapshot(&paper.memory());
            let biases: Vec<u64> = snapshot.modules().map(|module| module.bias).collect();
            assert_eq!(biases, [0x100_0000, 0x200_0000]);
        }
    }
}

#[test]
fn mips_tags_lead_to_the_list_by_a_pointer() {
    for layout in LAYOUTS {
        for tag in [DT_MIPS_RLD_MAP, DT_MIPS_RLD_MAP_REL] {
            let mut paper = Paper::new(layout);
            let nodes = paper.list(Nodes::SystemV, &["", "libc.so"]);
            let head = paper.head(1, nodes[0], 0, 0);
            let pointer = paper.put_words(&[head]);
            // DT_DEBUG is there too, and stays 0.
            let dynamic = paper.program(EM_MIPS, &[(DT_DEBUG, 0), (tag, pointer)]);
            if tag == DT_MIPS_RLD_MAP_REL {
                let entry = dynamic + 2 * layout.word_size() as u64;
                paper.set_nth(dynamic, 3, layout.subtract(pointer, entry));
            }
            assert_eq!(names(&paper), ["", "libc.so"], "{layout:?} {tag:#x}");
        }
    }
}

#[test]
fn before_the_loader_has_run_the_answer_is_where_to_wait() {
    for layout in LAYOUTS {
        let not_yet = Location::NotYet { wait_at: 0xe47 };
        // The tag is 0 until the loader fills it.
        let mut paper = Paper::new(layout);
        paper.program(62, &[(DT_DEBUG, 0)]);
        assert_eq!(paper.locate(), not_yet);
        // It leads to a structure that the loader has not filled.
        for (first, breakpoint) in [(0, 0), (0, 0xb4c), (0x1_0040, 0)] {
            let mut paper = Paper::new(layout);
            let head = paper.put_words(&[0, first, breakpoint, 0, 0, 0]);
            paper.program(62, &[(DT_DEBUG, head)]);
            assert_eq!(paper.locate(), not_yet);
        }
    }
}

#[test]
fn a_static_program_has_no_lists() {
    for layout in LAYOUTS {
        let mut paper = Paper::new(layout);
        paper.program(62, &[]);
        let memory = paper.memory();
        let result = Rendezvous::locate(&memory, &paper.startup, None);
        assert_eq!(result, Err(LocateError::Static));
        let result = Rendezvous::locate(&memory, &paper.startup, Some(&Bytes::default()));
        assert_eq!(result, Err(LocateError::Static));
    }
}

#[test]
fn what_is_missing_is_named() {
    let (paper, _) = Paper::simple(LAYOUTS[2], &[""]);
    let locate = |edit: &dyn Fn(&mut Paper)| {
        let mut paper = paper.clone();
        edit(&mut paper);
        Rendezvous::locate(&paper.memory(), &paper.startup, None).unwrap_err().to_string()
    };
    let no_headers = locate(&|paper| paper.startup.auxv.phdr = None);
    assert_eq!(no_headers, "the auxiliary vector has no AT_PHDR");
    let bad_headers = locate(&|paper| paper.startup.auxv.phdr = Some(0x5000_0000));
    assert_eq!(bad_headers, "program headers: 0x1 bytes at 0x50000000: not mapped");
    let many_headers = locate(&|paper| paper.startup.auxv.phnum = Some(u64::MAX));
    assert!(many_headers.starts_with("program headers: 0x1 bytes at 0x1"), "{many_headers}");
}

#[test]
fn a_program_with_pt_phdr_needs_no_header() {
    for layout in LAYOUTS {
        let (mut paper, _) = Paper::simple(layout, &["", "libc.so"]);
        // Two program headers that stand alone, as in a program whose headers are mapped apart.
        let table = paper.startup.auxv.phdr.unwrap();
        let size = if layout.word_size() == 8 { 56 } else { 32 };
        let start = (table - START) as usize;
        let mut headers = paper.bytes[start..start + 2 * size].to_vec();
        headers[..4].copy_from_slice(&paper.half(6));
        let moved = paper.put(&headers);
        let address = if layout.word_size() == 8 { 16 } else { 8 };
        paper.set_word(moved + address, moved);
        paper.startup.auxv.phdr = Some(moved);
        paper.set(table - if size == 56 { 64 } else { 52 }, b"none");
        assert_eq!(names(&paper), ["", "libc.so"]);
    }
}

#[test]
fn namespaces_follow_each_other_from_version_2_on() {
    for layout in LAYOUTS {
        let mut paper = Paper::new(layout);
        let third = paper.list(Nodes::SystemV, &["three.so"]);
        let third = paper.head(2, third[0], 0, 0);
        // A place that the loader may use again.
        let second = paper.head(2, 0, 0, third);
        let first = paper.list(Nodes::SystemV, &["", "one.so"]);
        let first = paper.head(2, first[0], 0, second);
        paper.program(62, &[(DT_DEBUG, first)]);
        assert_eq!(names(&paper), ["", "one.so", "three.so"]);
        let snapshot = paper.found().snapshot(&paper.memory());
        let places: Vec<u32> = snapshot.modules().map(|module| module.namespace).collect();
        assert_eq!(places, [0, 0, 2]);

        let version = paper.half(1);
        paper.set(first, &version);
        assert_eq!(names(&paper), ["", "one.so"]);
    }
}

#[test]
fn the_loader_at_work_is_said_so() {
    for (state, expected) in
        [(1, State::Add), (2, State::Delete), (7, State::Unknown(7)), (0, State::Consistent)]
    {
        let (mut paper, nodes) = Paper::simple(LAYOUTS[1], &["", "libc.so"]);
        let head = paper.head(1, nodes[0], state, 0);
        paper.program(62, &[(DT_DEBUG, head)]);
        let snapshot = paper.found().snapshot(&paper.memory());
        assert_eq!(snapshot.namespaces[0].head.state, expected);
        let is_at_work = snapshot.consistency == Consistency::Changing;
        assert_eq!(is_at_work, state != 0);
        assert_eq!(snapshot.modules().count(), 2);
    }
}

#[test]
fn roles_are_told_by_addresses_alone() {
    for layout in LAYOUTS {
        let mut paper = Paper::new(layout);
        let nodes = paper.list(Nodes::SystemV, &["ld.so", "vdso", "main", "linux-vdso.so.1"]);
        let head = paper.head(1, nodes[0], 0, 0);
        let program = paper.program(62, &[(DT_DEBUG, head)]);
        let table = paper.put_words(&[0, 0]);
        let loader = paper.image(0, 62, &[(1, 0, 0x8000), (2, table, 16)]);
        let kernel = paper.image(0x7000, 62, &[(1, 0, 0x1000)]);
        paper.startup.auxv.base = Some(loader);
        paper.startup.auxv.sysinfo_ehdr = Some(kernel);
        for (node, dynamic) in nodes.iter().zip([table, kernel + 0x800, program, 0x123]) {
            paper.set_nth(*node, 2, dynamic);
        }
        let snapshot = paper.found().snapshot(&paper.memory());
        let roles: Vec<Role> = snapshot.modules().map(|module| module.role).collect();
        assert_eq!(roles, [Role::Loader, Role::Kernel, Role::Program, Role::Library], "{layout:?}");
    }
}

#[test]
fn a_name_that_is_not_there_is_none_and_no_problem() {
    let (mut paper, nodes) = Paper::simple(LAYOUTS[0], &["", "libc.so"]);
    paper.set_nth(nodes[1], 1, 0x5000_0000);
    let snapshot = paper.found().snapshot(&paper.memory());
    assert_eq!(snapshot.problem, None);
    assert_eq!(snapshot.modules().last().unwrap().name, None);
    assert_eq!(snapshot.modules().last().unwrap().path(), b"");
}

#[test]
fn a_memory_behind_a_reference_is_the_same_memory() {
    let (paper, _) = Paper::simple(LAYOUTS[3], &["", "libc.so"]);
    let memory = paper.memory();
    let dynamic: &dyn Memory = &memory;
    let rendezvous = paper.found();
    assert_eq!(rendezvous.snapshot(dynamic), rendezvous.snapshot(&&memory));
}

#[test]
fn core_files_of_every_layout_are_read() {
    for layout in LAYOUTS {
        let (paper, nodes) = Paper::simple(layout, &["", "/lib/a.so"]);
        let bytes = paper.to_core();
        let core = Core::parse(&bytes).unwrap();
        assert_eq!(core.startup(), &paper.startup);
        let rendezvous = core.locate(None).unwrap().found().unwrap();
        let mut snapshot = rendezvous.snapshot(&core);
        assert_eq!(snapshot.problem, None);
        let found: Vec<u64> = snapshot.modules().map(|module| module.link_map).collect();
        assert_eq!(found, nodes);
        let mapping = core.mappings().mapping_at(START).unwrap();
        assert_eq!(mapping.range, START..START + 0x1000);
        let file = mapping.file.unwrap();
        assert_eq!((&file.path[..], file.is_deleted), (&b"/lib/paper.so"[..], true));
        snapshot.resolve(&core, core.mappings());
        assert!(snapshot.modules().all(|module| module.file.is_none()));
        for length in 0..bytes.len() {
            rendezvous_walk(&bytes[..length]);
        }
    }
}

#[test]
fn a_core_file_of_freebsd_says_which_release_it_is_of() {
    for layout in LAYOUTS {
        let mut paper = Paper::new(layout);
        paper.startup.system = System::FreeBsd;
        paper.startup.auxv.freebsd_release = Some(1_400_000);
        let list = paper.list(Nodes::FreeBsd13, &["/bin/main", "/lib/a.so"]);
        let head = paper.head(1, list[0], 0, 0);
        paper.program(62, &[(DT_DEBUG, head)]);
        let bytes = paper.to_core();
        let core = Core::parse(&bytes).unwrap();
        assert_eq!(core.startup(), &paper.startup);
        let snapshot = core.locate(None).unwrap().found().unwrap().snapshot(&core);
        let biases: Vec<u64> = snapshot.modules().map(|module| module.bias).collect();
        assert_eq!(biases, [0x100_0000, 0x200_0000]);
    }
}
