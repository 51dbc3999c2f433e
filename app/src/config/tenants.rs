//! `[tenants]`: what tenants may make and do over the HTTP interface.

use super::egress;
use super::reader::Section;
use super::setting::Size;
use super::units::show_size;
use ipnet::IpNet;
use laneway_domain::{TenantLimits, TenantRates};
use laneway_http::ActBounds;
use serde_json::{Map, Value as Json};
use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, PoisonError, RwLock};

/// Where they send to where nothing is said: nothing of a customer's goes over the network in the clear, and none of the
/// other kinds is for strangers.
const SCHEMES: [&str; 1] = ["https"];
/// All that can be allowed.
const KNOWN: [&str; 5] = ["https", "http", "mongodb", "mongodb+srv", "console"];
/// How many a tenant may have where nothing is said: more endpoints than a customer of a common service has, few enough
/// that one tenant alone cannot make the server's work its own.
const DESTINATIONS: usize = 100;
/// As many as one store was tried with.
const MOST_DESTINATIONS: usize = 80_000;
/// Headers of a destination: what gateways ask for is a key or two. All are sent with each attempt.
const HEADERS: usize = 16;
/// As many as servers commonly take of a request, beside Laneway's own.
const MOST_HEADERS: usize = 64;
/// Patterns of types and wanted attributes of a destination together: each event of the tenant may be compared with all.
const PATTERNS: usize = 100;
/// Beyond, choosing costs more than sending.
const MOST_PATTERNS: usize = 10_000;
/// The settings of a destination, with its secrets and certificates: every process keeps those of all destinations.
const SETTINGS_BYTES: u64 = 32 << 10;
/// What any destination may have.
const MOST_SETTINGS_BYTES: u64 = laneway_ports::MAX_RECORD_BYTES as u64;
/// The most of anything in a minute: nobody asks so often, and it is as good as no bound.
const MOST_PER_MINUTE: u32 = 1_000_000;
/// As many tokens as there can be of everybody.
const MOST_TOKENS: usize = laneway_domain::MAX_TOKENS;
/// Beyond, a worker reads replays and nothing new.
const MOST_REPLAYS: usize = 1_000;

/// How headers begin that a tenant's destination does not set: proxies and gateways believe of them who asks, from where
/// and for whom; clouds give out credentials to whoever sends theirs; and receivers take those of traces for Laneway's.
/// (What is Laneway's own, and what belongs to the connection, no destination sets.)
const STEERING: [&str; 24] = [
    "forwarded",
    "via",
    "x-forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy",
    "true-client-ip",
    "client-ip",
    "remote-",
    "cf-",
    "fastly-",
    "x-original",
    "x-rewrite",
    "x-http-method",
    "x-method-override",
    "x-host",
    "proxy",
    "max-forwards",
    "metadata",
    "x-aws-",
    "x-google-",
    "traceparent",
    "tracestate",
];

/// The most events a second that can be said: more than one store takes.
const MOST_EVENTS: u32 = 10_000_000;
/// The most bytes a second: likewise.
const MOST_BYTES: Size = Size(100 << 30);
/// The most bytes of an event: what a server can be set to take at all.
const MOST_EVENT_BYTES: Size = Size(64 << 20);

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantBounds {
    /// The schemes of their URLs.
    pub schemes: Vec<String>,
    /// Addresses that their destinations may lead to besides public ones.
    pub egress_allow: Vec<IpNet>,
    /// The most destinations of one tenant.
    pub destinations: usize,
    /// Events a second that one tenant may send, over all processes together; `None`: no limit.
    pub events_per_second: Option<NonZeroU32>,
    /// Bytes a second of its events; `None`: no limit.
    pub bytes_per_second: Option<NonZeroU64>,
    /// The most bytes of one of its events; `None`: what `server.limits` says.
    pub event_bytes: Option<NonZeroU32>,
    /// The most headers of one destination.
    pub headers: usize,
    /// The most patterns of types, and attributes, that one destination chooses by.
    pub patterns: usize,
    /// The most bytes of one destination's settings, written as JSON.
    pub settings_bytes: usize,
    /// What is bounded of what they do.
    pub limits: ActBounds,
}

