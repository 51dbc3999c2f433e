//! Nothing is left out: each type of the wire is tried, and the readers of events know what the document says.

use super::fields::Said;
use std::collections::BTreeSet;

/// A type of the wire that nobody has thought of here is found in the source.
#[test]
fn no_type_of_the_wire_is_forgotten() {
    let here = [include_str!("fields.rs"), include_str!("tenants.rs")].concat();
    let wire = include_str!("../../wire.rs");
    let shared = wire.split("pub use laneway_ports::{").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
    let own = wire.lines().filter_map(|line| {
        let line = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "))?;
        line.split(|c: char| !c.is_alphanumeric()).next()
    });
    let types: BTreeSet<&str> = own.chain(shared.split(',').map(str::trim).filter(|name| !name.is_empty())).collect();
    assert!(types.len() > 30, "{types:?}");
    for name in types {
        let of_schema = ["answers", "bodies"].iter().any(|how| here.contains(&format!("{how}(\"{name}\"")));
        let of_values =
            here.contains(&format!("{name}::")) && ["Stored", "BatchOp", "DestinationState"].contains(&name);
        assert!(of_schema || of_values, "{name}");
    }
}

/// What the readers of events know by hand is what the document says of them.
#[test]
fn events_in() {
    let own = Said::of("NewEvent");
    assert_eq!(own.fields(), crate::laneway_json::FIELDS.iter().map(|&field| field.to_owned()).collect());
    assert_eq!(Said::of("CloudEvent").fields(), crate::cloudevents::FIELDS.iter().map(|&f| f.to_owned()).collect());
}
