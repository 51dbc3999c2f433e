//! Errors as RFC 9457 problem details (`application/problem+json`).

use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::wire;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use laneway_domain::TokenRefusal;
use laneway_ports::{AdminError, StoreError, TenantAdminError, TokenAdminError, Unwelcome};
use std::time::Duration;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What kind of problem it is: the last part of its `type`, and its label in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Malformed,
    BodyBroken,
    BadRequest,
    Unauthorized,
    Forbidden,
    ForeignPage,
    WrongHost,
    TransferCoding,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    PreconditionFailed,
    PreconditionRequired,
    EventTooLarge,
    BatchTooLarge,
    BodyTooLarge,
    SettingsTooLarge,
    UnsupportedMedia,
    Invalid,
    TooOften,
    StoreRefused,
    NoWorker,
    Overloaded,
    NotReady,
    StoreUnavailable,
    TokensUnconfirmed,
    OutcomeUnknown,
    BatchIncomplete,
}

impl Kind {
    /// All of them, so that the metrics can be registered once.
    pub(crate) const ALL: [Self; 29] = [
        Self::Malformed,
        Self::BodyBroken,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::ForeignPage,
        Self::WrongHost,
        Self::TransferCoding,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::PreconditionRequired,
        Self::EventTooLarge,
        Self::BatchTooLarge,
        Self::BodyTooLarge,
        Self::SettingsTooLarge,
        Self::UnsupportedMedia,
        Self::Invalid,
        Self::TooOften,
        Self::StoreRefused,
        Self::NoWorker,
        Self::Overloaded,
        Self::NotReady,
        Self::StoreUnavailable,
        Self::TokensUnconfirmed,
        Self::OutcomeUnknown,
        Self::BatchIncomplete,
    ];

