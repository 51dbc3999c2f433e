//! Single situations, one each.
