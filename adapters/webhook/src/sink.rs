//! The sink: deliveries in, outcomes out.

use crate::answer::Judge;
use crate::config::{Credentials, HttpVersion, WebhookConfig, WebhookConfigError, origin};
use crate::connect::Connector;
use crate::exchange::Exchange;
use crate::limits::{PoolOptions, Until};
use crate::redact::Redactor;
use crate::request::Template;
use crate::secret::Secret;
use crate::tls;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Uri};
use http_body_util::Full;
use laneway_domain::{Answered, Cause, Outcome, Tenant};
use laneway_egress::{Dial, Guard, Resolve, SystemResolver, Tcp};
use laneway_ports::{Attempted, Delivery, DeliveryReport, Sink, TestReport};
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use url::{Host, Url};

/// Delivers events as HTTP POST requests to one destination, over connections of its own.
///
/// A status from 200 to 299 is [`Outcome::Delivered`]; one in `reject` is [`Outcome::Rejected`];
/// 410 is [`Outcome::Gone`]; everything else (other statuses, redirects, network, look-up, TLS, a
/// late answer) is [`Outcome::Retry`], with the receiver's Retry-After of at most a day.
///
/// A delivery ends within [`WebhookConfig::timeout`], also one of several events.
pub struct WebhookSink<D: Dial = Tcp> {
    template: Template,
    exchange: Exchange<D>,
    batch: bool,
    /// Scheme, host and port, for people.
    origin: String,
}

impl WebhookSink {
    /// Checks the settings and makes the sink. Connects to nothing yet.
    ///
    /// # Errors
    /// Names the setting that cannot be used, and why; never a secret.
    pub fn new(config: WebhookConfig) -> Result<Self, WebhookConfigError> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// The same, with a resolver of the caller's.
    ///
    /// # Errors
    /// As [`WebhookSink::new`].
    pub fn with_resolver(config: WebhookConfig, resolver: Arc<dyn Resolve>) -> Result<Self, WebhookConfigError> {
        Self::with_dial(config, resolver, Tcp)
    }
}

impl<D: Dial> WebhookSink<D> {
    /// The same, over connections of the caller's. Addresses are checked before it is asked for one.
    ///
    /// # Errors
    /// As [`WebhookSink::new`].
    pub fn with_dial(config: WebhookConfig, resolver: Arc<dyn Resolve>, dial: D) -> Result<Self, WebhookConfigError> {
        check_limits(&config)?;
        let mut url = parse(&config.url)?;
        let credentials = credentials(&mut url, &config)?;
        let guard = Guard::with_dial(config.egress.clone(), resolver, dial);
        if let Some(host) = url.host() {
            guard.check_host(&host)?;
        }
        let uri = uri(&url)?;
        let template = Template::new(uri.clone(), &config, credentials.as_ref())?;
        let redactor = Redactor::new(&config, &url, credentials.as_ref());
        let options = PoolOptions {
            http2_only: config.http == HttpVersion::Http2,
            max_idle: config.max_idle_connections,
            idle_timeout: config.idle_timeout,
        };
        let connector = connector(&url, &config, &guard)?;
        let judge = Judge { reject: config.reject, redactor, clock: SystemTime::now };
        let exchange = Exchange::new(&uri, connector, options, config.timeout, judge)
            .map_err(|error| WebhookConfigError::Url { why: format!("its host cannot be named: {error}") })?;
        Ok(Self { template, exchange, batch: config.batch, origin: origin(&url) })
    }

    /// The same, with another clock than the system's: in a simulation, what is sent must not depend on when it runs.
    #[must_use]
    pub fn with_clock(mut self, clock: fn() -> SystemTime) -> Self {
        self.exchange.judge_mut().clock = clock;
        self
    }

