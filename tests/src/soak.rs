//! A soak in pieces: days and nights of traffic with troubles in between, on a store that is kept from one piece to the
//! next, and a ledger that has to balance after each of them. See `tests/soak`.

pub mod book;
pub mod day;
pub mod flat;
pub mod ledger;
pub mod leftovers;
pub mod piece;
pub mod receiver;
pub mod report;
mod sampler;
pub mod site;
pub mod state;
pub mod traffic;
pub mod trouble;
