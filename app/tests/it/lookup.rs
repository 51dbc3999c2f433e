//! Looking up, over the reference store: pages, bounds, and what is said of an event.

use bytes::Bytes;
use laneway_app::lookup::{Finder, StoreSetup};
use laneway_domain::{
    Behind, Commit, DestinationName, Ended, Event, EventId, EventType, Fate, Filter, Filters, History, Key, LaneChange,
    LaneKey, NewEvent, Offset, OperatorPause, Origin, Partition, Pause, Position, Registered, Standing, Tenant,
    Timestamp, Told, TypePattern,
};
use laneway_memory::{Call, Disk, Fault, Faults, MemoryStore, Settings};
use laneway_ports::{
    Appended, AttemptQuery, Became, EventLog, EventQuery, FindEvent, HistorySize, KeptHistory, Lookup, LookupError,
    ProgressStore, Registry, RegistryWrite, Stores, WorkerId,
};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 3;

struct World {
    store: Arc<MemoryStore>,
    finder: Finder,
    disk: Arc<Disk>,
}

fn name(text: &str) -> DestinationName {
    DestinationName::new(text).unwrap()
}

/// Whatever has that id.
fn find(id: &str) -> FindEvent {
    FindEvent { id: EventId::new(id).unwrap(), tenant: None, source: None, at: None, destination: None, after: None }
}

fn finder(store: &Arc<MemoryStore>) -> Finder {
    let history = Some(KeptHistory { max_age: Duration::from_secs(3600), max_bytes: 1 << 20 });
    let (retain, duplicate_window) = (Duration::from_secs(60), Duration::from_secs(120));
    let setup = StoreSetup { place: "memory".to_owned(), retain, duplicate_window, history };
    Finder::new(Stores::of(store.clone()), setup)
}

fn world() -> World {
    let disk = Disk::new(PARTITIONS);
    let store = Arc::new(MemoryStore::open(disk.clone(), Settings::default()));
    World { finder: finder(&store), store, disk }
}

impl World {
    async fn append(&self, id: &str, kind: &str, key: Option<&str>, given: bool) -> Appended {
        let mut event = Event::new(EventId::new(id).unwrap(), EventType::new(kind).unwrap(), Bytes::from_static(b"{}"));
        event.key = key.map(|key| Key::new(key).unwrap());
        let new = NewEvent { event, id_given: given };
        self.store.append(vec![new]).await.pop().unwrap().unwrap()
    }

    /// Each accepted some milliseconds after the one before.
    async fn fill(&self, count: usize) -> Vec<Appended> {
        let mut all = Vec::new();
        for n in 0..count {
            let kind = if n % 3 == 0 { "order.paid" } else { "ticket" };
            let key = format!("k{}", n % 5);
            all.push(self.append(&format!("e{n}"), kind, (n % 7 != 0).then_some(key.as_str()), false).await);
            tokio::time::advance(Duration::from_millis(3)).await;
        }
        all
    }

