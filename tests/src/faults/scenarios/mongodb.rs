//! A MongoDB whose primary steps down, or dies.

use crate::faults::site::{DESTINATION, Site};
use crate::faults::table::Row;
use crate::receiver::{Behaviour, Receiver};
use futures_util::TryStreamExt;
use laneway_servers::mongodb::{MongoOptions, MongoServer};
use mongodb::bson::{Document, doc};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// What a primary that steps down says to a write (MongoDB's `error_codes.yml`): `NotWritablePrimary`,
/// `PrimarySteppedDown`, `InterruptedDueToReplStateChange`, `NotPrimaryNoSecondaryOk`.
const STEPPED_DOWN: [i32; 4] = [10_107, 189, 11_602, 13_435];
const COLLECTION: &str = "events";

/// Fail points at the write, as a step-down shows itself: refused before it, or unclear after it
/// (the connection closed, a write concern that was not met); now and then the server is killed.
pub(super) async fn step_down(times: usize) -> Row {
    let fault = "step-down of MongoDB".to_owned();
    let mut mongo =
        match MongoServer::start_own(MongoOptions { collections: &[COLLECTION], ..MongoOptions::default() }).await {
            Ok(mongo) => mongo,
            Err(why) => {
                crate::effort::skipped(&format!("{fault}: {why}"));
                return Row { fault, note: "not done: there is no MongoDB here".into(), ..Row::default() };
            }
        };
    let unused = Receiver::down(Behaviour::healthy(), 1);
    let mut site = Site::behind(unused, &mongo.url(COLLECTION, ""), "", "mode = \"insert\"");
    let server = site.start().await;
    let mut load = site.load();
    let mut kills = 0;
    for n in 0..times {
        site.a_while(&mut load).await;
        if n % 5 == 4 {
            kills += 1;
            mongo.kill().await;
            mongo.restart().await.expect("MongoDB starts again");
            continue;
        }
        let code = STEPPED_DOWN[site.random.random_range(0..STEPPED_DOWN.len())];
        let how = match n % 3 {
            0 => doc! { "errorCode": code },
            1 => doc! { "closeConnection": true },
            _ => doc! { "writeConcernError": { "code": code, "errmsg": "the primary has stepped down" } },
        };
        mongo.fail(&["insert"], site.random.random_range(1..4), how).await.expect("the server has fail points");
    }
    mongo.fail_no_more().await.expect("the server has fail points");
    load.more(100).await;
    let sending = load.stop().await;
    server.client().settled(DESTINATION).await;
    server.stop();
    let documents: Vec<Document> = {
        let database = mongo.database().await.expect("the server answers");
        let found =
            database.collection::<Document>(COLLECTION).find(doc! {}).await.expect("the collection can be read");
        found.try_collect().await.expect("the collection can be read")
    };
    let taken: BTreeSet<&str> = documents.iter().filter_map(|document| document.get_str("_id").ok()).collect();
    let stored = site.stored();
    let known: BTreeSet<&str> = stored.iter().map(|event| event.id.as_str()).collect();
    let unknown = taken.difference(&known).count();
    Row {
        fault,
        injected: times,
        events: sending.accepted.len(),
        lost: sending.accepted.iter().filter(|id| !known.contains(id.as_str())).count()
            + known.difference(&taken).count(),
        out_of_order: out_of_order(&documents),
        wrong: if unknown > 0 {
            vec![format!("{unknown} documents of events that are not stored")]
        } else {
            Vec::new()
        },
        note: format!(
            "as fail points at the write, in a wire-compatible server; {kills} times kill -9 of it. An event is one \
             document, however often it comes; the gap is not measured"
        ),
        ..Row::default()
    }
}

/// Documents that come, in the order in which they were inserted, after a later one of their key.
fn out_of_order(documents: &[Document]) -> usize {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    let mut early = 0;
    for document in documents {
        let (Ok(key), Ok(offset)) = (document.get_str("key"), document.get_i64("offset")) else { continue };
        early += usize::from(last.insert(key, offset).is_some_and(|before| before > offset));
    }
    early
}
