//! What questions and choices have in common: moments, statuses, and what is said of a wrong one.

use super::destinations::moment;
use crate::problem::{Kind, Problem};
use laneway_domain::Timestamp;

/// That a parameter or a field is wrong, and why.
pub(super) fn invalid(parameter: &str, reason: impl std::fmt::Display) -> Box<Problem> {
    Problem::new(Kind::Invalid, format!("{parameter}: {reason}")).about(parameter)
}

/// A moment, if one is said.
pub(super) fn time(parameter: &str, said: Option<&str>) -> Result<Option<Timestamp>, Box<Problem>> {
    said.map(moment).transpose().map_err(|what| invalid(parameter, what))
}

/// An HTTP status.
pub(super) fn status(parameter: &str, said: u16) -> Result<u16, Box<Problem>> {
    let is_one = (100..=999).contains(&said);
    if is_one { Ok(said) } else { Err(invalid(parameter, format!("{said} is no HTTP status: use 100 to 999"))) }
}
