use rendezvous::{Snapshot, WalkError};

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
