//! What is left of a deleted tenant, over the reference store, with paused time.

use crate::destinations::Elsewhere;
use async_trait::async_trait;
use bytes::Bytes;
use laneway_app::config::CurrentTenantBounds;
use laneway_app::registry::{Destinations, KEY_BYTES, Keyring, Reader};
use laneway_app::tenants::{Everything, KnownTenants, Tenants, forget_deleted};
use laneway_app::tokens::MadeTokens;
use laneway_domain::{
    Backoff, Commit, DestinationName, Edit, Event, EventId, EventType, Failure, Filter, GivenUp, Key, LaneChange,
    LaneKey, NewEvent, Offset, Origin, Partition, Position, Registered, Revision, Role, Roles, Tenant, TenantLimits,
    TokenName,
};
use laneway_egress::EgressPolicy;
use laneway_http::{Token, Tokens};
use laneway_memory::{Disk, MemoryStore, Settings};
use laneway_ports::{
    Change, ChangeRequest, Condition, DestinationAdmin as _, Drafted, Lease, MAX_REGISTRY_PAGE, MadeLink, MadeToken,
    NewLink, NewToken, RevokedToken, Selection, Stores, TenantAdmin as _, TenantAdminError, TokenAdmin,
    TokenAdminError, TokenJournalLine, TokenList, TokenListQuery, WorkerId, WriteDraft,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const P: Partition = Partition(0);
/// For how long ids are remembered here.
const IDS: Duration = Duration::from_secs(3_600);
const LONG: Duration = Duration::from_secs(1_000_000);

/// A process that has nothing to do but to look after tenants.
struct Scene {
    disk: Arc<Disk>,
    stores: Stores,
    tenants: Arc<Tenants>,
    lease: Lease,
}

impl Scene {
    async fn begin() -> Self {
        let disk = Disk::new(1);
        let stores = Stores::of(Arc::new(MemoryStore::open(disk.clone(), Settings::default())));
        let everything = everything(&stores);
        let known = Arc::new(KnownTenants::new(CurrentTenantBounds::default(), stores.health.clone()));
        known.begin(&*stores.tenants).await.unwrap();
        let tenants = Arc::new(Tenants::new(stores.clone(), known, everything));
        tokio::spawn(forget_deleted(tenants.clone(), IDS));
        let lease = stores.progress.claim(P, &WorkerId("w".into()), LONG).await.unwrap().unwrap();
        Self { disk, stores, tenants, lease }
    }

    /// An event of the tenant, with a key or without.
    async fn append(&self, id: &str, tenant: &str, key: Option<&str>) {
        let (id, of) = (EventId::new(id).unwrap(), EventType::new("t").unwrap());
        let key = key.map(|key| Key::new(key).unwrap());
        let event = Event { tenant: Some(named(tenant)), key, ..Event::new(id, of, Bytes::from_static(b"1")) };
        self.stores.log.append(vec![NewEvent { event, id_given: true }]).await.remove(0).unwrap();
    }

    /// An attempt at the operator's destination has ended: its event is a dead letter.
    async fn bury(&self, offset: u64, key: LaneKey) {
        let now = self.disk.now();
        let (destination, retry) = (crm(), Backoff::note(None, Failure::new(now, "answered 500")));
        let given_up = GivenUp { destination, offset: Offset(offset), key, at: now, reason: "too often".into(), retry };
        let commit = Commit { dead_letters: vec![given_up], ..Commit::default() };
        self.stores.progress.commit(&self.lease, &commit).await.unwrap();
    }

    /// All that the log has is settled, and leaves it: so many events.
    async fn trim(&self, events: usize) {
        let settled = LaneChange { position: Some(Position::Shared), ..LaneChange::default() };
        let scanned = Some(Offset(events as u64));
        let commit = Commit { scanned, lanes: [(crm(), settled)].into(), ..Commit::default() };
        self.stores.progress.commit(&self.lease, &commit).await.unwrap();
        assert_eq!(self.stores.log.trim(P, self.disk.now(), 10).await.unwrap(), events);
    }

    async fn letters(&self) -> u64 {
        self.stores.dead_letters.count(&Selection::of(crm())).await.unwrap()
    }
}

/// The destinations and tokens of a process that has not heard of any deletion.
fn everything(stores: &Stores) -> Everything {
    let keys = Arc::new(Keyring::of(&[[7; KEY_BYTES]]).unwrap());
    let reader = Reader::new(EgressPolicy::default(), keys.clone(), Vec::new());
    let of_file = vec![Token::new("whoever-runs-it").unwrap().named("boss", Roles::ALL)];
    Everything {
        destinations: Arc::new(Destinations::new(stores.clone(), Arc::new(Elsewhere), Arc::new(reader))),
        tokens: Arc::new(MadeTokens::new(stores.tokens.clone(), Tokens::of(of_file)).sealing(keys)),
    }
}

fn named(tenant: &str) -> Tenant {
    Tenant::new(tenant).unwrap()
}

fn crm() -> DestinationName {
    DestinationName::new("crm").unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_fails_late_is_discarded_and_the_name_is_free_when_nothing_is_left() {
    let scene = Scene::begin().await;
    for (id, tenant, key) in [("a", "acme", Some("k")), ("b", "acme", None), ("c", "other", Some("k"))] {
        scene.append(id, tenant, key).await;
    }
    scene.bury(0, LaneKey::Tenant(named("acme"), Key::new("k").unwrap())).await;
    // It has nothing but events: it has to be known.
    scene.tenants.limit("boss", &named("acme"), TenantLimits::default()).await.unwrap();
    let deleted = scene.tenants.delete("boss", &named("acme")).await.unwrap();
    assert_eq!((deleted.dead_letters, scene.letters().await), (1, 0));
    // These were in flight meanwhile: one of it, whose key does not say so, and one of another.
    scene.bury(1, LaneKey::Event(Offset(1))).await;
    scene.bury(2, LaneKey::Tenant(named("other"), Key::new("k").unwrap())).await;
    sleep(Duration::from_secs(70)).await;
    assert_eq!(scene.letters().await, 1, "the other's");
    // Its ids are forgotten by then, and its events are still there.
    sleep(IDS * 2).await;
    assert!(scene.tenants.limit("boss", &named("acme"), TenantLimits::default()).await.is_err());
    scene.trim(3).await;
    sleep(Duration::from_secs(70)).await;
    scene.tenants.limit("boss", &named("acme"), TenantLimits::default()).await.unwrap();
    let shown = scene.tenants.show(&named("acme")).await.unwrap();
    assert!(!shown.deleted && scene.letters().await == 1, "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_typed_wrong_is_not_deleted() {
    let scene = Scene::begin().await;
    let refused = scene.tenants.delete("boss", &named("amce")).await.unwrap_err();
    assert!(matches!(refused, TenantAdminError::Unknown(_)), "{refused}");
    assert!(refused.to_string().contains("laneway tenants limit amce"), "{refused}");
    assert!(!scene.tenants.show(&named("amce")).await.unwrap().deleted);
    // As it says: one that is known is deleted.
    scene.tenants.limit("boss", &named("amce"), TenantLimits::default()).await.unwrap();
    scene.tenants.delete("boss", &named("amce")).await.unwrap();
    // And goes on where it was, asked again.
    scene.tenants.delete("boss", &named("amce")).await.unwrap();
}

/// Makes a destination and a token of the tenant `acme`, as a process does that has not heard of its deletion.
async fn make_late(of: &Everything, what: &str) {
    let named = |what: &str| format!("acme:{what}");
    let url = serde_json::json!({"url": "https://hooks.example/"});
    let request = ChangeRequest {
        name: DestinationName::new(&named(what)).unwrap(),
        change: Change::Put { settings: url.as_object().unwrap().clone(), adopt: false },
        condition: Condition::None,
    };
    of.destinations.change("boss", vec![request]).await.results.remove(0).unwrap();
    let name = TokenName::new(&named(what)).unwrap();
    of.tokens.create("boss", NewToken { name, roles: Roles::of([Role::Read]), most: 5 }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_process_makes_meanwhile_is_not_left_for_whoever_has_the_name_next() {
    let scene = Scene::begin().await;
    let elsewhere = everything(&scene.stores);
    make_late(&elsewhere, "before").await;
    scene.append("a", "acme", Some("k")).await;
    let deleted = scene.tenants.delete("boss", &named("acme")).await.unwrap();
    assert_eq!((deleted.destinations, deleted.tokens), (1, 1));
    make_late(&elsewhere, "late").await;
    let left = async || {
        let query = TokenListQuery { limit: 9, tenant: Some(named("acme")), ..TokenListQuery::default() };
        let tokens = elsewhere.tokens.list(&query).await.unwrap();
        let destinations = scene.tenants.show(&named("acme")).await.unwrap().destinations;
        (tokens.items.len(), destinations)
    };
    assert_eq!(left().await, (1, Some(1)));
    sleep(Duration::from_secs(70)).await;
    assert_eq!(left().await, (0, Some(0)));
    // And what comes however late is gone before the name is free.
    sleep(IDS * 2).await;
    make_late(&elsewhere, "later").await;
    scene.trim(1).await;
    sleep(Duration::from_secs(70)).await;
    scene.tenants.limit("boss", &named("acme"), TenantLimits::default()).await.unwrap();
    assert_eq!(left().await, (0, Some(0)));
}

/// The tokens of a process beside which somebody revokes each as soon as it was listed.
struct Raced(Arc<dyn TokenAdmin>);

#[async_trait]
impl TokenAdmin for Raced {
    async fn create(&self, by: &str, wanted: NewToken) -> Result<MadeToken, TokenAdminError> {
        self.0.create(by, wanted).await
    }

    async fn list(&self, query: &TokenListQuery) -> Result<TokenList, TokenAdminError> {
        let page = self.0.list(query).await?;
        for name in page.items.iter().filter_map(|item| item.name.clone()) {
            self.0.revoke("somebody else", &name).await?;
        }
        Ok(page)
    }

    async fn revoke(&self, by: &str, name: &TokenName) -> Result<RevokedToken, TokenAdminError> {
        self.0.revoke(by, name).await
    }

    async fn changes(
        &self,
        tenant: Option<&Tenant>,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<TokenJournalLine>, TokenAdminError> {
        self.0.changes(tenant, before, limit).await
    }

    async fn make_link(&self, by: &str, wanted: NewLink) -> Result<MadeLink, TokenAdminError> {
        self.0.make_link(by, wanted).await
    }

    async fn end_links(&self, by: &str, tenant: &Tenant) -> Result<(), TokenAdminError> {
        self.0.end_links(by, tenant).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_somebody_revokes_meanwhile_does_not_stop_a_deletion() {
    let scene = Scene::begin().await;
    make_late(&everything(&scene.stores), "before").await;
    let Everything { destinations, tokens } = everything(&scene.stores);
    let known = Arc::new(KnownTenants::new(CurrentTenantBounds::default(), scene.stores.health.clone()));
    known.begin(&*scene.stores.tenants).await.unwrap();
    let raced = Everything { destinations, tokens: Arc::new(Raced(tokens)) };
    let deleted = Tenants::new(scene.stores.clone(), known, raced).delete("boss", &named("acme")).await.unwrap();
    assert_eq!((deleted.destinations, deleted.tokens), (1, 0), "the token was revoked by somebody else");
}

/// However a batch is made up: one name that comes many times, before others, is looked up once.
#[tokio::test(start_paused = true)]
async fn no_batch_makes_more_destinations_than_a_tenant_may_have() {
    let scene = Scene::begin().await;
    let known = Arc::new(KnownTenants::new(CurrentTenantBounds::default(), scene.stores.health.clone()));
    known.begin(&*scene.stores.tenants).await.unwrap();
    let most = known.limits_of(&named("acme")).destinations.unwrap() as usize;
    let keys = Arc::new(Keyring::of(&[[7; KEY_BYTES]]).unwrap());
    let reader = Arc::new(Reader::new(EgressPolicy::default(), keys, Vec::new()));
    let admin = Destinations::new(scene.stores.clone(), Arc::new(Elsewhere), reader).knowing(known);
    let settings = serde_json::json!({"url": "https://hooks.example/"}).as_object().unwrap().clone();
    let request = |name: String, change: Change| ChangeRequest {
        name: DestinationName::new(&name).unwrap(),
        change,
        condition: Condition::None,
    };
    let deletes = (0..501).map(|_| request("acme:x".into(), Change::Delete));
    let puts =
        (0..499).map(|n| request(format!("acme:d{n}"), Change::Put { settings: settings.clone(), adopt: false }));
    let made = admin.change("acme", deletes.chain(puts).collect()).await;
    assert_eq!(made.results.iter().filter(|result| result.is_ok()).count(), most);
    assert_eq!(scene.tenants.show(&named("acme")).await.unwrap().destinations, Some(most as u64));
}

/// Makes destinations of these names, all alike.
async fn register(stores: &Stores, names: &[String]) {
    for some in names.chunks(MAX_REGISTRY_PAGE) {
        let head = stores.registry.head().await.unwrap();
        let mut draft = WriteDraft::new(&head, head.next());
        for name in some {
            let (name, settings) = (DestinationName::new(name).unwrap(), r#"{"url":"console:"}"#.into());
            let (origin, filter) = (Origin::Api, Filter::default());
            let put = Edit::Put { origin, settings, filter, moved: false, adopt: false };
            let record = Registered::edited(None, &name, put, head.next(), false).unwrap().unwrap();
            assert!(matches!(draft.add(record, "whoever", "made"), Drafted::Taken));
        }
        assert!(stores.registry.write(&draft.finish().unwrap()).await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn tenants_are_listed_to_the_last_however_many_destinations_of_the_operator_stand_between() {
    let scene = Scene::begin().await;
    let between = (0..40_000).map(|n| format!("d{n:05}"));
    let names: Vec<String> = ["a:crm".to_owned()].into_iter().chain(between).chain(["z:crm".to_owned()]).collect();
    register(&scene.stores, &names).await;
    for limit in [1, 100] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = scene.tenants.list(after.as_ref(), limit).await.unwrap();
            assert_eq!(page.incomplete, Vec::<String>::new());
            found.extend(page.items.into_iter().map(|shown| shown.tenant));
            let Some(next) = page.next else { break };
            after = Some(named(&next));
        }
        assert_eq!(found, [named("a"), named("z")], "{limit} at a time");
    }
}
