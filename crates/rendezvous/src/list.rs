//! The loader's structures in memory: `struct r_debug` and the chains of `struct link_map`.

use crate::error::WalkError;
use crate::layout::Layout;
use crate::memory::{Memory, ReadError, Unreadable};
use crate::pages::{Pages, StringError};

/// `struct r_debug` of one namespace, as the loader has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Head {
    /// Its own address.
    pub address: u64,
    /// `r_version`: 1; glibc says 2 once there is a second namespace; some systems leave it 0.
    pub version: u32,
    /// `r_map`: the first node of the list, 0 while the namespace is empty.
    pub first: u64,
    /// `r_brk`: the function that the loader calls whenever `state` has changed.
    pub breakpoint: u64,
    /// `r_state`.
    pub state: State,
    /// `r_ldbase`: where the loader is mapped; 0 in a static program.
    pub loader_base: u64,
    /// `r_next`: the next namespace's, 0 at the last and before version 2.
    pub next: u64,
}

/// What the loader is doing to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// `RT_CONSISTENT`: nothing.
    Consistent,
    /// `RT_ADD`: it is adding images.
    Add,
    /// `RT_DELETE`: it is removing images.
    Delete,
    /// No loader writes any other value.
    Unknown(u32),
}

impl Head {
    /// Reads the structure at an address.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read<M: Memory + ?Sized>(
        memory: &M,
        layout: Layout,
        address: u64,
    ) -> Result<Head, ReadError> {
        let mut bytes = [0; 6 * 8];
        let word_size = layout.word_size();
        // Some systems' has four members, and glibc's sixth is there from version 2 on.
        let four = bytes.get_mut(..word_size.saturating_mul(4)).unwrap_or_default();
        memory.read_exact_at(address, four)?;
        let version = layout.u32(&bytes, 0).unwrap_or_default();
        let more = if version >= 2 { 6 } else { 5 };
        let rest = bytes.get_mut(..word_size.saturating_mul(more)).unwrap_or_default();
        if memory.read_exact_at(address, rest).is_err() && version >= 2 {
            return Err(ReadError::new(address, rest.len(), Unreadable::Unmapped));
        }
        let word = |index| layout.nth_word(&bytes, index).unwrap_or_default();
        let state = layout.u32(&bytes, word_size.saturating_mul(3)).unwrap_or_default();
        Ok(Head {
            address,
            version,
            first: word(1),
            breakpoint: word(2),
            state: State::from(state),
            loader_base: word(4),
            next: if version >= 2 { word(5) } else { 0 },
        })
    }
}

impl From<u32> for State {
    fn from(state: u32) -> State {
        match state {
            0 => State::Consistent,
            1 => State::Add,
            2 => State::Delete,
            other => State::Unknown(other),
        }
    }
}

/// What a node of a list begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NodeLayout {
    /// `l_addr`, `l_name`, `l_ld`, `l_next`, `l_prev`.
    SystemV,
    /// As [`SystemV`](Self::SystemV), with `l_offs` in the second place, which is the bias.
    OldMipsBsd,
    /// FreeBSD 13: the mapped base in the first place, `l_addr` behind `l_prev`; `true` where
    /// there is an unused second place too, as on MIPS.
    FreeBsd13(bool),
}

/// A node of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) address: u64,
    pub(crate) bias: u64,
    pub(crate) name: u64,
    pub(crate) dynamic: u64,
    pub(crate) next: u64,
    pub(crate) previous: u64,
}

impl NodeLayout {
    /// The places of bias, name, dynamic, next and previous.
    fn places(self) -> [usize; 5] {
        match self {
            NodeLayout::SystemV => [0, 1, 2, 3, 4],
            NodeLayout::OldMipsBsd => [1, 2, 3, 4, 5],
            NodeLayout::FreeBsd13(false) => [5, 1, 2, 3, 4],
            NodeLayout::FreeBsd13(true) => [6, 2, 3, 4, 5],
        }
    }

