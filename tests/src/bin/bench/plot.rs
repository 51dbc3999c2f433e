//! Small charts as SVG: a grid of panels over common categories, as lines or bars.
//!
//! Written here because it is all that is needed, and every plotting crate brings more code than the
//! benchmark has.

use crate::report::Series;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// One quantity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Panel {
    pub(crate) title: String,
    /// Each with a value for each category, or none.
    pub(crate) lines: Vec<(String, Vec<Option<f64>>)>,
}

/// Panels over the same categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the categories are.
    pub(crate) over: String,
    pub(crate) categories: Vec<String>,
    pub(crate) panels: Vec<Panel>,
    pub(crate) bars: bool,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 250.0;
const HEADER: f64 = 34.0;
/// Around the plot of a panel: top, right, bottom, left.
const MARGIN: [f64; 4] = [44.0, 14.0, 42.0, 58.0];
/// Told apart by colour-blind people too (Okabe and Ito).
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"];
/// More names of categories than this do not fit under a panel.
const MOST_LABELS: usize = 10;

impl Chart {
    /// Throughput, latency, CPU and memory of a series.
    pub(crate) fn of(title: &str, series: &Series, bars: bool) -> Self {
        type Field = fn(&crate::report::Sample) -> Option<f64>;
        let panels: [(&str, &[(&str, Field)]); 4] = [
            ("events a second", &[("", |s| s.per_second)]),
            ("latency, ms", &[("p50", |s| s.p50), ("p99", |s| s.p99), ("p99.9", |s| s.p999)]),
            ("CPU of the server an event, µs", &[("", |s| s.cpu_micros)]),
            ("memory of the server at its highest, MiB", &[("", |s| s.memory)]),
        ];
        let line = |(name, field): &(&str, Field)| {
            ((*name).to_owned(), series.points.iter().map(|(_, sample)| field(sample)).collect::<Vec<_>>())
        };
        let panel = |(title, lines): (&str, &[(&str, Field)])| Panel {
            title: title.to_owned(),
            lines: lines.iter().map(line).filter(|(_, values)| values.iter().any(Option::is_some)).collect(),
        };
        Self {
            title: title.to_owned(),
            over: series.over.clone(),
            categories: series.points.iter().map(|(at, _)| at.clone()).collect(),
            panels: panels.into_iter().map(panel).filter(|panel| !panel.lines.is_empty()).collect(),
            bars,
        }
    }

    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let columns = self.panels.len().clamp(1, 2);
        let rows = self.panels.len().div_ceil(2).max(1);
        let (width, height) = (WIDTH * float(columns), HEADER + HEIGHT * float(rows));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\" fill=\"#222\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"14\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            escaped(&self.title)
        );
        for (n, panel) in self.panels.iter().enumerate() {
            let (x, y) = (WIDTH * float(n % 2), HEADER + HEIGHT * float(n / 2));
            writeln!(out, "<g transform=\"translate({x} {y})\">").ok();
            self.panel(panel, &mut out);
            out.push_str("</g>\n");
        }
        out.push_str("</svg>\n");
        out
    }

    fn panel(&self, panel: &Panel, out: &mut String) {
        let plot = Plot::new(panel, self.categories.len());
        writeln!(out, "<text x=\"14\" y=\"14\" font-weight=\"bold\">{}</text>", escaped(&panel.title)).ok();
        plot.grid(out);
        self.names(&plot, out);
        legend(panel, out);
        for (n, (_, values)) in panel.lines.iter().enumerate() {
            let points: Vec<(usize, f64)> = values.iter().enumerate().filter_map(|(n, v)| v.map(|v| (n, v))).collect();
            if self.bars {
                plot.bars(&points, n, panel.lines.len(), out);
            } else {
                plot.line(&points, COLOURS[n % COLOURS.len()], out);
            }
        }
    }

    /// The categories under a panel.
    fn names(&self, plot: &Plot, out: &mut String) {
        let [_, _, bottom, left] = MARGIN;
        let every = self.categories.len().div_ceil(MOST_LABELS).max(1);
        let base = HEIGHT - bottom + 16.0;
        for (n, name) in self.categories.iter().enumerate().step_by(every) {
            let at = plot.x(n);
            writeln!(out, "<text x=\"{at:.1}\" y=\"{base}\" text-anchor=\"middle\">{}</text>", escaped(name)).ok();
        }
        let (middle, base, over) = (left + plot.width / 2.0, base + 16.0, escaped(&self.over));
        writeln!(out, "<text x=\"{middle}\" y=\"{base}\" text-anchor=\"middle\" fill=\"#666\">{over}</text>").ok();
    }
}