impl Default for TenantBounds {
    fn default() -> Self {
        Self {
            schemes: SCHEMES.map(str::to_owned).to_vec(),
            egress_allow: Vec::new(),
            destinations: DESTINATIONS,
            events_per_second: None,
            bytes_per_second: None,
            event_bytes: None,
            headers: HEADERS,
            patterns: PATTERNS,
            settings_bytes: usize::try_from(SETTINGS_BYTES).unwrap_or(usize::MAX),
            limits: ActBounds::default(),
        }
    }
}

/// A number that need not be said.
fn at_most(section: &mut Section<'_, '_>, key: &'static str, most: u32) -> Option<u32> {
    if section.has(key) {
        return Some(section.within(key, most, 1..=most));
    }
    // Asked for all the same: it is a known key.
    section.get::<u32>(key);
    None
}

/// The same in bytes.
fn size(section: &mut Section<'_, '_>, key: &'static str, most: Size) -> Option<u64> {
    if section.has(key) {
        let Size(bytes) = section.within(key, most, Size(1)..=most);
        return Some(bytes);
    }
    section.get::<Size>(key);
    None
}

impl TenantBounds {
    pub(super) fn read(mut section: Section<'_, '_>) -> Self {
        let default = Self::default();
        let given = section.has("schemes");
        let schemes: Vec<String> = section.list("schemes");
        for unknown in schemes.iter().filter(|scheme| !KNOWN.contains(&scheme.as_str())) {
            section.problem("schemes", format!("{unknown:?} is none of {}", KNOWN.join(", ")));
        }
        let bounds = Self {
            schemes: if given { schemes } else { default.schemes },
            egress_allow: egress::ranges(&mut section, "egress_allow"),
            destinations: section.within("destinations", default.destinations, 0..=MOST_DESTINATIONS),
            events_per_second: at_most(&mut section, "events_per_second", MOST_EVENTS).and_then(NonZeroU32::new),
            bytes_per_second: size(&mut section, "bytes_per_second", MOST_BYTES).and_then(NonZeroU64::new),
            event_bytes: size(&mut section, "event_bytes", MOST_EVENT_BYTES)
                .and_then(|bytes| NonZeroU32::new(u32::try_from(bytes).unwrap_or(u32::MAX))),
            headers: section.within("headers", default.headers, 0..=MOST_HEADERS),
            patterns: section.within("patterns", default.patterns, 1..=MOST_PATTERNS),
            settings_bytes: section
                .within("settings_bytes", Size(SETTINGS_BYTES), Size(1024)..=Size(MOST_SETTINGS_BYTES))
                .bytes(),
            limits: read_limits(&mut section),
        };
        section.finish();
        bounds
    }

    /// What a tenant may for which nothing else was set.
    #[must_use]
    pub fn of_all(&self) -> TenantLimits {
        TenantLimits {
            events_per_second: self.events_per_second,
            bytes_per_second: self.bytes_per_second,
            event_bytes: self.event_bytes,
            destinations: u32::try_from(self.destinations).ok(),
        }
    }

