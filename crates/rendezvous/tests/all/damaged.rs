use std::cell::Cell;

use rendezvous::oracle::START;
use rendezvous::{Bytes, Core, MappingTable, Mappings, Memory, ReadError, Snapshot, WalkError};

use crate::paper::{DT_DEBUG, LAYOUTS, Nodes, Paper};

fn snapshot(paper: &Paper) -> Snapshot {
    paper.found().snapshot(&paper.memory())
}

/// A list of five, of which `edit` gets the nodes; how many modules are found, and the problem.
fn five(edit: impl Fn(&mut Paper, &[u64])) -> (usize, Option<WalkError>) {
    let [first, rest @ ..] = LAYOUTS.map(|layout| {
        let (mut paper, nodes) = Paper::simple(layout, &["", "a", "b", "c", "d"]);
        edit(&mut paper, &nodes);
        let snapshot = snapshot(&paper);
        (snapshot.modules().count(), snapshot.problem.map(|problem| (problem, nodes)))
    });
    for other in rest {
        assert_eq!(other.0, first.0);
        let kind = |it: &Option<(WalkError, Vec<u64>)>| {
            it.as_ref().map(|(problem, _)| std::mem::discriminant(problem))
        };
        assert_eq!(kind(&other.1), kind(&first.1));
    }
    (first.0, first.1.map(|(problem, _)| problem))
}

const NEXT: usize = 3;
const PREVIOUS: usize = 4;

#[test]
fn a_cycle_ends_the_walk_where_it_closes() {
    for back_to in 0..4 {
        let (count, problem) = five(|paper, nodes| paper.set_nth(nodes[3], NEXT, nodes[back_to]));
        assert_eq!(count, 4);
        assert!(matches!(problem, Some(WalkError::Cycle { .. })), "{problem:?}");
    }
}

#[test]
fn a_wrong_back_link_ends_the_walk_before_it() {
    let (count, problem) = five(|paper, nodes| paper.set_nth(nodes[2], PREVIOUS, nodes[0]));
    assert_eq!(count, 2);
    assert!(matches!(problem, Some(WalkError::BackLink { .. })), "{problem:?}");
    let (count, problem) = five(|paper, nodes| paper.set_nth(nodes[0], PREVIOUS, nodes[1]));
    assert_eq!(count, 0);
    assert!(matches!(problem, Some(WalkError::BackLink { expected: 0, .. })), "{problem:?}");
}

#[test]
fn a_link_to_nowhere_ends_the_walk() {
    let (count, problem) = five(|paper, nodes| paper.set_nth(nodes[2], NEXT, 0x5000_0000));
    assert_eq!(count, 3);
    assert!(matches!(problem, Some(WalkError::Node(error)) if error.address == 0x5000_0000));
}

#[test]
fn a_name_without_end_is_none_and_the_walk_goes_on() {
    let (count, problem) = five(|paper, nodes| {
        let name = paper.put(&[b'x'; 5000]);
        paper.set_nth(nodes[1], 1, name);
    });
    assert_eq!(count, 5);
    assert!(matches!(problem, Some(WalkError::Name { .. })), "{problem:?}");
}

#[test]
fn a_name_may_be_as_long_as_a_path() {
    let name = "x".repeat(4095);
    let (paper, _) = Paper::simple(LAYOUTS[2], &["", &name]);
    let snapshot = snapshot(&paper);
    assert_eq!(snapshot.problem, None);
    assert_eq!(snapshot.modules().last().unwrap().path(), name.as_bytes());
}

#[test]
fn heads_that_lead_back_end_the_walk() {
    let mut paper = Paper::new(LAYOUTS[2]);
    let list = paper.list(Nodes::SystemV, &["", "a"]);
    let head = paper.head(2, list[0], 0, 0);
    paper.set_nth(head, 5, head);
    paper.program(62, &[(DT_DEBUG, head)]);
    let snapshot = snapshot(&paper);
    assert_eq!(snapshot.modules().count(), 2);
    assert_eq!(snapshot.problem, Some(WalkError::Cycle { at: head }));
    assert_eq!(paper.found().heads(&paper.memory()), Err(WalkError::Cycle { at: head }));
}

#[test]
fn more_namespaces_than_any_loader_has_are_not_walked() {
    let mut paper = Paper::new(LAYOUTS[2]);
    let list = paper.list(Nodes::SystemV, &["a"]);
    let mut next = 0;
    for _ in 0..1100 {
        next = paper.head(2, list[0], 0, next);
    }
    paper.program(62, &[(DT_DEBUG, next)]);
    let snapshot = snapshot(&paper);
    assert_eq!(snapshot.namespaces.len(), 1024);
    assert_eq!(snapshot.problem, Some(WalkError::TooManyNamespaces { limit: 1024 }));
}