/// The lines' names, in their colours.
fn legend(panel: &Panel, out: &mut String) {
    let mut left = MARGIN[3];
    for (n, (name, _)) in panel.lines.iter().enumerate().filter(|(_, (name, _))| !name.is_empty()) {
        let colour = COLOURS[n % COLOURS.len()];
        writeln!(out, "<rect x=\"{left}\" y=\"23\" width=\"10\" height=\"10\" fill=\"{colour}\"/>").ok();
        writeln!(out, "<text x=\"{}\" y=\"32\">{}</text>", left + 14.0, escaped(name)).ok();
        left += 26.0 + 6.5 * float(name.chars().count());
    }
}

/// The place inside a panel's margins.
struct Plot {
    width: f64,
    height: f64,
    categories: usize,
    step: f64,
    most: f64,
}

impl Plot {
    fn new(panel: &Panel, categories: usize) -> Self {
        let [top, right, bottom, left] = MARGIN;
        let most = panel.lines.iter().flat_map(|(_, values)| values.iter().flatten()).copied().fold(0.0, f64::max);
        let step = step(most);
        let most = (most / step).ceil().max(1.0) * step;
        Self { width: WIDTH - left - right, height: HEIGHT - top - bottom, categories: categories.max(1), step, most }
    }

    fn x(&self, at: usize) -> f64 {
        MARGIN[3] + self.width * (float(at) + 0.5) / float(self.categories)
    }

    fn y(&self, value: f64) -> f64 {
        MARGIN[0] + self.height * (1.0 - value / self.most)
    }

    fn grid(&self, out: &mut String) {
        let (left, end) = (MARGIN[3], MARGIN[3] + self.width);
        let mut tick = 0.0;
        // A little more, as the sum of steps may be.
        while tick <= self.most * 1.001 {
            let (at, label) = (self.y(tick), short(tick));
            writeln!(out, "<line x1=\"{left}\" x2=\"{end}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>").ok();
            let (right, base) = (left - 6.0, at + 4.0);
            writeln!(out, "<text x=\"{right}\" y=\"{base:.1}\" text-anchor=\"end\">{label}</text>").ok();
            tick += self.step;
        }
    }

    /// The `n`-th of `count` bars at each category.
    fn bars(&self, points: &[(usize, f64)], n: usize, count: usize, out: &mut String) {
        let colour = COLOURS[n % COLOURS.len()];
        let wide = self.width / float(self.categories) * 0.7 / float(count);
        for &(at, value) in points {
            let (left, top) = (self.x(at) + wide * (float(n) - float(count) / 2.0), self.y(value));
            let tall = self.y(0.0) - top;
            let place = format!("x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{tall:.1}\"");
            writeln!(out, "<rect {place} fill=\"{colour}\"/>").ok();
        }
    }

    fn line(&self, points: &[(usize, f64)], colour: &str, out: &mut String) {
        let place = |&(at, value): &(usize, f64)| (self.x(at), self.y(value));
        let path: Vec<String> = points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        writeln!(out, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>").ok();
        for (x, y) in points.iter().map(place).filter(|_| self.categories <= 2 * MOST_LABELS) {
            writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>").ok();
        }
    }
}

/// The distance of the lines of a grid that ends above `most`: 1, 2 or 5 of some power of ten.
fn step(most: f64) -> f64 {
    if most <= 0.0 || !most.is_finite() {
        return 1.0;
    }
    let raw = most / 5.0;
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw).unwrap_or(10.0);
    factor * power
}

/// A number in few characters.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[allow(clippy::cast_precision_loss, reason = "a place in a picture")]
fn float(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_round_steps_and_ends_above_everything() {
        for (most, expected) in [(0.0, 1.0), (1.0, 0.2), (9.9, 2.0), (31_000.0, 10_000.0), (0.03, 0.01)] {
            assert!((step(most) - expected).abs() < 1e-9, "{most}: {}", step(most));
        }
        let panel = Panel { title: String::new(), lines: vec![(String::new(), vec![Some(31_000.0), None])] };
        assert!(Plot::new(&panel, 2).most >= 31_000.0);
    }

    #[test]
    fn numbers_are_short_and_texts_are_escaped() {
        let shown: Vec<String> = [0.0, 0.2, 12.5, 1500.0, 2e6].into_iter().map(short).collect();
        assert_eq!(shown, ["0", "0.2", "12.5", "1.5k", "2M"]);
        let chart = Chart {
            title: "a < b".into(),
            over: "n".into(),
            categories: vec!["1".into(), "2".into()],
            panels: vec![Panel { title: "x".into(), lines: vec![("l".into(), vec![Some(1.0), Some(2.0)])] }],
            bars: false,
        };
        let svg = chart.svg();
        assert!(svg.contains("a &lt; b") && svg.contains("<polyline") && svg.matches("<circle").count() == 2);
    }
}
