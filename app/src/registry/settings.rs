//! From what somebody sent to the settings that a record is to keep.

use super::keys::Keyring;
use super::read::Egress;
use super::stored::{SigningSecret, Stored};
use crate::config::{CurrentTenantBounds, References, Written, read_settings};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use laneway_domain::{Destination, DestinationName, Filter, Registered, Timestamp};
use laneway_ports::{AdminError, Mistake};
use laneway_webhook::MAX_SECRETS;
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// The bytes of a signing secret that is made here: within what Standard Webhooks asks for (24 to 64).
const SECRET_BYTES: usize = 32;
/// The setting that has the signing secrets.
const SECRETS: &str = "secrets";

/// What a record keeps now.
pub(super) struct Before {
    stored: Stored,
    written: Written,
    destination: Destination,
}

/// Settings that were checked.
pub(super) struct Next {
    pub(super) settings: Box<str>,
    pub(super) filter: Filter,
    /// Whether they send to another place than those before.
    pub(super) moved: bool,
    /// The names of the settings that differ.
    pub(super) differing: Vec<String>,
}

/// What is needed to read and keep settings.
#[derive(Clone, Copy)]
pub(super) struct Means<'m> {
    pub(super) egress: &'m Egress,
    pub(super) tenants: &'m CurrentTenantBounds,
    pub(super) keys: &'m Keyring,
    pub(super) now: Timestamp,
}

impl Before {
    /// Opens the settings of a record.
    pub(super) fn of(record: &Registered, means: Means<'_>) -> Result<Self, AdminError> {
        let unreadable = |what| AdminError::Conflict { field: None, what };
        let stored = Stored::of(record).map_err(unreadable)?;
        let written = stored.open(record.name.as_str(), means.keys).map_err(unreadable)?;
        let read = read_settings(&record.name, written.whole(), References::Literal, means.egress.of(&record.name));
        Ok(Self { stored, written, destination: read.destination })
    }

    /// The settings with a merge patch laid over them (RFC 7396).
    pub(super) fn patched(&self, patch: Map<String, Json>) -> Map<String, Json> {
        let mut settings = self.written.shown.clone();
        settings.remove(SECRETS);
        for (key, value) in patch {
            if key == SECRETS {
                // Absent means that they stay as they are; to take one out is said by an empty list.
                let none = Json::Array(Vec::new());
                settings.insert(key, if value.is_null() { none } else { value });
            } else {
                merge(&mut settings, key, value);
            }
        }
        settings
    }

    fn secrets(&self, now: Timestamp) -> Vec<(SigningSecret, String)> {
        let texts = self.written.hidden.get(SECRETS).and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let pairs = self.stored.signing.iter().cloned().zip(texts.iter().filter_map(Json::as_str).map(str::to_owned));
        pairs.filter(|(told, _)| told.expires.is_none_or(|expires| expires > now)).collect()
    }

    /// The secret that a request of this name has made.
    pub(super) fn made_by(&self, request: &str, now: Timestamp) -> Option<String> {
        let made = |told: &SigningSecret| told.request.as_deref() == Some(request);
        self.secrets(now).into_iter().find(|(told, _)| made(told)).map(|(_, text)| text)
    }
}

fn merge(into: &mut Map<String, Json>, key: String, patch: Json) {
    match patch {
        Json::Null => drop(into.remove(&key)),
        Json::Object(patch) => {
            let slot = into.entry(key).or_insert(Json::Null);
            if !slot.is_object() {
                *slot = Json::Object(Map::new());
            }
            if let Json::Object(table) = slot {
                patch.into_iter().for_each(|(key, value)| merge(table, key, value));
            }
        }
        other => drop(into.insert(key, other)),
    }
}

/// Checks settings that were sent for the destination `name`, of which there is `before`.
pub(super) fn checked(
    name: &DestinationName,
    mut sent: Map<String, Json>,
    before: Option<&Before>,
    means: Means<'_>,
) -> Result<Next, AdminError> {
    let secrets = secrets_of(sent.remove(SECRETS), before, means.now)?;
    if let Some(before) = before {
        before.written.restore(&mut sent);
    }
    next(name, sent, secrets, before, means)
}

/// The settings as they were, with a new secret. Those that there were expire after `keep`.
pub(super) fn rotated(
    name: &DestinationName,
    before: &Before,
    keep: Duration,
    request: Option<Box<str>>,
    means: Means<'_>,
) -> Result<(Next, String), AdminError> {
    let until = means.now.after(keep);
    let mut secrets = before.secrets(means.now);
    for (told, _) in &mut secrets {
        told.expires = Some(told.expires.map_or(until, |expires| expires.min(until)));
    }
    secrets.retain(|(told, _)| told.expires.is_none_or(|expires| expires > means.now));
    if secrets.len() >= MAX_SECRETS {
        let what = format!(
            "{name} has {} signing secrets in use, and at most {MAX_SECRETS} can be: wait until one expires, or take some \
             out by sending `secrets` with the ids of those that are to stay",
            secrets.len()
        );
        return Err(AdminError::Conflict { field: Some(format!("/{SECRETS}")), what });
    }
    let made = format!("whsec_{}", STANDARD.encode(rand::random::<[u8; SECRET_BYTES]>()));
    secrets.push((SigningSecret { request, ..told(means.now) }, made.clone()));
    let mut settings = before.written.whole();
    settings.remove(SECRETS);
    Ok((next(name, settings, secrets, Some(before), means)?, made))
}