#[test]
fn more_modules_than_any_process_has_are_not_walked() {
    let mut paper = Paper::new(LAYOUTS[2]);
    let names = vec!["a"; (1 << 16) + 1];
    let list = paper.list(Nodes::SystemV, &names);
    let head = paper.head(1, list[0], 0, 0);
    paper.program(62, &[(DT_DEBUG, head)]);
    // The program's only segment is large enough.
    let snapshot = snapshot(&paper);
    assert_eq!(snapshot.modules().count(), 1 << 16);
    assert_eq!(snapshot.problem, Some(WalkError::TooLong { limit: 1 << 16 }));
}

#[test]
fn a_list_whose_head_cannot_be_read_is_empty() {
    let mut paper = Paper::new(LAYOUTS[2]);
    paper.program(62, &[(DT_DEBUG, 0x5000_0000)]);
    let snapshot = snapshot(&paper);
    assert_eq!(snapshot.modules().count(), 0);
    assert!(matches!(snapshot.problem, Some(WalkError::Head(_))), "{:?}", snapshot.problem);
}

#[test]
fn every_changed_byte_of_a_small_target_keeps_every_promise() {
    for layout in LAYOUTS {
        let (paper, _) = Paper::simple(layout, &["", "/lib/a.so", "b"]);
        let mut input = paper.to_input();
        for index in 0..input.len() {
            let old = input[index];
            for new in [0, 0xff, old ^ 1, old ^ 8] {
                input[index] = new;
                rendezvous::oracle::rendezvous_walk(&input);
            }
            input[index] = old;
        }
    }
}

/// Modules whose images are one and the same: 65,000 segments of notes, each the same 64 KiB, and
/// none of them is a build ID.
fn notes_without_end(modules: usize) -> Paper {
    let mut paper = Paper::new(LAYOUTS[2]);
    let name: Vec<u8> = [4_u32, 0, 77].iter().flat_map(|it| it.to_le_bytes()).collect();
    let notes = paper.put(&[&name[..], b"XYZ\0"].concat().repeat(4096));
    let dynamic = paper.put_words(&[0, 0]);
    let mut segments = vec![(1, 0, 0x40_0000), (2, dynamic, 16)];
    segments.resize(65_000, (4, notes, 0x1_0000));
    let start = (paper.here() + 7) & !7;
    let image = paper.image(start, 62, &segments);
    assert_eq!(image, start);
    let nodes = paper.list(Nodes::SystemV, &vec!["bomb"; modules]);
    for &node in &nodes {
        paper.set_nth(node, 0, image);
        paper.set_nth(node, 2, dynamic);
    }
    let head = paper.head(1, nodes[0], 0, 0);
    paper.program(62, &[(DT_DEBUG, head)]);
    paper
}

/// Memory that counts what is asked of it.
struct Counted<'data>(Bytes<'data>, Cell<usize>);

impl Memory for Counted<'_> {
    fn read_exact_at(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        self.1.set(self.1.get() + buffer.len());
        self.0.read_exact_at(address, buffer)
    }
}

#[test]
fn of_an_image_of_endless_notes_only_so_much_is_read() {
    let paper = notes_without_end(1);
    let mut snapshot = snapshot(&paper);
    let memory = Counted(paper.memory(), Cell::new(0));
    snapshot.resolve(&memory, &MappingTable::default());
    // The headers are 3.6 MB.
    assert!((4 << 20..5 << 20).contains(&memory.1.get()), "{}", memory.1.get());
    assert_eq!(snapshot.modules().next().unwrap().build_id, None);
}

#[test]
fn of_many_images_of_endless_notes_no_more_is_read_than_of_many_lists() {
    let paper = notes_without_end(60);
    let mut snapshot = snapshot(&paper);
    let memory = Counted(paper.memory(), Cell::new(0));
    snapshot.resolve(&memory, &MappingTable::default());
    assert!((200 << 20..=256 << 20).contains(&memory.1.get()), "{}", memory.1.get());
}

#[test]
fn a_path_longer_than_any_is_none() {
    let (paper, _) = Paper::simple(LAYOUTS[2], &["", "a"]);
    for (length, is_path) in [(4095, true), (4096, false)] {
        let core = paper.to_core_with(&"p".repeat(length));
        let core = Core::parse(&core).unwrap();
        let mapping = core.mappings().mapping_at(START).unwrap();
        assert_eq!(mapping.file.is_some(), is_path);
    }
}

#[test]
fn what_endless_notes_keep_is_every_other_promise() {
    rendezvous::oracle::rendezvous_walk(&notes_without_end(4).to_core());
}