    /// Name, title and status.
    const fn facts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::Malformed => ("malformed", "The body is not what its media type says", StatusCode::BAD_REQUEST),
            Self::BodyBroken => ("body-broken", "The body could not be received", StatusCode::BAD_REQUEST),
            Self::BadRequest => ("bad-request", "The request is not well formed", StatusCode::BAD_REQUEST),
            Self::ForeignPage => ("foreign-page", "A page of another origin may not do this", StatusCode::FORBIDDEN),
            Self::WrongHost => ("wrong-host", "This server has another name", StatusCode::MISDIRECTED_REQUEST),
            Self::TransferCoding => ("transfer-coding", "Not with this transfer coding", StatusCode::NOT_IMPLEMENTED),
            Self::Unauthorized => ("unauthorized", "A token is needed", StatusCode::UNAUTHORIZED),
            Self::Forbidden => ("forbidden", "The token does not open this", StatusCode::FORBIDDEN),
            Self::NotFound => ("not-found", "There is no such thing", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method-not-allowed", "Not with this method", StatusCode::METHOD_NOT_ALLOWED),
            Self::BodyTimeout => ("body-timeout", "The body took too long", StatusCode::REQUEST_TIMEOUT),
            Self::Conflict => ("conflict", "Not in the present state", StatusCode::CONFLICT),
            Self::PreconditionFailed => {
                ("precondition-failed", "It is in another state", StatusCode::PRECONDITION_FAILED)
            }
            Self::PreconditionRequired => {
                ("precondition-required", "The expected state must be said", StatusCode::PRECONDITION_REQUIRED)
            }
            Self::EventTooLarge => ("event-too-large", "The event is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::BatchTooLarge => ("batch-too-large", "The batch is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::BodyTooLarge => ("body-too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::SettingsTooLarge => {
                ("settings-too-large", "The destination is too large", StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::UnsupportedMedia => {
                ("unsupported-media-type", "Not in this media type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::Invalid => ("invalid", "A field is not valid", StatusCode::UNPROCESSABLE_ENTITY),
            Self::TooOften => ("too-often", "Too often", StatusCode::TOO_MANY_REQUESTS),
            Self::StoreRefused => ("store-refused", "The store refused", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NoWorker => ("no-worker", "This process has no worker", StatusCode::NOT_IMPLEMENTED),
            Self::Overloaded => ("overloaded", "Too much at once", StatusCode::SERVICE_UNAVAILABLE),
            Self::NotReady => ("not-ready", "Not ready", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreUnavailable => ("store-unavailable", "Nothing was stored", StatusCode::SERVICE_UNAVAILABLE),
            Self::TokensUnconfirmed => {
                ("tokens-unconfirmed", "The token cannot be checked now", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::OutcomeUnknown => {
                ("outcome-unknown", "It is not known whether it was stored", StatusCode::SERVICE_UNAVAILABLE)
            }
            Self::BatchIncomplete => {
                ("batch-incomplete", "Not all events were stored", StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        self.facts().0
    }

    pub(crate) const fn title_and_status(self) -> (&'static str, StatusCode) {
        let (_, title, status) = self.facts();
        (title, status)
    }

    /// The statuses that it is answered with.
    pub(crate) fn statuses(self) -> impl Iterator<Item = StatusCode> {
        // Of events that the store refused once and for all, sending them again makes nothing better.
        let for_good = (self == Self::BatchIncomplete).then_some(StatusCode::INTERNAL_SERVER_ERROR);
        [self.facts().2].into_iter().chain(for_good)
    }
}

/// An error on its way to whoever asked.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) body: wire::Problem,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    /// Whether the rest of the body was left unread, so that the connection cannot go on.
    closes: bool,
}

impl Problem {
    #[cold]
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Box<Self> {
        let (name, title, status) = kind.facts();
        let body = wire::Problem {
            type_uri: format!("{}{name}", wire::PROBLEM_TYPES),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            ..wire::Problem::default()
        };
        Box::new(Self { kind, body, retry_after: None, challenge: None, closes: false })
    }

    /// About one field: a JSON pointer, or a header's or parameter's name.
    pub(crate) fn about(mut self: Box<Self>, field: impl Into<String>) -> Box<Self> {
        self.body.field = Some(field.into());
        self
    }

    /// The same with another text.
    fn saying(mut self: Box<Self>, detail: String) -> Box<Self> {
        self.body.detail = detail;
        self
    }

    pub(crate) fn retry_after(mut self: Box<Self>, after: Duration) -> Box<Self> {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn challenged(mut self: Box<Self>, challenge: &'static str) -> Box<Self> {
        self.challenge = Some(challenge);
        self
    }

    pub(crate) fn closing(mut self: Box<Self>) -> Box<Self> {
        self.closes = true;
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What a store's error about anything but an append is to the one who asked.
    pub(crate) fn from_store(error: &StoreError) -> Box<Self> {
        let detail = error.to_string();
        match error {
            StoreError::Refused { .. } => Self::new(Kind::StoreRefused, detail),
            StoreError::RetryLater { after, .. } => Self::new(Kind::StoreUnavailable, detail).retry_after(*after),
            StoreError::Unknown { .. } => Self::new(Kind::OutcomeUnknown, detail).retry_after(Duration::from_secs(1)),
        }
    }

    /// Why a destination was not looked at or changed.
    pub(crate) fn from_admin(error: &AdminError) -> Box<Self> {
        let detail = error.to_string();
        match error {
            AdminError::Unknown(_) => Self::new(Kind::NotFound, detail).about("destination"),
            AdminError::Invalid(mistakes) => {
                let mut problem = Self::new(Kind::Invalid, detail);
                problem.body.field = mistakes.first().map(|mistake| mistake.field.clone());
                problem.body.mistakes = mistakes.clone();
                problem
            }
            AdminError::Conflict { field, .. } => {
                let mut problem = Self::new(Kind::Conflict, detail);
                problem.body.field.clone_from(field);
                problem
            }
            AdminError::Condition { .. } => Self::new(Kind::PreconditionFailed, detail),
            AdminError::ConditionMissing(_) => Self::new(Kind::PreconditionRequired, detail).about("if-match"),
            AdminError::Busy => Self::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(1)),
            AdminError::Store(error) => Self::from_store(error),
        }
    }

    /// Why a token was not made or revoked.
    pub(crate) fn from_token_admin(error: &TokenAdminError) -> Box<Self> {
        let detail = error.to_string();
        match error {
            TokenAdminError::Refused(TokenRefusal::Unknown(_)) => Self::new(Kind::NotFound, detail).about("name"),
            TokenAdminError::Refused(TokenRefusal::NoRole) => Self::new(Kind::Invalid, detail).about("/roles"),
            TokenAdminError::Refused(TokenRefusal::Exists { .. }) => Self::new(Kind::Conflict, detail).about("/name"),
            TokenAdminError::Refused(
                TokenRefusal::Full | TokenRefusal::TenantFull { .. } | TokenRefusal::LastAdmin(_),
            )
            | TokenAdminError::Tenant(_)
            | TokenAdminError::OfFile(_)
            | TokenAdminError::Unsigned(_) => Self::new(Kind::Conflict, detail),
            TokenAdminError::Lasts(_) => Self::new(Kind::Invalid, detail).about("/lasts"),
            TokenAdminError::Busy => Self::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(1)),
            TokenAdminError::Store(error) => Self::from_store(error),
        }
    }

    /// Why a tenant was not looked at or changed.
    pub(crate) fn from_tenant_admin(error: &TenantAdminError) -> Box<Self> {
        let detail = error.to_string();
        match error {
            TenantAdminError::Refused(_) | TenantAdminError::OfFile(_) => Self::new(Kind::Conflict, detail),
            TenantAdminError::Unknown(_) => Self::new(Kind::NotFound, detail).about("tenant"),
            TenantAdminError::Busy => Self::new(Kind::StoreUnavailable, detail).retry_after(Duration::from_secs(1)),
            TenantAdminError::Destinations(error) => Self::from_admin(error).saying(detail),
            TenantAdminError::Tokens(error) => Self::from_token_admin(error).saying(detail),
            TenantAdminError::Store(error) => Self::from_store(error),
        }
    }

    /// Why events of a tenant are not taken.
    pub(crate) fn from_unwelcome(why: &Unwelcome) -> Box<Self> {
        let detail = format!("nothing was stored: {why}");
        match why {
            Unwelcome::Deleted(_) => Self::new(Kind::Conflict, detail).about("tenant"),
            Unwelcome::OverQuota { after, .. } => Self::new(Kind::TooOften, detail).retry_after(*after),
            Unwelcome::TooLarge { .. } => Self::new(Kind::EventTooLarge, detail),
        }
    }

    /// What is wrong with `body`, and where in it.
    pub(crate) fn from_refusal(refusal: Refusal, body: &[u8], limits: &Limits) -> Box<Self> {
        match refusal {
            Refusal::Malformed { at, what } => {
                let position = wire::Position::of(body, at);
                let detail = format!("{what} at {position}");
                let mut problem = Self::new(Kind::Malformed, detail);
                problem.body.position = Some(position);
                problem
            }
            Refusal::Field { field, reason, at } => {
                let named = if field.is_empty() { "the body" } else { &field };
                let mut problem = Self::new(Kind::Invalid, format!("{named} {reason}")).about(field);
                problem.body.position = at.map(|at| wire::Position::of(body, at));
                problem
            }
            Refusal::EventTooLarge { index, bytes } => {
                let limit = limits.event_bytes;
                let detail = format!("the event /{index} has {bytes} bytes; at most {limit} are taken");
                Self::new(Kind::EventTooLarge, detail).about(format!("/{index}"))
            }
            Refusal::TooManyEvents => {
                let detail = format!("the batch has more than {} events; send it in parts", limits.batch_events);
                Self::new(Kind::BatchTooLarge, detail)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Only strings, numbers and lists of them: writing those cannot fail.
        let body = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1000).max(1);
            insert(headers, header::RETRY_AFTER, HeaderValue::try_from(seconds.to_string()).ok());
        }
        insert(headers, header::WWW_AUTHENTICATE, self.challenge.map(HeaderValue::from_static));
        insert(headers, header::CONNECTION, self.closes.then(|| HeaderValue::from_static("close")));
        response
    }
}

fn insert(headers: &mut http::HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}
