//! Faults, injected into real processes and real servers, and what they cost.
//!
//! [`preload`] puts a library into a process that lets disks fail, clocks jump, and the power go;
//! [`power_cut`] takes back what had not been fsynced; [`proxy`] stands between two processes and
//! cuts, delays or swallows what they say. [`load`] keeps events flowing meanwhile, [`site`] is the
//! installation under test, and each of [`scenarios`] ends as a row of the [`table`].

pub mod cluster;
pub mod fleet;
pub mod load;
pub mod page_damage;
pub mod power_cut;
pub mod preload;
pub mod proxy;
pub mod scenarios;
pub mod site;
pub mod table;
