//! What is read out of DWARF, against what compilers, linkers and other readers say.

#[path = "../support/heap.rs"]
mod heap;
mod workshop;

mod agreement;
mod attribution;
mod commands;
mod damaged;
mod elsewhere;
mod macho;
