//! A tenant is deleted: nobody wants its events any more, and its dead letters are discarded.

use super::fixtures::{name, tenant};
use super::world::World;
use crate::*;
use std::collections::BTreeSet;

impl World {
    pub(super) fn delete_tenant(&mut self) {
        self.deleted_tenants = [tenant()].into_iter().collect();
        // What held a commit back that was made before may be one of those that nobody wants now.
        self.made.here.clear();
        self.made.here_before.clear();
        self.input(Input::DeletedTenants(self.deleted_tenants.clone()));
        self.replays_lose_deleted_tenants();
        self.discard_letters_of_deleted_tenants();
        let in_flight: BTreeSet<Offset> =
            self.attempts.values().flat_map(|(_, events, _)| events.iter().map(|of| of.event.offset)).collect();
        let blocked = self.dispatcher.status(self.now).destinations.into_iter().flat_map(|status| status.blocked);
        let prefix = format!("tenant:{}:", tenant());
        let mut theirs =
            blocked.filter(|blocked| blocked.key.starts_with(&prefix) && !in_flight.contains(&blocked.head));
        assert_eq!(theirs.next(), None, "a key of a tenant that was deleted is shown");
    }

    /// Whoever deletes a tenant does this, again and again until the last attempt has ended.
    pub(super) fn discard_letters_of_deleted_tenants(&mut self) {
        if self.deleted_tenants.is_empty() {
            return;
        }
        let had = |offset: &Offset| self.deleted_tenants.had(&self.at(*offset).event);
        let gone: Vec<_> = self.dead.keys().filter(|(_, offset)| had(offset)).cloned().collect();
        for place in &gone {
            self.dead.remove(place);
        }
        self.stored.redrives.retain(|request| !gone.contains(&(request.destination.clone(), request.offset)));
    }

    /// No attempt at an event of a deleted tenant starts.
    pub(super) fn check_tenant(&self, event: &LoggedEvent) {
        assert!(!self.deleted_tenants.had(&event.event), "{} is of a tenant that was deleted", event.offset);
    }
}

#[test]
fn what_waits_of_a_deleted_tenant_goes_at_once_and_what_others_have_stays() {
    let one = Destination { from: StartFrom::Beginning, ..Destination::new(name("one")) };
    let settings = Settings { check_state: true, ..Settings::default() };
    let mut world = World::with(settings, 1, vec![one]);
    // The first is the tenant's.
    world.append(1, 3);
    world.append(2, 0);
    while world.work_once_but_for(&["one"]) {}
    for id in world.attempts.keys().copied().collect::<Vec<_>>() {
        world.end_attempt(id, vec![Outcome::retry(Cause::Refused, "no".into())]);
    }
    let waiting = |world: &World| {
        let status = &world.dispatcher.status(world.now).destinations[0];
        (status.blocked_keys, status.pending)
    };
    assert_eq!(waiting(&world), (2, 2));
    world.delete_tenant();
    assert_eq!(waiting(&world), (1, 1));
}
