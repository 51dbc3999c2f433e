//! `mongodb:` destinations of a build that cannot have any: they are told what brings them.

use super::left_out;
use super::reader::Section;
use super::sink::{Common, Kind, SinkConfig};
use std::sync::Arc;

pub(super) const KIND: Kind =
    Kind { name: "mongodb:", schemes: &["mongodb", "mongodb+srv"], keys: &["mode", "timeout"], read };

fn read(section: &mut Section<'_, '_>, _: &Common<'_>) -> Option<Arc<dyn SinkConfig>> {
    KIND.keys.iter().for_each(|key| section.set_aside(key));
    section.problem("url", left_out("MongoDB", "mongodb"));
    None
}

#[cfg(test)]
mod tests {
    use super::super::problem::{Origin, Place};
    use super::super::reader::Findings;
    use super::super::source::Given;
    use super::*;
    use crate::config::DEFAULT_FILE;
    use laneway_domain::{Destination, DestinationName};
    use laneway_egress::EgressPolicy;

    #[test]
    fn a_destination_is_told_which_flag_brings_it() {
        let source = Given::default().with_file(DEFAULT_FILE, "");
        let findings = Findings::new(&source, Vec::new(), Vec::new());
        let mut section = Section::new(&findings, Place::default(), Origin::Nowhere, [].into());
        let (egress, destination) =
            (EgressPolicy::default(), Destination::new(DestinationName::new("m").expect("a name")));
        let common = Common { url: "mongodb://h/d/c", egress: &egress, destination: &destination };
        assert!((KIND.read)(&mut section, &common).is_none());
        let said: Vec<String> = findings.take().iter().map(ToString::to_string).collect();
        let [said] = &said[..] else { panic!("one mistake, not {said:?}") };
        assert!(said.contains("url: this laneway was built without MongoDB; "), "{said}");
        assert!(said.ends_with("build it with: cargo build --release --features mongodb"), "{said}");
    }
}