    /// Seconds since the Unix epoch: when an attempt is made.
    fn now(&self) -> u64 {
        (self.exchange.judge().clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    async fn one(&self, attempted: &Attempted, until: Until<'_>) -> (Outcome, Answered) {
        let request = |now| self.template.single(attempted, now);
        self.exchanged(request, attempted.fresh, until).await
    }

    /// Sends the request of this moment. Where it fails, what was sent is told with what was answered: the request is
    /// made once more for that, from the same event and moment, so that a delivery costs nothing for it.
    async fn exchanged(
        &self,
        request: impl Fn(u64) -> Request<Full<Bytes>>,
        fresh: bool,
        until: Until<'_>,
    ) -> (Outcome, Answered) {
        let now = self.now();
        let (outcome, mut answered) = self.exchange.outcome(request(now), fresh, until).await;
        if was_sent(&outcome) {
            answered.request = Some(self.exchange.judge().sent(&request(now)).into());
        }
        (outcome, answered)
    }

    /// Delivers several events one request each: those of a key one after the other up to the
    /// first failure, the keys side by side.
    async fn several(&self, events: &[Attempted], until: Until<'_>) -> DeliveryReport {
        let mut of_key: BTreeMap<(Option<&Tenant>, &str), Vec<usize>> = BTreeMap::new();
        let mut chains: Vec<Vec<usize>> = Vec::new();
        for (index, attempted) in events.iter().enumerate() {
            let event = &attempted.event.event;
            match &event.key {
                Some(key) => of_key.entry((event.tenant.as_ref(), key.as_str())).or_default().push(index),
                None => chains.push(vec![index]),
            }
        }
        chains.extend(of_key.into_values());
        let outcomes = vec![Outcome::NotTried; events.len()];
        let mut report = DeliveryReport { outcomes, answers: vec![Answered::default(); events.len()] };
        let ended = join_all(chains.into_iter().map(|chain| async move {
            let mut ended = Vec::with_capacity(chain.len());
            for index in chain {
                let (outcome, answered) = self.one(&events[index], until).await;
                let failed = outcome != Outcome::Delivered;
                ended.push((index, outcome, answered));
                if failed {
                    break;
                }
            }
            ended
        }));
        for (index, outcome, answered) in ended.await.into_iter().flatten() {
            report.outcomes[index] = outcome;
            report.answers[index] = answered;
        }
        report
    }
}

#[async_trait]
impl<D: Dial> Sink for WebhookSink<D> {
    async fn deliver(&self, delivery: &Delivery) -> DeliveryReport {
        let until = Until { deadline: self.exchange.deadline(), delivery };
        match delivery.events.as_slice() {
            [] => DeliveryReport::default(),
            events if self.batch => {
                let fresh = events.iter().any(|attempted| attempted.fresh);
                let request = |now| self.template.batch(events, now);
                let (outcome, answered) = self.exchanged(request, fresh, until).await;
                DeliveryReport { outcomes: vec![outcome; events.len()], answers: vec![answered] }
            }
            [only] => {
                let (outcome, answered) = self.one(only, until).await;
                DeliveryReport { outcomes: vec![outcome], answers: vec![answered] }
            }
            several => self.several(several, until).await,
        }
    }

    async fn test(&self, event: Attempted) -> TestReport {
        let delivery = Delivery::of(vec![event]);
        let until = Until { deadline: self.exchange.deadline(), delivery: &delivery };
        let (events, now) = (&delivery.events, self.now());
        let request = if self.batch { self.template.batch(events, now) } else { self.template.single(&events[0], now) };
        self.exchange.tested(request, until).await
    }
}

impl<D: Dial> fmt::Debug for WebhookSink<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSink").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Whether an attempt failed, and something of it was sent, or may have been.
const fn was_sent(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Delivered | Outcome::NotTried => false,
        Outcome::Rejected { .. } | Outcome::Gone { .. } => true,
        Outcome::Retry { cause, .. } => match cause {
            Cause::Refused | Cause::Unanswered | Cause::StaleConnection | Cause::Unprocessed => true,
            Cause::NotConnected | Cause::Queued | Cause::Shortage | Cause::Broken => false,
        },
    }
}

fn check_limits(config: &WebhookConfig) -> Result<(), WebhookConfigError> {
    if config.timeout.is_zero() {
        return Err(WebhookConfigError::Timeout);
    }
    match config.reject.iter().find(|status| !(300..=599).contains(*status)) {
        Some(&status) => Err(WebhookConfigError::Reject { status }),
        None => Ok(()),
    }
}

fn parse(text: &str) -> Result<Url, WebhookConfigError> {
    let refused = |why: String| WebhookConfigError::Url { why };
    let mut url = Url::parse(text).map_err(|error| refused(format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused(format!("the scheme must be http or https, not {:?}", url.scheme())));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The credentials of the settings or, if there are none, those in the URL, which they leave.
fn credentials(url: &mut Url, config: &WebhookConfig) -> Result<Option<Credentials>, WebhookConfigError> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if url.username().is_empty() && url.password().is_none() {
        return Ok(config.credentials.clone());
    }
    if config.credentials.is_some() {
        let why = "the URL has a user too; give one of the two";
        return Err(WebhookConfigError::Credentials { why });
    }
    let user = decoded(url.username());
    let password = Secret::new(decoded(url.password().unwrap_or_default()));
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| WebhookConfigError::Url { why: "the user in it cannot be read".into() })?;
    Ok(Some(Credentials::Basic { user, password }))
}

fn uri(url: &Url) -> Result<Uri, WebhookConfigError> {
    Uri::try_from(url.as_str())
        .map_err(|error| WebhookConfigError::Url { why: format!("cannot be requested: {error}") })
}

fn connector<D: Dial>(url: &Url, config: &WebhookConfig, guard: &Guard<D>) -> Result<Connector<D>, WebhookConfigError> {
    let refused = |why: &str| WebhookConfigError::Url { why: why.to_owned() };
    let host = url.host().ok_or_else(|| refused("has no host"))?.to_owned();
    let port = url.port_or_known_default().ok_or_else(|| refused("has no port"))?;
    let tls = if url.scheme() == "https" {
        let name = match &host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| refused("its host is not a name"))?,
            Host::Ipv4(v4) => ServerName::from(std::net::IpAddr::from(*v4)),
            Host::Ipv6(v6) => ServerName::from(std::net::IpAddr::from(*v6)),
        };
        Some((tls::client_config(&config.tls, config.http)?, name))
    } else {
        None
    };
    let require_http2 = tls.is_some() && config.http == HttpVersion::Http2;
    let timeout = config.timeout - config.timeout / 10;
    Ok(Connector { route: guard.route(host, port), tls, require_http2, timeout })
}
