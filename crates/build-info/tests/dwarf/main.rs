//! What is read out of DWARF, against what compilers, linkers and other readers say.

#[path = "../support/dice.rs"]
mod dice;
#[path = "../support/heap.rs"]
mod heap;
#[path = "../support/tools.rs"]
mod tools;
mod workshop;

mod agreement;
mod attribution;
mod commands;
mod damaged;
mod elsewhere;
mod greedy;
mod macho;
mod mutant;