fn told(now: Timestamp) -> SigningSecret {
    let id = format!("sec_{:016x}", rand::random::<u64>()).into();
    SigningSecret { id, created: now, expires: None, request: None }
}

/// The signing secrets: those that were sent, and of those before the ones that are named by their ids, or all. One
/// that is named expires when it would have; one whose text is sent is to stay.
fn secrets_of(
    sent: Option<Json>,
    before: Option<&Before>,
    now: Timestamp,
) -> Result<Vec<(SigningSecret, String)>, AdminError> {
    let known = before.map(|before| before.secrets(now)).unwrap_or_default();
    let wrong = |at: String, what: &str| {
        AdminError::Invalid(vec![Mistake { field: format!("/{SECRETS}{at}"), detail: what.to_owned() }])
    };
    let items = match sent {
        None | Some(Json::Null) => return Ok(known),
        Some(Json::Array(items)) => items,
        Some(_) => return Err(wrong(String::new(), "expected a list of secrets")),
    };
    let one = |(at, item): (usize, Json)| match item {
        Json::String(text) => {
            let same = known.iter().find(|(_, old)| *old == text).cloned();
            let (same, text) = same.unwrap_or_else(|| (told(now), text));
            Ok((SigningSecret { expires: None, ..same }, text))
        }
        Json::Object(entry) => {
            let id = entry.get("id").and_then(Json::as_str).unwrap_or_default();
            let kept = known.iter().find(|(told, _)| &*told.id == id).cloned();
            kept.ok_or_else(|| wrong(format!("/{at}"), "names no secret of this destination; send the secret itself"))
        }
        _ => Err(wrong(format!("/{at}"), "expected a secret, or the id of one that there is: {\"id\":\"…\"}")),
    };
    let secrets: Vec<(SigningSecret, String)> = items.into_iter().enumerate().map(one).collect::<Result<_, _>>()?;
    if !secrets.is_empty() && secrets.iter().all(|(told, _)| told.expires.is_some()) {
        let what = "all of these expire, and nothing would be signed then: send the text of one that is to stay";
        return Err(wrong(String::new(), what));
    }
    Ok(secrets)
}

fn next(
    name: &DestinationName,
    mut settings: Map<String, Json>,
    secrets: Vec<(SigningSecret, String)>,
    before: Option<&Before>,
    means: Means<'_>,
) -> Result<Next, AdminError> {
    let (signing, texts): (Vec<_>, Vec<_>) = secrets.into_iter().unzip();
    if !texts.is_empty() {
        settings.insert(SECRETS.to_owned(), texts.into());
    }
    if name.tenant().is_some() {
        let refused = means.tenants.now().refuses(&settings, before.map(|before| before.written.whole()).as_ref());
        let mistakes: Vec<_> = refused.into_iter().map(|(field, detail)| Mistake { field, detail }).collect();
        if !mistakes.is_empty() {
            return Err(AdminError::Invalid(mistakes));
        }
    }
    let read = read_settings(name, settings, References::Refused, means.egress.of(name));
    if !read.problems.is_empty() {
        let mistake = |p: &crate::config::Problem| Mistake { field: p.pointer(), detail: p.what().to_owned() };
        return Err(AdminError::Invalid(read.problems.iter().map(mistake).collect()));
    }
    if let Some(before) = before {
        unchangeable(&before.destination, &read.destination)?;
    }
    let target = |written: &Written| written.hidden.get("url").or_else(|| written.shown.get("url")).cloned();
    let moved = before.is_some_and(|before| target(&before.written) != target(&read.written));
    let mut differing = before.map(|before| differences(&before.written, &read.written)).unwrap_or_default();
    let unchanged = before.filter(|before| differing.is_empty() && before.stored.signing == signing);
    if unchanged.is_none() && before.is_some() && differing.is_empty() {
        differing.push(SECRETS.to_owned());
    }
    let settings = match unchanged {
        // Sealed anew it would be another text, and the record another one.
        Some(before) => before.stored.text(),
        None => {
            let sealed = Stored::sealed(name.as_str(), read.written, signing, means.keys);
            sealed.map_err(|why| AdminError::Conflict { field: None, what: why.to_string() })?.text()
        }
    };
    Ok(Next { settings, filter: read.destination.filters.current.clone(), moved, differing })
}

/// Two settings decide what progress means; it cannot be carried over to others.
fn unchangeable(before: &Destination, after: &Destination) -> Result<(), AdminError> {
    let refuse = |field: &str, why: &str| {
        let what = format!(
            "{field} cannot be changed while the destination is there: {why}. Delete it and make it again, which drops \
             what waits for it; or make another one beside it"
        );
        Err(AdminError::Conflict { field: Some(format!("/{field}")), what })
    };
    if before.ordering != after.ordering {
        return refuse("ordering", "its progress is kept by what events are ordered with");
    }
    if before.from != after.from {
        return refuse("from", "it says where the destination began");
    }
    Ok(())
}

/// The names of the settings in which they differ.
fn differences(a: &Written, b: &Written) -> Vec<String> {
    let mut names: Vec<&String> = a.shown.keys().chain(b.shown.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let differs =
        |name: &&String| a.shown.get(*name) != b.shown.get(*name) || a.hidden.get(*name) != b.hidden.get(*name);
    names.into_iter().filter(differs).cloned().collect()
}
