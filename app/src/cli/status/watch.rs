//! `laneway status --watch`: the status again and again.

use super::page;
use crate::cli::args::StatusArgs;
use crate::cli::client::Client;
use crate::cli::screen::{self, Screen};
use crate::cli::table::Look;
use crate::cli::{Failure, output};
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked again.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shows the status every second: on a terminal on a screen of its own until `q`, elsewhere one after the other.
pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && !args.json {
        on_screen(client, args).await
    } else {
        in_turn(client, args).await
    }
}

async fn on_screen(client: &Client, args: &StatusArgs) -> Result<(), Failure> {
    let mut screen = Screen::enter()?;
    let mut clock = ticks();
    loop {
        let (until_told, look) = (output::told_to_end(), look(args));
        tokio::pin!(until_told);
        tokio::select! {
            _ = clock.tick() => {}
            () = screen.quit() => return Ok(()),
            () = &mut until_told => return Ok(()),
        }
        let shown = tokio::select! {
            shown = page(client, args, look) => shown,
            () = screen.quit() => return Ok(()),
            () = &mut until_told => return Ok(()),
        };
        // A server that restarts is what one watches for: its absence is shown, and ends nothing.
        let text = shown.unwrap_or_else(|failure| format!("{failure}\n"));
        screen.show(&format!("{}\n\n{text}", title(client, args, look.width)))?;
    }
}

async fn in_turn(client: &Client, args: &StatusArgs) -> Result<(), Failure> {
    let mut clock = ticks();
    loop {
        clock.tick().await;
        match page(client, args, look(args)).await {
            Ok(text) if args.json => output::print(&text)?,
            Ok(text) => output::print(&format!("{text}\n"))?,
            Err(failure) => output::note(&failure.to_string()),
        }
    }
}

fn ticks() -> tokio::time::Interval {
    let mut clock = interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}

fn look(args: &StatusArgs) -> Look {
    Look { width: screen::size().map(|(_, columns)| columns), colour: args.color.is_on() }
}

/// What is watched, when, and how to end it.
fn title(client: &Client, args: &StatusArgs, width: Option<usize>) -> String {
    let now = jiff::Timestamp::now();
    let of = args.destination.as_ref().map(|name| format!(" · {name}")).unwrap_or_default();
    let title = format!("{}{of} · {now:.0} · q quits", client.base());
    title.chars().take(width.unwrap_or(usize::MAX)).collect()
}
