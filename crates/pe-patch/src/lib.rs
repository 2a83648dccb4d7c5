//! PE images: another PDB path for any of them, safely.
#![deny(unsafe_code)]
