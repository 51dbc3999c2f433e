//! `[[destination]]`: which events go where, in what order, how fast and how often.

use super::console::Console;
use super::problem::{Origin, Place, Problem, first_word};
use super::reader::{Findings, Section};
use super::setting::{Address, Size};
use super::sink::{Common, SinkConfig};
use super::source::{Json, References};
use super::tree::{self, Table};
use super::written::{KeptSettings, Written};
use super::{Secret, kinds, units};
use laneway_domain::{
    BatchPolicy, BreakerPolicy, DEFAULT_MAX_IN_FLIGHT, Destination, DestinationName, Filter, Filters, OnGiveUp,
    Ordering, PAUSED_IN_CONFIGURATION, Rate, RetryPolicy, StartFrom, Tenant, TypePattern, check_attribute,
};
use laneway_egress::EgressPolicy;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The most attempts in flight that one destination may ask for: each holds a connection and an
/// event in memory.
const MAX_IN_FLIGHT: u32 = 10_000;
/// The most attempts a second that a rate can say; more is no limit at all.
const MAX_RATE: u32 = 10_000_000;
/// The most events of one attempt; what common receivers of batches take at most.
const MAX_BATCH_EVENTS: usize = 10_000;
/// The shortest limit on waiting: what is due is looked for once a second.
const MIN_MAX_AGE: Duration = Duration::from_secs(1);
/// The longest: more is no limit at all.
const MAX_MAX_AGE: Duration = units::MAX_DURATION;
/// How long an event waits for a tenant's destination where nothing is said: an endpoint that its owner has abandoned must
/// not hold the log for ever. A week is what somebody needs who mends it after a long weekend.
const TENANT_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The name of the destination that there is when none is configured.
const CONSOLE: &str = "console";

/// A destination: what the dispatcher needs to know, and what the sink does.
#[derive(Clone, Debug)]
pub struct DestinationConfig {
    /// Filter, order, limits, retries.
    pub destination: Destination,
    /// Where it sends to.
    pub sink: Arc<dyn SinkConfig>,
    /// All of it as JSON has it, but for its name.
    pub written: KeptSettings,
}

