//! `reloader build-report`: a page about how an image was built.

mod data;
mod page;

use std::path::PathBuf;

use build_info::Questions;
use clap::Args;

use crate::inquiry::{Inquiry, Narrow};
use crate::report::remark;
use crate::whole::write_whole;

/// Write a page about how an image was built: sizes, files, toolchains, options
///
/// One HTML file that needs no network: a map of the units by size, the files by how many units
/// depend on them, the toolchains and the options. It is drawn by a script in it; light or dark as
/// the system is.
#[derive(Debug, Args)]
#[group(skip)]
pub struct BuildReport {
    #[command(flatten)]
    inquiry: Inquiry,

    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
}

impl BuildReport {
    /// Writes the page; an error says why it cannot be.
    pub fn execute(self) -> anyhow::Result<()> {
        let answer = self.inquiry.answer(Questions::ALL, &Narrow::Now(Questions::ALL))?;
        let page = page::page(&answer.name, &answer.info)?;
        write_whole(&self.output, page.as_bytes(), &answer.read())?;
        remark(&format!("written to {}", self.output.display()));
        Ok(())
    }
}