    async fn all_events(&self, query: EventQuery) -> Vec<String> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.finder.events(&EventQuery { after, ..query.clone() }).await.unwrap();
            assert!(page.events.len() <= query.limit);
            ids.extend(page.events.iter().map(|event| event.id.to_string()));
            after = page.looked.next;
            if after.is_none() {
                return ids;
            }
        }
    }

    /// Where all events stand that are meant, page after page; none is given twice.
    async fn all_places(&self, query: FindEvent) -> Vec<(Partition, Offset)> {
        let (mut places, mut after) = (Vec::new(), None);
        loop {
            let found = self.finder.find(&FindEvent { after, ..query.clone() }).await.unwrap();
            places.extend(found.events.iter().map(|way| (way.event.partition, way.event.offset)));
            after = found.looked.next;
            if after.is_none() {
                places.sort_unstable();
                return places;
            }
        }
    }

    async fn registered(&self, of: &str, filters: Filters) -> Registered {
        self.register(of, filters, "", None).await
    }

    async fn register(&self, of: &str, filters: Filters, settings: &str, paused: Option<OperatorPause>) -> Registered {
        let head = self.store.head().await.unwrap();
        let revision = head.next();
        let record = Registered {
            name: name(of),
            born: revision,
            revision,
            origin: Origin::Api,
            standing: Standing::Present,
            paused,
            settings: format!(r#"{{"format":1,"settings":{{"url":"https://h.example/"{settings}}}}}"#).into(),
            filters,
            target_since: revision,
            is_first: true,
            takes_over: false,
        };
        let write = RegistryWrite { last: head.last, revision, records: vec![record.clone()], journal: Vec::new() };
        assert!(self.store.write(&write).await.unwrap());
        record
    }

    async fn commit(&self, partition: Partition, commit: &Commit) {
        let lease = self.store.claim(partition, &WorkerId("w".into()), Duration::from_secs(60)).await.unwrap().unwrap();
        self.store.commit(&lease, commit).await.unwrap();
    }

    async fn at(&self, id: &str, destination: &str) -> (Became, String) {
        let id = EventId::new(id).unwrap();
        let query =
            FindEvent { tenant: None, id, source: None, at: None, destination: Some(name(destination)), after: None };
        let found = self.finder.find(&query).await.unwrap();
        let [way] = found.events.as_slice() else { panic!("{found:?}") };
        let [at] = way.destinations.as_slice() else { panic!("{way:?}") };
        (at.became, at.what.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_events_follow_one_another_the_latest_first_and_nothing_is_left_out() {
    let world = world();
    world.fill(200).await;
    let expected: Vec<String> = (0..200).rev().map(|n| format!("e{n}")).collect();
    for limit in [1, 7, 1000] {
        assert_eq!(world.all_events(EventQuery { limit, ..EventQuery::default() }).await, expected, "{limit}");
    }
    let paid: Vec<String> = (0..200).rev().filter(|n| n % 3 == 0).map(|n| format!("e{n}")).collect();
    let event_type = Some(TypePattern::new("order.*").unwrap());
    assert_eq!(world.all_events(EventQuery { event_type, limit: 9, ..EventQuery::default() }).await, paid);
    let of_key: Vec<String> = (0..200).rev().filter(|n| n % 5 == 2 && n % 7 != 0).map(|n| format!("e{n}")).collect();
    let key = Some(Key::new("k2").unwrap());
    assert_eq!(world.all_events(EventQuery { key, limit: 4, ..EventQuery::default() }).await, of_key);
}

#[tokio::test(start_paused = true)]
async fn a_span_of_time_has_what_was_accepted_in_it() {
    let world = world();
    world.fill(50).await;
    let all = world.finder.events(&EventQuery { limit: 100, ..EventQuery::default() }).await.unwrap().events;
    let (from, to) = (all[29].accepted_at, all[10].accepted_at);
    let query = EventQuery { from: Some(from), to: Some(to), limit: 6, ..EventQuery::default() };
    let expected: Vec<String> = all[11..=29].iter().map(|event| event.id.to_string()).collect();
    assert_eq!(world.all_events(query).await, expected);
}

/// A restore, and a failover that loses something, begin a new generation of offsets, 2^40 above: nobody can wait for a
/// look that goes through them.
#[tokio::test(start_paused = true)]
async fn a_look_leaps_over_the_gap_between_generations() {
    let world = world();
    let mut expected = Vec::new();
    for generation in 0..3 {
        for n in 0..40 {
            let id = format!("g{generation}-{n}");
            world.append(&id, "t", Some("k"), false).await;
            world.append(&format!("{id}-alone"), "t", None, false).await;
            tokio::time::advance(Duration::from_millis(3)).await;
            expected.push(id);
        }
        for partition in (0..PARTITIONS).map(Partition) {
            let replica = world.disk.replica(partition).unwrap();
            world.disk.fail_over(replica);
        }
    }
    expected.reverse();
    let key = Some(Key::new("k").unwrap());
    for limit in [7, 1000] {
        assert_eq!(world.all_events(EventQuery { key: key.clone(), limit, ..EventQuery::default() }).await, expected);
    }
    let all = world.all_events(EventQuery { limit: 1000, ..EventQuery::default() }).await;
    assert_eq!(all.len(), 2 * expected.len());
    let query = find("none");
    let found = world.finder.find(&query).await.unwrap();
    assert!(found.events.is_empty() && found.looked.next.is_none(), "{:?}", found.looked);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_store_is_refused() {
    let world = world();
    let query = EventQuery { after: Some(vec![Offset(1)].into()), limit: 1, ..EventQuery::default() };
    assert!(matches!(world.finder.events(&query).await, Err(LookupError::Cursor)));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_found_by_what_is_remembered_by_its_time_and_by_looking() {
    let world = world();
    world.fill(20).await;
    world.append("given", "t", Some("k"), true).await;
    let seconds = world.store.disk().now().as_millis() / 1000;
    let made = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)).to_string();
    world.append(&made, "t", None, false).await;
    world.fill(20).await;
    for id in ["given", &made, "e3"] {
        let query = find(id);
        let found = world.finder.find(&query).await.unwrap();
        let ids: Vec<_> = found.events.iter().map(|way| way.event.event.id.to_string()).collect();
        let expected = if id == "e3" { vec!["e3", "e3"] } else { vec![id] };
        assert_eq!(ids, expected);
        assert_eq!(found.looked.to.is_none(), id != "e3", "what is known at once is not looked for: {id}");
        assert_eq!(world.all_places(query).await.len(), expected.len());
    }
    let query = find("none");
    let found = world.finder.find(&query).await.unwrap();
    assert!(found.events.is_empty() && found.looked.next.is_none());
}

/// An id is unique per tenant and source only; one of a producer can look as those that Laneway makes.
#[tokio::test(start_paused = true)]
async fn all_events_of_an_id_are_found_whosever_they_are() {
    let world = world();
    let seconds = world.store.disk().now().as_millis() / 1000;
    let made = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)).to_string();
    let acme = Tenant::new("acme").unwrap();
    for id in ["x", &made] {
        let mut placed = Vec::new();
        let of = [(None, None), (None, Some("urn:s1")), (Some(&acme), None), (Some(&acme), Some("urn:s1"))];
        for (tenant, source) in of {
            let mut event =
                Event::new(EventId::new(id).unwrap(), EventType::new("t").unwrap(), Bytes::from_static(b"{}"));
            (event.tenant, event.source) = (tenant.cloned(), source.map(Into::into));
            let new = NewEvent { event, id_given: true };
            let Appended { partition, offset, .. } = world.store.append(vec![new]).await.pop().unwrap().unwrap();
            placed.push((partition, offset));
            // Far more than what an id that tells its time may be away from that.
            tokio::time::advance(Duration::from_secs(20)).await;
            world.fill(10).await;
        }
        let meant = [
            (None, None, vec![0, 1, 2, 3]),
            (None, Some(""), vec![0, 2]),
            (None, Some("urn:s1"), vec![1, 3]),
            (Some(&acme), None, vec![2, 3]),
            (Some(&acme), Some(""), vec![2]),
            (Some(&acme), Some("urn:s1"), vec![3]),
            (None, Some("urn:other"), vec![]),
        ];
        for (tenant, source, expected) in meant {
            let query = FindEvent { tenant: tenant.cloned(), source: source.map(Into::into), ..find(id) };
            let mut expected: Vec<_> = expected.into_iter().map(|nth: usize| placed[nth]).collect();
            expected.sort_unstable();
            assert_eq!(world.all_places(query.clone()).await, expected, "{id} {tenant:?} {source:?}");
            if tenant.is_some() && source.is_some() {
                assert_eq!(world.finder.find(&query).await.unwrap().looked.next, None, "that is all");
            }
        }
        for place in placed {
            let found = world.finder.find(&FindEvent { at: Some(place), ..find(id) }).await.unwrap();
            assert!(matches!(&found.events[..], [way] if (way.event.partition, way.event.offset) == place));
            let others = FindEvent { at: Some(place), ..find("other") };
            assert!(world.finder.find(&others).await.unwrap().events.is_empty());
        }
    }
    let nowhere = FindEvent { at: Some((Partition(PARTITIONS), Offset(0))), ..find("x") };
    assert!(world.finder.find(&nowhere).await.unwrap().events.is_empty());
}

fn told(destination: &Registered, offset: Offset, fate: Fate) -> Told {
    Told {
        destination: destination.name.clone(),
        born: destination.born,
        offset,
        id: None,
        key: None,
        attempt: 1,
        redrive: false,
        at: Timestamp::from_millis(u64::MAX >> 20),
        took: Duration::from_millis(1),
        ended: if fate == Fate::Delivered { Ended::Delivered } else { Ended::Failed },
        fate,
        status: Some(200),
        reason: None,
        answer: None,
        request: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_an_event_is_what_progress_says() {
    let world = world();
    let all = world.registered("all", Filters::default()).await;
    let pattern = Filter { types: vec![TypePattern::new("other").unwrap()], ..Filter::default() };
    world.registered("none", Filters::always(pattern)).await;
    let mut placed = Vec::new();
    for id in ["a", "b", "c", "d"] {
        placed.push(world.append(id, "t", Some("k"), true).await);
    }
    let (partition, first) = (placed[0].partition, placed[0].offset);
    assert_eq!(world.at("a", "all").await.0, Became::Waiting, "no worker has begun");
    assert_eq!(world.at("a", "none").await.0, Became::NotWanted);
    let behind = Behind { offset: Offset(first.0 + 2), retry: None };
    let key = LaneKey::Key(Key::new("k").unwrap());
    let change = LaneChange {
        born: Some(all.born),
        position: Some(Position::At(Offset(first.0 + 4))),
        behind: [(key, Some(behind))].into(),
        ..LaneChange::default()
    };
    let at = Timestamp::from_millis(u64::MAX >> 10);
    let history = History { number: 1, at, told: vec![told(&all, first, Fate::Delivered)], untold: 0 };
    let commit = Commit { lanes: [(name("all"), change)].into(), history: Some(history.into()), ..Commit::default() };
    world.commit(partition, &commit).await;
    assert_eq!(world.at("a", "all").await.0, Became::Delivered);
    assert_eq!(world.at("b", "all").await.0, Became::Settled, "nothing is told of it");
    let expired = Told { attempt: 0, ended: Ended::Expired, ..told(&all, Offset(first.0 + 1), Fate::Expired) };
    let history = History { number: 2, at, told: vec![expired], untold: 0 };
    world.commit(partition, &Commit { history: Some(history.into()), ..Commit::default() }).await;
    let (became, what) = world.at("b", "all").await;
    assert!(became == Became::Expired && what.contains("as long as max_age allows"), "{what}");
    assert_eq!(world.at("c", "all").await.0, Became::Waiting);
    let (became, what) = world.at("d", "all").await;
    assert!(became == Became::Waiting && what.contains("the event c before it"), "{what}");
    let query = find("a");
    let found = world.finder.find(&query).await.unwrap();
    assert_eq!((found.events[0].destinations.len(), found.events[0].not_wanted), (1, 1));
    let unknown = FindEvent { destination: Some(name("unknown")), ..query };
    assert!(matches!(world.finder.find(&unknown).await, Err(LookupError::UnknownDestination(_))));
}

/// Somebody is on call, and asks why an event is not there.
#[tokio::test(start_paused = true)]
async fn whoever_paused_a_destination_its_events_are_said_to_wait_for_that() {
    let world = world();
    let since = Timestamp::from_millis(1_769_817_600_000);
    let by_hand = OperatorPause { since, reason: "they move house".into() };
    let all = [
        world.register("by-hand", Filters::default(), "", Some(by_hand)).await,
        world.register("in-settings", Filters::default(), r#","paused":true"#, None).await,
        world.register("gone", Filters::default(), "", None).await,
        world.register("open", Filters::default(), r#","paused":false"#, None).await,
    ];
    let (first, second) =
        (world.append("a", "t", Some("k"), true).await, world.append("b", "t", Some("k"), true).await);
    assert!(world.at("a", "by-hand").await.1.contains("by-hand is paused since 2026-01-31T00:00:00Z: they move house"));
    // The attempt that met the reason was at an event of another partition.
    let elsewhere = (0..PARTITIONS).map(Partition).find(|partition| *partition != first.partition).unwrap();
    let gone = Some(Some(Pause { since, reason: "answered 410 Gone".into() }));
    let met = LaneChange { born: Some(all[2].born), paused: gone, ..LaneChange::default() };
    world.commit(elsewhere, &Commit { lanes: [(name("gone"), met)].into(), ..Commit::default() }).await;
    let lanes = all.iter().map(|known| {
        let position = Some(Position::At(first.offset));
        (known.name.clone(), LaneChange { born: Some(known.born), position, ..LaneChange::default() })
    });
    let commit = Commit { lanes: lanes.collect(), ..Commit::default() };
    world.commit(first.partition, &commit).await;
    let expected = [
        ("by-hand", "by-hand is paused since 2026-01-31T00:00:00Z: they move house"),
        ("in-settings", "in-settings is paused in the configuration"),
        ("gone", "gone is paused since 2026-01-31T00:00:00Z: answered 410 Gone"),
    ];
    for (destination, why) in expected {
        let (became, what) = world.at("a", destination).await;
        assert_eq!((became, what), (Became::Waiting, format!("its turn has come; {why}")));
        assert!(world.at("b", destination).await.1.ends_with(why), "{second:?}");
    }
    let (became, what) = world.at("a", "open").await;
    assert!(became == Became::Waiting && what.ends_with("or is when open takes the next one"), "{what}");
}

/// An id is unique per source: whoever sends events chooses how many have it.
#[tokio::test(start_paused = true)]
async fn an_answer_about_an_id_has_a_bound_and_the_next_one_goes_on() {
    let world = world();
    // Whether an id tells its time or not: they are looked for in different ways.
    for id in ["7", "00000000-0000-7000-8000-000000000000"] {
        let data = Bytes::from(vec![b' '; 1 << 20]);
        for n in 0..20 {
            let mut event = Event::new(EventId::new(id).unwrap(), EventType::new("a").unwrap(), data.clone());
            (event.key, event.source) = (Some(Key::new(&format!("k{n}")).unwrap()), Some(format!("/{n}").into()));
            world.store.append(vec![NewEvent { event, id_given: true }]).await.pop().unwrap().unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let (mut sources, mut after, mut answers) = (Vec::new(), None, 0);
        loop {
            let id = EventId::new(id).unwrap();
            let query = FindEvent { tenant: None, id, source: None, at: None, destination: None, after };
            let found = world.finder.find(&query).await.unwrap();
            answers += 1;
            assert!(found.events.len() <= 8, "{} events of 1 MiB in one answer", found.events.len());
            sources.extend(found.events.iter().map(|way| way.event.event.source.clone().unwrap().to_string()));
            let left = 20 - sources.len();
            let said = found.incomplete.iter().any(|what| what.contains(&format!("too long: {left};")));
            assert_eq!((said, found.looked.next.is_some()), (left > 0, left > 0), "{found:?}");
            after = found.looked.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sources, (0..20).rev().map(|n| format!("/{n}")).collect::<Vec<_>>());
        assert!(answers > 2, "{answers}");
    }
}

/// Large events use up what a look may read before all partitions were looked at.
#[tokio::test(start_paused = true)]
async fn pages_of_large_events_come_to_an_end() {
    let world = world();
    let data = Bytes::from(vec![b' '; 1 << 20]);
    for n in 0..450 {
        let id = EventId::new(&format!("e{n}")).unwrap();
        let mut event = Event::new(id, EventType::new("a").unwrap(), data.clone());
        event.key = Some(Key::new(&format!("k{n}")).unwrap());
        world.store.append(vec![NewEvent { event, id_given: false }]).await.pop().unwrap().unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let (mut after, mut count) = (None, 0);
    for _ in 0..100 {
        let page = world.finder.events(&EventQuery { after, limit: 50, ..EventQuery::default() }).await.unwrap();
        count += page.events.len();
        after = page.looked.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((count, after), (450, None));
}

#[tokio::test(start_paused = true)]
async fn pages_of_attempts_follow_one_another_over_all_partitions() {
    let world = world();
    let all = world.registered("all", Filters::default()).await;
    let mut expected = Vec::new();
    for number in 1..=10 {
        for partition in (0..PARTITIONS).map(Partition) {
            // Commits of two partitions at the same moment, and many attempts in each.
            let at = Timestamp::from_millis(1_000_000 + number / 2);
            let one =
                |n: u64| Told { at, attempt: u32::try_from(n).unwrap(), ..told(&all, Offset(number), Fate::Waits) };
            let history = History { number, at, told: (1..=4).map(one).collect(), untold: 0 };
            world.commit(partition, &Commit { history: Some(history.into()), ..Commit::default() }).await;
            expected.extend((1..=4_u32).map(|n| (partition, number, n)));
        }
    }
    expected.sort_unstable();
    for limit in [1, 5, 1000] {
        let (mut got, mut after) = (Vec::new(), None);
        let mut last = u64::MAX;
        loop {
            let query = AttemptQuery { after, limit, destination: Some(name("all")), ..AttemptQuery::default() };
            let page = world.finder.attempts(&query).await.unwrap();
            for found in &page.attempts {
                assert!(found.told.at.as_millis() <= last, "the latest come first");
                last = found.told.at.as_millis();
                got.push((found.partition, found.told.offset.0, found.told.attempt));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        got.sort_unstable();
        assert_eq!(got, expected, "{limit}");
    }
    let query = AttemptQuery { limit: 1000, ended: Some(Ended::Delivered), ..AttemptQuery::default() };
    assert_eq!(world.finder.attempts(&query).await.unwrap().attempts, []);
    let query = AttemptQuery { limit: 1000, from: Some(Timestamp::from_millis(1_000_005)), ..AttemptQuery::default() };
    assert_eq!(world.finder.attempts(&query).await.unwrap().attempts.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_is_told_no_number_of_attempts_that_are_not_its_own() {
    let world = world();
    let all = world.registered("acme:all", Filters::default()).await;
    for (number, untold) in [(1, 7_000), (2, 0), (3, 4_711)] {
        let at = Timestamp::from_millis(1_000_000 + number);
        let told = vec![Told { at, ..told(&all, Offset(number), Fate::Delivered) }];
        let history = History { number, at, told, untold };
        world.commit(Partition(0), &Commit { history: Some(history.into()), ..Commit::default() }).await;
    }
    let query = AttemptQuery { limit: 1000, ..AttemptQuery::default() };
    let page = world.finder.attempts(&query).await.unwrap();
    let said = |untold| format!("{untold} attempts of partition 0 had no room in the history");
    assert_eq!((page.attempts.len(), page.incomplete), (3, vec![said(4_711), said(7_000)]));
    let query = AttemptQuery { tenant: Some(Tenant::new("acme").unwrap()), ..query };
    let page = world.finder.attempts(&query).await.unwrap();
    let said = "attempts, perhaps of this tenant, had no room in the history".to_owned();
    assert_eq!((page.attempts.len(), page.incomplete), (3, vec![said]));
}

/// A node of a Cluster is away, with this partition.
struct Away(Partition);

impl Faults for Away {
    fn fault(&self, call: Call) -> Option<Fault> {
        let is_its = matches!(call, Call::Read(of) | Call::Load(of) if of == self.0);
        is_its.then_some(Fault::RetryLater)
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_asked_is_named_and_the_rest_is_told() {
    let world = world();
    let away = Partition::of("k1", PARTITIONS);
    let all = world.registered("all", Filters::default()).await;
    let appended = world.fill(40).await;
    let there = appended.iter().filter(|appended| appended.partition != away).count();
    for partition in (0..PARTITIONS).map(Partition) {
        let told = vec![told(&all, Offset(0), Fate::Delivered)];
        let history = History { number: 1, at: Timestamp::from_millis(1_000_000), told, untold: 0 };
        world.commit(partition, &Commit { history: Some(history.into()), ..Commit::default() }).await;
    }
    let settings = Settings { faults: Some(Arc::new(Away(away))), ..Settings::default() };
    let finder = finder(&Arc::new(MemoryStore::open(world.disk.clone(), settings)));
    for from in [None, Some(Timestamp::ZERO.after(Duration::from_millis(1)))] {
        let query = EventQuery { limit: 1000, from, ..EventQuery::default() };
        let page = finder.events(&query).await.unwrap();
        assert_eq!(page.events.len(), there);
        assert!(page.events.iter().all(|event| event.partition != away));
        let begin = format!("partition {away}: ");
        assert!(matches!(&page.looked.not_asked[..], [one] if one.starts_with(&begin)), "{:?}", page.looked);
        assert_eq!(page.looked.next, None, "there is nothing more for now");
    }
    let query = AttemptQuery { limit: 1000, ..AttemptQuery::default() };
    let page = finder.attempts(&query).await.unwrap();
    assert_eq!(page.attempts.len(), PARTITIONS as usize - 1);
    assert!(matches!(&page.incomplete[..], [one] if one.starts_with(&format!("partition {away}: "))), "{page:?}");
    // What the store holds is told of the others, too.
    let holds = finder.store().await.unwrap();
    assert!(matches!(&holds.incomplete[..], [one] if one.starts_with(&format!("partition {away}: "))), "{holds:?}");
    let whole = world.finder.store().await.unwrap();
    assert_eq!((whole.events, whole.partitions, whole.incomplete.len()), (40, PARTITIONS, 0));
    let all = world.finder.events(&EventQuery { limit: 1000, ..EventQuery::default() }).await.unwrap().events;
    assert_eq!(whole.oldest, all.last().map(|event| event.accepted_at), "{whole:?}");
    let size = whole.history.unwrap().size;
    assert!(size.records == u64::from(PARTITIONS) && size.bytes > HistorySize::default().bytes, "{size:?}");
    // Nothing can be said of what is only there.
    let key = Some(Key::new("k1").unwrap());
    let events = EventQuery { key: key.clone(), limit: 10, ..EventQuery::default() };
    assert!(matches!(finder.events(&events).await, Err(LookupError::Store(_))));
    let attempts = AttemptQuery { key, limit: 10, ..AttemptQuery::default() };
    assert!(matches!(finder.attempts(&attempts).await, Err(LookupError::Store(_))));
    let find = find("none");
    let found = finder.find(&find).await.unwrap();
    assert!(found.events.is_empty() && found.looked.not_asked.len() == 1, "{found:?}");
}
