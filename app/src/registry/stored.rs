//! What a record of the registry keeps of a destination's settings.

use super::keys::{Keyring, Unsealable};
use crate::config::{DestinationConfig, Written, hide_path};
use laneway_domain::{Registered, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// The form in which settings are kept now. A reader refuses those that it does not know.
const FORMAT: u32 = 1;

/// A destination's settings as a record keeps them ([`Registered::settings`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    format: u32,
    /// The settings that may be shown, in the form of the HTTP interface.
    pub settings: Map<String, Json>,
    /// What must not be shown, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Box<str>>,
    /// Of a destination of the configuration file: something must not be shown, and stays in the processes that have
    /// the file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub withheld: bool,
    /// What is known of the signing secrets, in the order in which they are sealed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signing: Vec<SigningSecret>,
}

/// What may be told of a signing secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// Names it.
    pub id: Box<str>,
    /// Since when it is used.
    pub created: Timestamp,
    /// Until when. `None`: until it is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// What the request that made it called itself, so that it can be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<str>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_false(yes: &bool) -> bool {
    !*yes
}

impl Stored {
    /// Of a destination of the configuration file: its secrets stay where they are.
    #[must_use]
    pub fn of_file(config: &DestinationConfig) -> Self {
        let Written { shown, hidden } = config.written.read();
        Self { format: FORMAT, settings: shown, sealed: None, withheld: !hidden.is_empty(), signing: Vec::new() }
    }

    /// Of a destination of the HTTP interface. `signing` says of each of its secrets what may be told.
    ///
    /// # Errors
    /// If it has something that must be sealed, and that cannot be done.
    pub fn sealed(
        name: &str,
        written: Written,
        signing: Vec<SigningSecret>,
        keys: &Keyring,
    ) -> Result<Self, Unsealable> {
        let Written { shown, hidden } = written;
        let sealed = match hidden.is_empty() {
            true => None,
            false => Some(keys.seal(name, Json::Object(hidden).to_string().as_bytes())?.into()),
        };
        Ok(Self { format: FORMAT, settings: shown, sealed, withheld: false, signing })
    }

    /// What a record keeps.
    ///
    /// # Errors
    /// If it is of a later form, or damaged.
    pub fn of(record: &Registered) -> Result<Self, String> {
        let stored: Self = serde_json::from_str(&record.settings)
            .map_err(|error| format!("the settings of {} in the store cannot be read: {error}", record.name))?;
        if stored.format != FORMAT {
            let format = stored.format;
            return Err(format!(
                "the settings of {} are of the form {format}, which a later Laneway has written; this one knows the \
                 form {FORMAT}",
                record.name
            ));
        }
        Ok(stored)
    }

    /// As a record keeps it: the same settings are always the same text.
    #[must_use]
    pub fn text(&self) -> Box<str> {
        let mut sorted = self.clone();
        sorted.settings = sorted_map(&self.settings);
        // Only texts, numbers and lists of them: writing those cannot fail.
        serde_json::to_string(&sorted).unwrap_or_default().into()
    }

    /// Opens what is sealed.
    ///
    /// # Errors
    /// Without the key.
    pub fn open(&self, name: &str, keys: &Keyring) -> Result<Written, String> {
        let hidden = match &self.sealed {
            None => Map::new(),
            Some(sealed) => serde_json::from_slice(&keys.open(name, sealed)?)
                .map_err(|_| format!("the sealed secrets of {name} are not what Laneway seals"))?,
        };
        Ok(Written { shown: self.settings.clone(), hidden })
    }

    /// Whether it could be opened, without doing it.
    ///
    /// # Errors
    /// Names the key that is missing.
    pub fn can_be_opened(&self, keys: &Keyring) -> Result<(), String> {
        self.sealed.as_deref().map_or(Ok(()), |sealed| keys.has_key_of(sealed))
    }

    /// The settings as they are shown: of the signing secrets what may be told, of a webhook's URL the host.
    #[must_use]
    pub fn shown(&self) -> Map<String, Json> {
        let mut shown = self.settings.clone();
        hide_path(&mut shown);
        if let Some(Json::Array(secrets)) = shown.get_mut("secrets") {
            for (secret, told) in secrets.iter_mut().zip(&self.signing) {
                let mut entry = Map::new();
                entry.insert("id".into(), told.id.as_ref().into());
                entry.insert("created".into(), moment(told.created).into());
                if let Some(expires) = told.expires {
                    entry.insert("expires".into(), moment(expires).into());
                }
                *secret = entry.into();
            }
        }
        shown
    }
}

/// A moment as the HTTP interface writes it: RFC 3339, in UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn sorted_map(map: &Map<String, Json>) -> Map<String, Json> {
    // Depending on what else is in the build, a map keeps the order in which it was filled.
    let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().collect()
}

fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(map) => sorted_map(map).into(),
        Json::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
