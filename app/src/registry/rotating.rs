//! The sink of a destination some of whose signing secrets expire: it signs with those that have not.

use super::checked::read_checked;
use super::stored::SigningSecret;
use crate::config::SinkConfig;
use async_trait::async_trait;
use laneway_domain::{Destination, DestinationName, Timestamp};
use laneway_egress::EgressPolicy;
use laneway_ports::{Attempted, Delivery, DeliveryReport, Sink, TestReport};
use serde_json::{Map, Value as Json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// What such a sink is made of.
pub(super) struct Rotation {
    name: DestinationName,
    settings: Map<String, Json>,
    signing: Vec<SigningSecret>,
    egress: EgressPolicy,
}

impl Rotation {
    /// `signing` says of each of the secrets in `settings` when it expires.
    pub(super) fn new(
        name: DestinationName,
        settings: Map<String, Json>,
        signing: Vec<SigningSecret>,
        egress: &EgressPolicy,
    ) -> Self {
        Self { name, settings, signing, egress: egress.clone() }
    }

    /// The time by this machine's clock.
    pub(super) fn now() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The destination with the secrets that have not expired.
    pub(super) fn read(&self, now: Timestamp) -> (Destination, Result<Arc<dyn SinkConfig>, String>) {
        read_checked(&self.name, self.settings_at(now), &self.egress)
    }

    fn settings_at(&self, now: Timestamp) -> Map<String, Json> {
        let mut settings = self.settings.clone();
        if let Some(Json::Array(secrets)) = settings.get_mut("secrets") {
            // Whoever wanted signatures is not to get deliveries without any: of secrets that have all expired, the one
            // that did so last still signs.
            let last = self
                .signing
                .iter()
                .map(|secret| secret.expires)
                .max_by_key(|expires| expires.unwrap_or(Timestamp::MAX));
            let signs = |expires: Option<Timestamp>| {
                expires.is_none_or(|expires| expires > now) || last.is_some_and(|last| last == expires)
            };
            let mut told = self.signing.iter();
            secrets.retain(|_| signs(told.next().and_then(|secret| secret.expires)));
        }
        settings
    }

    /// Makes the sink.
    pub(super) fn start(self) -> Result<Arc<RotatingSink>, String> {
        let current = RwLock::new(self.make(Self::now())?);
        Ok(Arc::new(RotatingSink { rotation: self, current }))
    }

    fn make(&self, now: Timestamp) -> Result<Current, String> {
        let sink = self.read(now).1?.build(&self.name)?;
        let until = self.signing.iter().filter_map(|secret| secret.expires).filter(|expires| *expires > now).min();
        Ok(Current { sink, until })
    }
}

/// Makes its sink anew whenever a secret has expired. That happens once per secret, so that the connections which
/// are lost with the old sink are no cost.
pub(super) struct RotatingSink {
    rotation: Rotation,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    sink: Arc<dyn Sink>,
    /// When the next secret expires.
    until: Option<Timestamp>,
}

impl RotatingSink {
    fn current(&self, now: Timestamp) -> Arc<dyn Sink> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.until.is_none_or(|until| until > now) {
            return current.sink;
        }
        let mut place = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if place.until.is_none_or(|until| until > now) {
            // Another delivery was faster.
            return place.sink.clone();
        }
        match self.rotation.make(now) {
            Ok(next) => *place = next,
            // The same settings made a sink before. Signing on with an expired secret harms less than silence.
            Err(error) => {
                let destination = &self.rotation.name;
                tracing::warn!(%destination, %error, "a secret has expired, but the sink cannot be made anew");
            }
        }
        place.sink.clone()
    }
}

#[async_trait]
impl Sink for RotatingSink {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        self.current(Rotation::now()).deliver(delivery).await
    }

    async fn test(&self, event: Attempted) -> TestReport {
        self.current(Rotation::now()).test(event).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(id: &str, expires: Option<u64>) -> SigningSecret {
        let expires = expires.map(Timestamp::from_millis);
        SigningSecret { id: id.into(), created: Timestamp::ZERO, expires, request: None }
    }

    #[test]
    fn the_sink_is_made_anew_once_for_each_secret_that_expires() {
        let text = |byte: &str| format!("whsec_{}", byte.repeat(32));
        let settings = json!({"url": "https://h.example/", "secrets": [text("A"), text("B"), text("C")]});
        let Json::Object(settings) = settings else { unreachable!("it is an object") };
        let now = Rotation::now().as_millis();
        let (soon, later) = (now + 3_600_000, now + 7_200_000);
        let signing = vec![secret("a", Some(soon)), secret("b", Some(later)), secret("c", None)];
        let name = DestinationName::new("a").unwrap();
        let rotation = Rotation::new(name, settings, signing, &EgressPolicy::default());
        let secrets_at = |rotation: &Rotation, at: u64| {
            rotation.settings_at(Timestamp::from_millis(at))["secrets"].as_array().unwrap().len()
        };
        assert_eq!([now, soon - 1, soon, later - 1, later].map(|at| secrets_at(&rotation, at)), [3, 3, 2, 2, 1]);
        // Where all expire, the last one signs on.
        let mut expiring = Rotation { signing: vec![secret("a", Some(later)), secret("b", Some(soon))], ..rotation };
        expiring.settings["secrets"].as_array_mut().unwrap().truncate(2);
        let left = expiring.settings_at(Timestamp::from_millis(later + 1));
        assert_eq!(left["secrets"], json!([text("A")]));
        let settings = json!({"url": "https://h.example/", "secrets": [text("A"), text("B"), text("C")]});
        let Json::Object(settings) = settings else { unreachable!("it is an object") };
        let signing = vec![secret("a", Some(soon)), secret("b", Some(later)), secret("c", None)];
        let rotation = Rotation { settings, signing, ..expiring };
        let sink = rotation.start().unwrap();
        let at = |at: u64| sink.current(Timestamp::from_millis(at));
        let first = at(now);
        assert!(Arc::ptr_eq(&first, &at(soon - 1)));
        let second = at(soon);
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &at(later - 1)));
        let third = at(later);
        assert!(!Arc::ptr_eq(&second, &third));
        assert!(Arc::ptr_eq(&third, &at(u64::MAX / 2)), "nothing expires any more");
    }
}
