//! The collection: a connection when it is needed, and the three commands that are sent.

use crate::client::GuardedClient;
use crate::config::MongoConfig;
use crate::failure::Failure;
use crate::redact::Redactor;
use crate::reply::Reply;
use crate::stored::Stored;
use laneway_domain::Cause;
use laneway_egress::EgressPolicy;
use mongodb::bson::raw::cstr;
use mongodb::bson::{Document, RawArrayBuf, RawDocumentBuf, doc, rawdoc};
use mongodb::error::Error;
use mongodb::options::{ClientOptions, ConnectionString, ReadConcern, WriteConcern};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the driver looks for a server, if neither URL nor timeout say less: as long as by itself.
const SERVER_SELECTION: Duration = Duration::from_secs(30);
/// How long connecting may take, if neither URL nor timeout say less: as long as by itself.
const CONNECT: Duration = Duration::from_secs(10);
/// The most connections to a server, if the URL does not say: one for each attempt that is in
/// flight by default.
const MAX_POOL_SIZE: u32 = laneway_domain::DEFAULT_MAX_IN_FLIGHT;
/// How long a connection is kept that nothing goes over, if the URL does not say. The driver itself keeps them for
/// ever, and they take places that other destinations wait for (`egress.connections`); a new one takes some round trips.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
/// Who Laneway says it is, in the server's logs, if the URL does not say.
const APP_NAME: &str = "laneway";

pub(crate) struct Collection {
    connection: ConnectionString,
    /// Made at the first attempt: a MongoDB that cannot be reached does not keep Laneway from starting.
    client: Mutex<Option<Arc<GuardedClient>>>,
    egress: EgressPolicy,
    database: String,
    name: String,
    redactor: Redactor,
    /// The most time that the driver or the server may take for one step; less than the attempt
    /// has, so that there is time left to say what took so long.
    patience: Duration,
    write_concern: RawDocumentBuf,
}

impl Collection {
    pub(crate) fn new(config: MongoConfig) -> Self {
        let patience = (config.timeout * 3 / 4).max(Duration::from_millis(1));
        let asked = config.connection.write_concern.as_ref().and_then(|concern| concern.w_timeout);
        let w_timeout = asked.filter(|asked| !asked.is_zero()).map_or(patience, |asked| asked.min(patience));
        Self {
            connection: config.connection,
            client: Mutex::default(),
            egress: config.egress,
            database: config.database,
            name: config.collection,
            redactor: config.redactor,
            patience,
            write_concern: rawdoc! { "w": "majority", "j": true, "wtimeout": millis(w_timeout) },
        }
    }

    /// Inserts the documents in their order up to the first that fails.
    pub(crate) async fn insert(&self, documents: RawArrayBuf) -> Result<Reply, Failure> {
        let mut command = rawdoc! { "insert": self.name.as_str(), "ordered": true };
        command.append(cstr!("documents"), documents);
        self.write(command).await
    }

    /// Performs the updates, each by itself: one that fails does not hold the others.
    pub(crate) async fn update(&self, updates: RawArrayBuf) -> Result<Reply, Failure> {
        let mut command = rawdoc! { "update": self.name.as_str(), "ordered": false };
        command.append(cstr!("updates"), updates);
        self.write(command).await
    }

    async fn write(&self, mut command: RawDocumentBuf) -> Result<Reply, Failure> {
        command.append(cstr!("writeConcern"), self.write_concern.clone());
        command.append(cstr!("maxTimeMS"), millis(self.patience));
        let client = self.client().await?;
        let database = client.client().database(&self.database);
        let ran = database.run_raw_command(command).selection_criteria(client.criteria()).await;
        let answer = ran.map_err(|error| self.failure(&client, &error))?;
        Reply::read(&answer, &self.redactor).map_err(|reason| Failure::new(Cause::Unanswered, reason))
    }

    /// What documents there are with these ids, as far as a majority has them: what may still be
    /// rolled back is not there.
    pub(crate) async fn find<S: AsRef<str> + Sync>(&self, ids: &[S]) -> Result<Vec<Stored>, Failure> {
        let client = self.client().await?;
        let failed = |error| self.failure(&client, &error);
        let wanted: Vec<&str> = ids.iter().map(AsRef::as_ref).collect();
        let batch_size = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let cursor = client
            .client()
            .database(&self.database)
            .collection::<Document>(&self.name)
            .find(doc! { "_id": { "$in": wanted } })
            .projection(Stored::FIELDS.iter().map(|&field| (field.to_owned(), 1.into())).collect::<Document>())
            .batch_size(batch_size)
            .read_concern(ReadConcern::majority())
            .selection_criteria(client.criteria())
            .max_time(self.patience)
            .await;
        let mut cursor = cursor.map_err(failed)?;
        let mut found = Vec::with_capacity(ids.len());
        while cursor.advance().await.map_err(failed)? {
            let document = cursor.deserialize_current().map_err(failed)?;
            found.extend(Stored::read(&document));
        }
        Ok(found)
    }

    fn failure(&self, client: &GuardedClient, error: &Error) -> Failure {
        match client.troubles(error) {
            Some((cause, troubles)) => {
                Failure::new(cause, format!("no MongoDB server can be used: {}", self.redactor.excerpt(&troubles)))
            }
            None => self.unreached(error),
        }
    }

    fn unreached(&self, error: &Error) -> Failure {
        Failure::of(error, &self.to_string(), &self.redactor)
    }

    /// The client, made if there is none. One that must not be used any more is dropped, and ends with the
    /// attempts that have it. The next attempt begins anew: what was wrong may have been mended.
    async fn client(&self) -> Result<Arc<GuardedClient>, Failure> {
        let mut current = self.client.lock().await;
        if let Some(client) = &*current {
            let Some(why) = client.refused() else { return Ok(Arc::clone(client)) };
            *current = None;
            return Err(Failure::new(Cause::NotConnected, why));
        }
        let client = Arc::new(self.connect().await.map_err(|error| self.unreached(&error))?);
        *current = Some(Arc::clone(&client));
        Ok(client)
    }

    async fn connect(&self) -> Result<GuardedClient, Error> {
        let mut options = ClientOptions::parse(self.connection.clone()).await?;
        let at_most = |asked: Option<Duration>, default| Some(asked.unwrap_or(default).min(self.patience));
        options.server_selection_timeout = at_most(options.server_selection_timeout, SERVER_SELECTION);
        options.connect_timeout = at_most(options.connect_timeout, CONNECT);
        options.max_pool_size = Some(options.max_pool_size.unwrap_or(MAX_POOL_SIZE));
        options.max_idle_time.get_or_insert(MAX_IDLE_TIME);
        options.app_name.get_or_insert_with(|| APP_NAME.to_owned());
        // A sink does not try again by itself.
        options.retry_writes = Some(false);
        options.retry_reads = Some(false);
        options.write_concern = Some(WriteConcern::majority());
        GuardedClient::new(options, self.egress.clone()).await
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

fn millis(time: Duration) -> i64 {
    // 0 would mean no limit at all.
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}
