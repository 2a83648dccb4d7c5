//! `pe-patch` and `reloader pdb-path` on images of many makers.

mod corpus;