    /// What of a tenant's destination is not allowed: each setting with what is wrong. What was so `before` may stay,
    /// also where it was allowed to be more then.
    #[must_use]
    pub fn refuses(&self, settings: &Map<String, Json>, before: Option<&Map<String, Json>>) -> Vec<(String, String)> {
        let is_new = |key: &str| settings.get(key) != before.and_then(|before| before.get(key));
        let mut refused = Vec::new();
        if let Some(url) = settings.get("url").and_then(Json::as_str).filter(|_| is_new("url")) {
            refused.extend(self.refuses_url(url).map(|why| ("/url".to_owned(), why)));
        }
        if let Some(headers) = settings.get("headers").and_then(Json::as_object).filter(|_| is_new("headers")) {
            refused.extend(self.refuses_headers(headers));
        }
        let choosing = [("types", "/types"), ("match", "/match")];
        let count = |key: &str| match settings.get(key) {
            Some(Json::Array(items)) => items.len(),
            Some(Json::Object(items)) => items.len(),
            _ => 0,
        };
        let patterns: usize = choosing.iter().map(|(key, _)| count(key)).sum();
        if let Some((_, field)) = choosing.iter().find(|(key, _)| patterns > self.patterns && is_new(key)) {
            let most = self.patterns;
            let why = format!(
                "has, with the other, {patterns} patterns and attributes, and a tenant's destination may choose by {most} \
                 (tenants.patterns)"
            );
            refused.push(((*field).to_owned(), why));
        }
        let bytes = |settings: &Map<String, Json>| serde_json::to_string(settings).map_or(0, |text| text.len());
        let length = bytes(settings);
        if length > self.settings_bytes && before.is_none_or(|before| length > bytes(before)) {
            let (length, most) = (show_size(length as u64), show_size(self.settings_bytes as u64));
            let why = format!(
                "the settings have {length} together, and those of a tenant's destination may have {most} \
                 (tenants.settings_bytes)"
            );
            refused.push((String::new(), why));
        }
        refused
    }

    /// Why a tenant's destination cannot have that URL, if so.
    fn refuses_url(&self, url: &str) -> Option<String> {
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme).to_ascii_lowercase();
        let allowed = self.schemes.contains(&scheme);
        (!allowed).then(|| {
            let where_to = match self.schemes.as_slice() {
                [] => "nowhere".to_owned(),
                schemes => format!("to {} only", schemes.join(", ")),
            };
            format!("is {scheme}, and a tenant's destination may send {where_to} (tenants.schemes)")
        })
    }

    fn refuses_headers(&self, headers: &Map<String, Json>) -> Option<(String, String)> {
        if headers.len() > self.headers {
            let (count, most) = (headers.len(), self.headers);
            let why = format!("are {count}, and a tenant's destination may have {most} (tenants.headers)");
            return Some(("/headers".to_owned(), why));
        }
        let steers = |name: &&String| STEERING.iter().any(|begin| name.to_ascii_lowercase().starts_with(begin));
        let name = headers.keys().find(steers)?;
        let why = format!("{name:?} steers proxies, or says who asks: a tenant's destination may not set it");
        Some(("/headers".to_owned(), why))
    }
}

fn read_limits(section: &mut Section<'_, '_>) -> ActBounds {
    let default = ActBounds::default();
    let mut rate = |key, default: NonZeroU32| {
        NonZeroU32::new(section.within(key, default.get(), 1..=MOST_PER_MINUTE)).unwrap_or(default)
    };
    let rates = TenantRates {
        changes: rate("changes_per_minute", default.rates.changes),
        tests: rate("tests_per_minute", default.rates.tests),
        replays: rate("replays_per_minute", default.rates.replays),
        searches: rate("searches_per_minute", default.rates.searches),
    };
    ActBounds {
        rates,
        tokens: section.within("tokens", default.tokens, 0..=MOST_TOKENS),
        replays_at_once: section.within("replays_at_once", default.replays_at_once, 0..=MOST_REPLAYS),
    }
}

/// The bounds of a running server, which can be replaced.
#[derive(Clone, Debug, Default)]
pub struct CurrentTenantBounds(Arc<RwLock<Arc<TenantBounds>>>);

impl CurrentTenantBounds {
    /// These from now on. Whether any is another one than before.
    pub fn replace(&self, bounds: &TenantBounds) -> bool {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let differ = **current != *bounds;
        *current = Arc::new(bounds.clone());
        differ
    }

    /// Those that hold now.
    #[must_use]
    pub fn now(&self) -> Arc<TenantBounds> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl From<TenantBounds> for CurrentTenantBounds {
    fn from(bounds: TenantBounds) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(bounds))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    /// The fields that are refused.
    fn refused(bounds: &TenantBounds, settings: &Json, before: Option<&Json>) -> Vec<(String, String)> {
        bounds.refuses(&map(settings), before.map(map).as_ref())
    }

