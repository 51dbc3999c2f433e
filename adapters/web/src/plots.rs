//! The plots as they are shown: SVG that the server makes, with what it shows in words.

use crate::hour::{self, Noted, Series};
use crate::pace::Pace;
use crate::plot::{Canvas, coarser, end_of_axis, largest, line};
use crate::show;
use laneway_domain::Timestamp;
use maud::{Markup, html};

const LARGE: Canvas = Canvas { width: 320, height: 56 };
const SMALL: Canvas = Canvas { width: 96, height: 20 };
/// The most points of a small plot: there are fifty of them on a page.
const POINTS: usize = 40;

/// A number as a plot's words have it.
fn shown(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is drawn is a count, and no number below 0"
        )]
        let whole = value.max(0.0).round() as u64;
        return show::count(whole);
    }
    format!("{value:.1}")
}

fn values(series: &[Option<Noted>], of: impl Fn(&Noted) -> f64) -> Vec<Option<f64>> {
    series.iter().map(|noted| noted.as_ref().map(&of)).collect()
}

/// A plot with its name and its axis.
struct Plot<'a> {
    name: &'a str,
    /// What is written beside the name: the number of now.
    now: String,
    /// What the left end is: `1 h ago`.
    since: &'a str,
    /// The end of the axis in words.
    most: String,
    /// Its lines; those after the first are drawn thinner.
    lines: &'a [&'a [Option<f64>]],
}

fn drawn(plot: &Plot<'_>) -> Markup {
    let Plot { name, now, since, most, lines } = plot;
    let end = end_of_axis(lines.iter().map(|values| largest(values)).fold(0.0, f64::max));
    let words = format!("{name} since {since}: {now} now, {most} at most");
    html! {
        figure.plot {
            figcaption { (name) " " b { (now) } }
            svg viewBox=(format!("0 0 {} {}", LARGE.width, LARGE.height)) preserveAspectRatio="none" role="img" aria-label=(words) {
                @for (at, values) in lines.iter().enumerate() {
                    path class=(if at == 0 { "line" } else { "line second" }) d=(line(values, end, LARGE)) vector-effect="non-scaling-stroke" {}
                }
            }
            p.small { span { (since) } span { "at most " (most) } span { "now" } }
        }
    }
}

/// A number of the last hour.
fn large(name: &str, unit: &str, since: &str, values: &[Option<f64>]) -> Markup {
    let now = values.iter().flatten().next_back();
    let now = now.map_or_else(|| "–".to_owned(), |now| format!("{}{unit}", shown(*now)));
    let most = format!("{}{unit}", shown(largest(values)));
    drawn(&Plot { name, now, since, most, lines: &[values] })
}

/// How long the last attempts took, and how many of them failed.
pub(crate) fn of_pace(pace: &Pace, now: Timestamp) -> Markup {
    let since = show::relative(now, pace.since);
    let took = format!("{}, {} for 95 of 100", show::took(pace.median.1), show::took(pace.most.1));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds that somebody waited for")]
    let longest = show::took(largest(&pace.most.0) as u64);
    let failed = format!(
        "{} of {}",
        show::count(pace.failed as u64),
        show::counted(pace.attempts as u64, "attempt", "attempts")
    );
    let worst = shown(largest(&pace.failures));
    html! {
        div.plots {
            (drawn(&Plot { name: "Took, the median", now: took, since: &since, most: longest, lines: &[&pace.median.0, &pace.most.0] }))
            (drawn(&Plot { name: "Failed", now: failed, since: &since, most: worst, lines: &[&pace.failures] }))
        }
    }
}

/// What the last hour was like, or as much of it as is known.
pub(crate) fn of_hour(series: &Series) -> Markup {
    let (known, since) = hour::known(series);
    let since = format!("{} ago", show::duration(since));
    let of = |of: fn(&Noted) -> f64| values(known, of);
    html! {
        @if known.iter().flatten().nth(1).is_some() {
            div.plots {
                (large("Delivered", "/s", &since, &of(|noted| f64::from(noted.rate))))
                (large("Waiting", "", &since, &of(|noted| f64::from(noted.pending))))
                (large("Blocked keys", "", &since, &of(|noted| f64::from(noted.blocked))))
                (large("Dead letters", "", &since, &of(|noted| f64::from(noted.dead))))
            }
        }
    }
}

/// How many events waited, in the row of a table.
pub(crate) fn waiting(series: &Series) -> Markup {
    let (known, _) = hour::known(series);
    let coarse = known.len().div_ceil(POINTS);
    let values = coarser(&values(known, |noted| f64::from(noted.pending)), coarse);
    let most = largest(&values);
    html! {
        svg.spark viewBox=(format!("0 0 {} {}", SMALL.width, SMALL.height)) width=(SMALL.width) height=(SMALL.height) role="img"
            aria-label=(format!("waiting over the last hour: {} at most", shown(most))) {
            path.line d=(line(&values, end_of_axis(most), SMALL)) {}
        }
    }
}
