//! A receiver of webhooks that shows what arrives: for the compose stack, and for trying things out.
//!
//! It verifies each delivery, drops duplicates with one number per key, and prints a line for each.
//! Of events of a `verify` run it counts what came and whether it came in order, for `GET /runs/{run}`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use clap::Parser;
use laneway_domain::Timestamp;
use laneway_domain::receiver::{Arrival, LastSeenByKey, Verifier};
use laneway_tests::verification::{Numbered, Report, Runs};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Shows webhooks that arrive.
#[derive(Parser)]
struct Settings {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// What deliveries are signed with (whsec_…); without it, signatures are not looked at
    #[arg(long, env = "RECEIVER_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// How many deliveries in a hundred are answered with 500, before anything is done
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=99))]
    failing: u8,
}

struct Receiver {
    verifier: Option<Verifier>,
    failing: u8,
    state: Mutex<Received>,
}

#[derive(Default)]
struct Received {
    seen: LastSeenByKey,
    runs: Runs,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Settings::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("receiver: {what}");
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Settings) -> Result<(), String> {
    let verifier = settings.secret.as_deref().map(|secret| Verifier::new([secret])).transpose();
    let receiver = Receiver {
        verifier: verifier.map_err(|e| format!("--secret: {e}"))?,
        failing: settings.failing,
        state: Mutex::default(),
    };
    let app = Router::new().route("/hook", post(take)).route("/runs/{run}", get(report)).with_state(Arc::new(receiver));
    let listener =
        TcpListener::bind(settings.listen).await.map_err(|e| format!("cannot listen on {}: {e}", settings.listen))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let stop = async move {
        terminate.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await.map_err(|e| e.to_string())
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    if rand::random_range(0..100) < receiver.failing {
        return (StatusCode::INTERNAL_SERVER_ERROR, "failing on purpose".to_owned());
    }
    match receiver.take(&headers, &body) {
        Ok(line) => {
            println!("{line}");
            (StatusCode::OK, String::new())
        }
        Err(what) => {
            println!("refused: {what}");
            (StatusCode::BAD_REQUEST, what)
        }
    }
}

async fn report(State(receiver): State<Arc<Receiver>>, Path(run): Path<String>) -> axum::Json<Report> {
    let state = receiver.state.lock().unwrap_or_else(PoisonError::into_inner);
    axum::Json(state.runs.report(&run))
}

impl Receiver {
    /// Takes a delivery in: a line that says what came, or why it is refused.
    fn take(&self, headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(verifier) = &self.verifier {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
            let now = Timestamp::from_millis(u64::try_from(now).unwrap_or(u64::MAX));
            verifier.verify(header, body, now).map_err(|e| e.to_string())?;
        }
        let arrival = Arrival::of_headers(header).map_err(|e| e.to_string())?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.seen.is_new(&arrival.remembered_as(), arrival.sequence, arrival.occasion());
        if let Ok(numbered) = serde_json::from_slice::<Numbered>(body) {
            state.runs.note(&numbered, is_new);
        }
        let again = if is_new { "" } else { " (again)" };
        let kind = header("ce-type").unwrap_or_default();
        let key = arrival.key.as_deref().unwrap_or("-");
        Ok(format!("{} {kind} key {key}, attempt {}{again}: {}", arrival.id, arrival.attempt, shown(body)))
    }
}

/// A body for a line of text.
fn shown(body: &[u8]) -> String {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(&body[..body.len().min(MOST)]);
    let more = if body.len() > MOST { "…" } else { "" };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>() + more
}
