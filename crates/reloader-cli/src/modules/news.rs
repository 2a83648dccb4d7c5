//! What has happened to a process, as it is reported.

use std::time::Duration;

use rendezvous::{Event, Site, Watch};
use serde::Serialize;

use super::listing::Listed;
use crate::palette::Palette;
use crate::report::Report;

/// One event. Its JSON form is documented in the long help of `reloader modules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct News<'a> {
    event: &'static str,
    #[serde(flatten)]
    module: Option<Listed<'a>>,
    micros: u64,
    means: &'static str,
    site: Option<&'static str>,
}

impl<'a> News<'a> {
    /// The report of an event that came so long after the watch began.
    pub fn of(event: &'a Event, at: Duration, watch: &Watch) -> Option<Self> {
        let (event, module) = match event {
            Event::Added(module) => ("added", Some(Listed::of(module))),
            Event::Removed(module) => ("removed", Some(Listed::of(module))),
            Event::Exec => ("exec", None),
            Event::Exit => ("exit", None),
            _ => return None,
        };
        let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        let (means, site) = (watch.means().as_str(), watch.site().map(Site::as_str));
        Some(Self { event, module, micros, means, site })
    }
}

impl Report for News<'_> {
    fn line(&self, palette: &Palette) -> String {
        let style = match self.event {
            "added" => palette.good,
            "removed" => palette.odd,
            _ => palette.apart,
        };
        let module = self.module.as_ref().map(|module| module.line(palette)).unwrap_or_default();
        let time = format!("{}.{:06}", self.micros / 1_000_000, self.micros % 1_000_000);
        let event = self.event;
        format!("{time:>12}  {style}{event:<8}{style:#}{module}").trim_end().to_owned()
    }
}
