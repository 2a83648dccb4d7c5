//! How it is arranged that a change is noticed.

use std::io;

use super::{Means, Place, Refused, Site, Watch, WatchError};
use crate::list::Head;
use crate::locate::Rendezvous;

/// Some places, and what they are in the loader, if they are anything.
pub(super) type Aim = (Option<Site>, Vec<Place>);

/// No place: only another program is noticed.
pub(super) const NOWHERE: Aim = (None, Vec::new());

impl Watch {
    /// The sites that are wanted and there.
    pub(super) fn sites(&self, rendezvous: &Rendezvous, heads: &[Head]) -> Vec<Aim> {
        let named = self.options.sites.as_slice();
        let wanted = if named.is_empty() { &Site::ALL } else { named };
        let sites = wanted.iter().filter_map(|&site| {
            let places = site.places(&self.process, rendezvous, heads);
            (!places.is_empty()).then_some((Some(site), places))
        });
        let mut sites: Vec<_> = sites.collect();
        if sites.is_empty() {
            sites.push((wanted.first().copied(), Vec::new()));
        }
        sites
    }

    /// Has it noticed when the target gets to one of some places, or, if they are none, that it runs
    /// another program; by the best of the means that have not been refused, and at the first of
    /// the sites for which that is granted.
    pub(super) fn arm(&mut self, sites: &[Aim]) -> Result<(), WatchError> {
        // What is set anew is not mute.
        self.is_mute = false;
        for &means in &self.options.means {
            if self.refused.iter().any(|it| it.means == means) {
                continue;
            }
            let mut refused = None;
            let mut sites: Vec<&Aim> = sites.iter().collect();
            // To switch three registers costs more than to pass one place twice as often.
            if self.options.sites.is_empty() && means == Means::PerfBreakpoint {
                sites.reverse();
            }
            for (site, places) in sites {
                let is_nowhere = site.is_some() && places.is_empty() && means != Means::Polling;
                let armed = match is_nowhere {
                    true => {
                        Err(io::Error::new(io::ErrorKind::NotFound, "its loader has none of them"))
                    }
                    false => self.alarm.watch(means, places),
                };
                match armed {
                    Ok(()) => {
                        self.means = means;
                        self.site = site.filter(|_| means != Means::Polling);
                        return self.at_rest();
                    }
                    Err(reason) => refused = Some(Refused { means, reason }),
                }
            }
            self.refused.extend(refused);
        }
        Err(WatchError::Means { refused: std::mem::take(&mut self.refused) })
    }
}