/// Settings that were read from JSON, as far as they make sense.
#[derive(Debug)]
pub struct SettingsRead {
    /// Filter, order, limits, retries; the default of what makes no sense.
    pub destination: Destination,
    /// Where it sends to, if that makes sense.
    pub sink: Option<Arc<dyn SinkConfig>>,
    /// All of it, in the form in which it is kept.
    pub written: Written,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads a destination from JSON, by the reader of `[[destination]]`: the settings are the same.
#[must_use]
pub fn read_settings(
    name: &DestinationName,
    mut settings: serde_json::Map<String, serde_json::Value>,
    references: References,
    egress: &EgressPolicy,
) -> SettingsRead {
    let source = Json(references);
    let findings = Findings::new(&source, Vec::new(), Vec::new());
    // A tenant may call it what it calls it itself.
    let named = settings.entry("name").or_insert_with(|| name.as_str().into());
    if named.as_str() == Some(name.own()) {
        *named = name.as_str().into();
    }
    let section = Section::new(&findings, Place::default(), Origin::Json, tree::of_json(settings));
    let read = read(section, 0, egress, &mut BTreeMap::new());
    if let Some(other) = read.name.filter(|other| other != name) {
        let what = format!("is {:?}, but the settings are those of {name}: leave it out", other.as_str());
        findings.problem(Origin::Json, Place::default().child("name"), what);
    }
    let destination = match read.destination {
        Some(destination) => Destination { name: name.clone(), ..destination },
        None => Destination::new(name.clone()),
    };
    SettingsRead { destination, sink: read.sink, written: read.written, problems: findings.take() }
}

/// All destinations; without any, one that prints every event, and `true`.
pub(super) fn read_all(root: &mut Section<'_, '_>, egress: &EgressPolicy) -> (Vec<Arc<DestinationConfig>>, bool) {
    let configured = root.has("destination");
    let tables = root.tables("destination");
    if tables.is_empty() && !configured {
        return (console().into_iter().collect(), true);
    }
    let mut first_use: BTreeMap<DestinationName, usize> = BTreeMap::new();
    let mut destinations = Vec::with_capacity(tables.len());
    for (index, (origin, table)) in tables.into_iter().enumerate() {
        let section = open(root, index, origin, table);
        let Read { name, destination, sink, written } = read(section, index, egress, &mut first_use);
        if let (Some(_), Some(destination), Some(sink)) = (name, destination, sink) {
            let written = KeptSettings::of(&written);
            destinations.push(Arc::new(DestinationConfig { destination, sink, written }));
        }
    }
    if destinations.is_empty() { (console().into_iter().collect(), true) } else { (destinations, false) }
}

fn console() -> Option<Arc<DestinationConfig>> {
    let name = DestinationName::new(CONSOLE).ok()?;
    let written =
        Written { shown: [("url".to_owned(), "console:".into())].into_iter().collect(), ..Written::default() };
    let written = KeptSettings::of(&written);
    Some(Arc::new(DestinationConfig { destination: Destination::new(name), sink: Arc::new(Console), written }))
}

fn open<'f, 's>(root: &Section<'f, 's>, index: usize, origin: Origin, table: Table) -> Section<'f, 's> {
    let mut section = Section::new(root.findings, Place::destination(index, None), origin, table);
    section.place = Place::destination(index, section.peek_text("name"));
    section
}

/// One destination, as far as it makes sense.
#[derive(Default)]
struct Read {
    name: Option<DestinationName>,
    destination: Option<Destination>,
    sink: Option<Arc<dyn SinkConfig>>,
    written: Written,
}

/// Reads one destination to its end whatever is wrong with it, so that all mistakes are found.
fn read(
    mut section: Section<'_, '_>,
    index: usize,
    egress: &EgressPolicy,
    first_use: &mut BTreeMap<DestinationName, usize>,
) -> Read {
    let name = read_name(&mut section, index, first_use);
    let url = section.get::<Address>("url").map(|Address(url)| url);
    let kind = match &url {
        Some(url) => kinds::of(url.expose()).map_err(|what| section.problem("url", what)).ok(),
        None => {
            if !section.has("url") {
                let example = "\"https://example.com/hook\" or \"console:\"";
                section.missing("url", &format!("is missing; say where the events go, for instance {example}"));
            }
            None
        }
    };
    let filter = Filter { tenant: name.as_ref().and_then(DestinationName::tenant), ..read_filter(&mut section) };
    let destination = Destination {
        filters: Filters::always(filter).into(),
        ordering: section.choice("ordering", Ordering::Key, &ORDERINGS),
        from: section.choice("from", StartFrom::End, &STARTS),
        max_in_flight: at_least_one(section.within("max_in_flight", DEFAULT_MAX_IN_FLIGHT, 1..=MAX_IN_FLIGHT)),
        rate: read_rate(&mut section),
        batch: read_batch(section.section("batch")),
        retry: read_retry(section.section("retry")),
        on_give_up: section.choice("on_give_up", OnGiveUp::DeadLetter, &GIVE_UPS),
        breaker: read_breaker(&mut section),
        max_age: read_max_age(&mut section, name.as_ref()),
        paused: section.or("paused", false).then(|| PAUSED_IN_CONFIGURATION.into()),
        // Without a name there is a mistake, and nothing becomes of the rest.
        ..match name.clone().or_else(|| DestinationName::new(CONSOLE).ok()) {
            Some(name) => Destination::new(name),
            None => return Read::default(),
        }
    };
    let url = url.as_ref().map_or("", Secret::expose);
    let common = Common { url, egress, destination: &destination };
    let sink = kind.and_then(|kind| (kind.read)(&mut section, &common));
    kinds::refuse_others(&mut section, kind);
    let mut written = section.written();
    // The name says whose it is.
    for said in ["name", "tenant"] {
        written.shown.remove(said);
    }
    section.finish();
    Read { name, destination: Some(destination), sink, written }
}

const ORDERINGS: [(&str, Ordering); 3] =
    [("key", Ordering::Key), ("strict", Ordering::Strict), ("none", Ordering::None)];
const STARTS: [(&str, StartFrom); 2] = [("end", StartFrom::End), ("beginning", StartFrom::Beginning)];
const GIVE_UPS: [(&str, OnGiveUp); 2] = [("dead-letter", OnGiveUp::DeadLetter), ("hold", OnGiveUp::Hold)];

fn at_least_one(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn read_name(
    section: &mut Section<'_, '_>,
    index: usize,
    first_use: &mut BTreeMap<DestinationName, usize>,
) -> Option<DestinationName> {
    let Some(name) = section.get::<String>("name") else {
        if !section.has("name") {
            section.missing("name", "is missing; progress is kept under it, for instance \"billing\"");
        }
        return None;
    };
    let name = DestinationName::new(&name).map_err(|e| section.problem("name", e.to_string())).ok()?;
    let name = match section.get::<String>("tenant") {
        None => name,
        Some(tenant) => of_tenant(name, &tenant).map_err(|what| section.problem("tenant", what)).ok()?,
    };
    if let Some(first) = first_use.get(&name) {
        let what = format!("destination.{first} already has this name; progress is stored by name, so choose another");
        section.problem("name", what);
        return None;
    }
    first_use.insert(name.clone(), index);
    Some(name)
}

/// The name of a destination that is said to be a tenant's, if it does not say so itself.
fn of_tenant(name: DestinationName, tenant: &str) -> Result<DestinationName, String> {
    let tenant = Tenant::new(tenant).map_err(|error| error.to_string())?;
    match name.tenant() {
        None => DestinationName::of(&tenant, name.as_str()).map_err(|error| error.to_string()),
        Some(own) if own == tenant => Ok(name),
        Some(_) => Err(format!("is {:?}, but {name} is the name of another tenant's destination", tenant.as_str())),
    }
}

fn read_filter(section: &mut Section<'_, '_>) -> Filter {
    let given = section.has("types");
    let patterns: Vec<String> = section.list("types");
    if given && patterns.is_empty() && !section.has_mistakes("types") {
        section.problem("types", "is empty; leave it out for all types, or set paused = true for none");
    }
    let mut types = Vec::new();
    for pattern in patterns {
        match TypePattern::new(&pattern) {
            Ok(pattern) => types.push(pattern),
            Err(e) => section.problem("types", e.to_string()),
        }
    }
    let mut attributes = BTreeMap::new();
    for (name, value) in section.map::<String>("match") {
        match check_attribute(&name, &value) {
            Ok(()) => _ = attributes.insert(name.into(), value.into()),
            Err(e) => section.problem("match", format!("no event can have this: {e}")),
        }
    }
    Filter { tenant: None, types, attributes }
}

fn read_rate(section: &mut Section<'_, '_>) -> Option<Rate> {
    if !section.has("rate") {
        // Asked for all the same: it is a known key.
        section.get::<u32>("rate");
        return None;
    }
    let per_second = section.within("rate", MAX_RATE, 1..=MAX_RATE);
    Some(Rate { per_second: at_least_one(per_second) })
}

/// How long an event may wait, if that has a limit.
fn read_max_age(section: &mut Section<'_, '_>, name: Option<&DestinationName>) -> Option<Duration> {
    if !section.has("max_age") {
        // Asked for all the same: it is a known key.
        section.get::<String>("max_age");
        return name.and_then(DestinationName::tenant).map(|_| TENANT_MAX_AGE);
    }
    Some(section.within("max_age", MAX_MAX_AGE, MIN_MAX_AGE..=MAX_MAX_AGE))
}

fn read_batch(mut section: Section<'_, '_>) -> BatchPolicy {
    const MOST_BYTES: u64 = 256 << 20;
    let default = BatchPolicy::default();
    let batch = BatchPolicy {
        max_events: section.within("max_events", default.max_events, 1..=MAX_BATCH_EVENTS),
        max_bytes: section.within("max_bytes", Size(default.max_bytes as u64), Size(1)..=Size(MOST_BYTES)).bytes(),
        linger: section.within("linger", default.linger, Duration::ZERO..=Duration::from_secs(60)),
    };
    if batch.max_events == 1 && !batch.linger.is_zero() {
        section.problem("linger", "has no effect while max_events is 1: nothing is put together");
    }
    section.finish();
    batch
}

fn read_retry(mut section: Section<'_, '_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    // Who says how delays grow, or where they end, means that and no more.
    let default_total = if section.has("factor") || section.has("limit") { None } else { default.total };
    let policy = RetryPolicy {
        initial: section.or("initial", default.initial),
        factor: section.or("factor", default.factor),
        limit: section.or("limit", default.limit),
        total: section.get("total").or(default_total),
        jitter: section.or("jitter", default.jitter),
    };
    let checked = policy.check();
    if let Err(e) = &checked {
        let key = first_word(&e.to_string(), &["initial", "factor", "limit", "total", "jitter"]);
        section.problem(key, e.to_string());
    }
    section.finish();
    checked.unwrap_or(default)
}

fn read_breaker(section: &mut Section<'_, '_>) -> Option<BreakerPolicy> {
    let default = BreakerPolicy::default();
    let Some(found) = section.section_or_false("breaker") else { return Some(default) };
    let mut section = found?;
    let policy = BreakerPolicy {
        failures: section.within("failures", default.failures, 1..=1_000_000),
        limit: section.within("limit", default.limit, Duration::from_secs(1)..=units::MAX_DURATION),
    };
    section.finish();
    Some(policy)
}