    /// The places of next and previous.
    #[cfg(feature = "oracle")]
    pub(crate) fn link_places(self) -> [usize; 2] {
        let [_, _, _, next, previous] = self.places();
        [next, previous]
    }

    pub(crate) fn read<M: Memory + ?Sized>(
        self,
        memory: &M,
        layout: Layout,
        address: u64,
    ) -> Result<Node, ReadError> {
        let places = self.places();
        let words = places.iter().max().map_or(0, |most| most.saturating_add(1));
        let mut bytes = [0; 7 * 8];
        let bytes = bytes.get_mut(..words.saturating_mul(layout.word_size())).unwrap_or_default();
        memory.read_exact_at(address, bytes)?;
        let [bias, name, dynamic, next, previous] =
            places.map(|place| layout.nth_word(bytes, place).unwrap_or_default());
        Ok(Node { address, bias, name, dynamic, next, previous })
    }
}

/// The heads of all namespaces, from the first on, and why there may be more.
pub(crate) fn heads<M: Memory + ?Sized>(
    memory: &M,
    layout: Layout,
    first: u64,
) -> (Vec<Head>, Option<WalkError>) {
    let mut heads: Vec<Head> = Vec::new();
    let mut address = first;
    while address != 0 {
        if heads.len() >= MOST_NAMESPACES {
            return (heads, Some(WalkError::TooManyNamespaces { limit: MOST_NAMESPACES }));
        }
        if heads.iter().any(|head| head.address == address) {
            return (heads, Some(WalkError::Cycle { at: address }));
        }
        match Head::read(memory, layout, address) {
            Ok(head) => {
                address = head.next;
                heads.push(head);
            }
            Err(error) => return (heads, Some(WalkError::Head(error))),
        }
    }
    (heads, None)
}

/// A walk along one list.
pub(crate) struct Walk<'walk, 'memory, M: ?Sized> {
    pub(crate) pages: &'walk Pages<'memory, M>,
    pub(crate) layout: Layout,
    pub(crate) node_layout: NodeLayout,
    /// How many nodes it may still visit.
    pub(crate) left: &'walk mut usize,
}

impl<M: Memory + ?Sized> Walk<'_, '_, M> {
    /// Visits every node from `address` on, whose predecessor is `previous`, until `visit` says
    /// that it has seen it before.
    pub(crate) fn run(
        &mut self,
        mut address: u64,
        mut previous: u64,
        mut visit: impl FnMut(Node, Option<Vec<u8>>),
    ) -> Result<(), WalkError> {
        let mut problem = Ok(());
        let mut visited = Vec::new();
        while address != 0 {
            let Some(left) = self.left.checked_sub(1) else {
                return Err(WalkError::TooLong { limit: MOST_MODULES });
            };
            *self.left = left;
            if self.pages.total() > MOST_BYTES {
                return Err(WalkError::TooLarge { limit: MOST_BYTES });
            }
            let node =
                self.node_layout.read(self.pages, self.layout, address).map_err(WalkError::Node)?;
            // A node that is reached a second time has another predecessor than it says.
            if node.previous != previous {
                return Err(if visited.contains(&address) {
                    WalkError::Cycle { at: address }
                } else {
                    WalkError::BackLink { at: address, expected: previous, found: node.previous }
                });
            }
            let name = match self.pages.string(node.name, MOST_NAME) {
                Ok(name) => Some(name),
                Err(StringError::Unreadable) => None,
                Err(StringError::Endless) => {
                    problem = problem.and(Err(WalkError::Name { at: address }));
                    None
                }
            };
            visit(node, name);
            visited.push(address);
            (previous, address) = (address, node.next);
        }
        problem
    }
}

/// `PATH_MAX`, its zero byte included.
const MOST_NAME: usize = 4096;
/// In all namespaces together.
pub(crate) const MOST_MODULES: usize = 1 << 16;
/// glibc has 16.
const MOST_NAMESPACES: usize = 1024;
/// What a list may lead to.
const MOST_BYTES: usize = 256 << 20;
