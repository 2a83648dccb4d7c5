//! Bytes that the loader changes by the dynamic value relocation table (DVRT).

use crate::image::Image;
use crate::relocation::{Collision, Touched};

/// The first dynamic relocation that covers a touched byte.
pub(crate) fn dynamic_relocation(_image: &Image<'_>, _touched: &Touched) -> Option<Collision> {
    None
}