    #[test]
    fn only_allowed_schemes_pass_however_they_are_written() {
        let bounds = TenantBounds::default();
        for good in ["https://a.example/", "HTTPS://a.example/"] {
            assert_eq!(bounds.refuses_url(good), None, "{good}");
        }
        for bad in ["http://a.example/", "console:", "mongodb://a/b/c", "", "file:///etc/passwd"] {
            assert!(bounds.refuses_url(bad).is_some_and(|why| why.contains("https only")), "{bad}");
        }
        let none = TenantBounds { schemes: Vec::new(), ..bounds };
        assert!(none.refuses_url("https://a.example/").is_some_and(|why| why.contains("may send nowhere")));
    }

    #[test]
    fn what_was_so_before_may_stay_where_the_bounds_have_become_narrower() {
        let bounds = TenantBounds { headers: 1, patterns: 1, settings_bytes: 20, ..TenantBounds::default() };
        let before = json!({"url": "http://a.example/", "headers": {"a": "1", "via": "2"}, "types": ["a", "b"]});
        assert_eq!(refused(&bounds, &before, Some(&before)), []);
        let mut shorter = before.clone();
        shorter["types"] = json!(["a"]);
        assert_eq!(refused(&bounds, &shorter, Some(&before)), []);
        let fields = |settings: &Json| -> Vec<String> {
            refused(&bounds, settings, Some(&before)).into_iter().map(|(field, _)| field).collect()
        };
        for (key, value, field) in [
            ("url", json!("http://b.example/"), "/url"),
            ("headers", json!({"a": "1", "b": "2"}), "/headers"),
            ("headers", json!({"via": "2"}), "/headers"),
            ("types", json!(["a", "c"]), "/types"),
            ("match", json!({"a": "b"}), "/match"),
        ] {
            let mut changed = before.clone();
            changed[key] = value;
            assert_eq!(fields(&changed).first().map(String::as_str), Some(field), "{changed}");
        }
        let mut longer = before.clone();
        longer["timeout"] = json!("10s");
        assert_eq!(fields(&longer), [""]);
    }

    #[test]
    fn headers_that_steer_proxies_or_say_who_asks_are_refused_however_they_are_written() {
        let bounds = TenantBounds::default();
        for bad in [
            "Forwarded",
            "VIA",
            "X-Forwarded-For",
            "x-forwarded-host",
            "X-Real-IP",
            "X-Original-URL",
            "Metadata-Flavor",
            "X-aws-ec2-metadata-token",
            "proxy-authenticate",
            "traceparent",
            "X-HTTP-Method-Override",
            "CF-Connecting-IP",
        ] {
            let found = refused(&bounds, &json!({"headers": {bad: "x"}}), None);
            assert!(found.len() == 1 && found[0].0 == "/headers" && found[0].1.contains(bad), "{bad}: {found:?}");
        }
        for good in ["x-api-key", "authorization", "x-team", "cookie", "accept"] {
            assert_eq!(refused(&bounds, &json!({"headers": {good: "x"}}), None), [], "{good}");
        }
    }

    #[test]
    fn each_bound_is_told_with_its_setting() {
        let bounds = TenantBounds::default();
        let many = |count: usize| (0..count).map(|n| (format!("h{n}"), json!("v"))).collect::<Map<_, _>>();
        let types: Vec<String> = (0..99).map(|n| format!("t{n}")).collect();
        assert_eq!(refused(&bounds, &json!({"headers": many(16), "types": types, "match": many(1)}), None), []);
        for (settings, setting) in [
            (json!({"headers": many(17)}), "tenants.headers"),
            (json!({"types": types, "match": many(2)}), "tenants.patterns"),
            (json!({"tls": {"ca": "x".repeat(33 << 10)}}), "tenants.settings_bytes"),
        ] {
            let found = refused(&bounds, &settings, None);
            assert!(found.len() == 1 && found[0].1.contains(setting), "{found:?}");
        }
    }
}
