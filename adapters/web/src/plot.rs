//! Small plots: from numbers to the points of a line. Nothing here knows of pages.

use std::fmt::Write as _;

/// What a plot is drawn on, in its own units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// Beyond this nothing is counted: so that sums and powers stay numbers.
const MOST: f64 = 1e18;

/// The largest of the numbers.
pub(crate) fn largest(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max).min(MOST)
}

/// The end of the axis: the next of 1, 2 and 5 times a power of ten.
pub(crate) fn end_of_axis(largest: f64) -> f64 {
    if !largest.is_finite() || largest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(largest.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    // What is a hair beyond a step because of rounding stays there.
    steps.into_iter().map(|step| step * power).find(|end| *end >= largest * (1.0 - 1e-9)).unwrap_or(10.0 * power)
}

/// The largest of each `of` neighbours: a short peak is not lost.
pub(crate) fn coarser(values: &[Option<f64>], of: usize) -> Vec<Option<f64>> {
    values.chunks(of.max(1)).map(|chunk| chunk.iter().flatten().copied().reduce(f64::max)).collect()
}

/// The line through the numbers, as an SVG path; where there is none, the line is interrupted. A number by itself is a
/// short dash.
pub(crate) fn line(values: &[Option<f64>], end: f64, canvas: Canvas) -> String {
    let mut path = String::new();
    let mut before = None;
    for (at, value) in values.iter().enumerate() {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            before = None;
            continue;
        };
        let (x, y) = point(at, values.len(), value, end, canvas);
        let alone = before.is_none() && values.get(at + 1).copied().flatten().is_none();
        let command = if before.is_none() { 'M' } else { 'L' };
        let _ = write!(path, "{command}{} {}", tenths(x), tenths(y));
        if alone {
            path.push_str("h1");
        }
        before = Some(value);
    }
    path
}

fn point(at: usize, of: usize, value: f64, end: f64, canvas: Canvas) -> (f64, f64) {
    #[allow(clippy::cast_precision_loss, reason = "a hundred places on a few hundred pixels")]
    let along = at as f64 / (of.max(2) - 1) as f64;
    let up = (value / end).clamp(0.0, 1.0);
    // Half a line's width inside, so that neither the bottom nor the top cuts it.
    let height = f64::from(canvas.height) - 2.0;
    (along * (f64::from(canvas.width) - 1.0), 1.0 + height * (1.0 - up))
}

/// With a decimal at most.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CANVAS: Canvas = Canvas { width: 101, height: 52 };

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let table = [
            (0.0, 1.0),
            (0.3, 0.5),
            (1.0, 1.0),
            (1.1, 2.0),
            (3.0, 5.0),
            (7.0, 10.0),
            (99.0, 100.0),
            (101.0, 200.0),
            (f64::NAN, 1.0),
        ];
        for (largest, end) in table {
            assert!((end_of_axis(largest) - end).abs() < 1e-9, "{largest}: {}", end_of_axis(largest));
        }
    }

    #[test]
    fn a_line_goes_from_the_left_to_the_right_and_up_with_the_numbers() {
        let values = [Some(0.0), Some(5.0), Some(10.0)];
        assert_eq!(line(&values, 10.0, CANVAS), "M0 51L50 26L100 1");
        assert_eq!(line(&[Some(1.0), None, Some(2.0), Some(1.0)], 2.0, CANVAS), "M0 26h1M66.7 1L100 26");
        assert_eq!((line(&[], 1.0, CANVAS), line(&[None, None], 1.0, CANVAS)), (String::new(), String::new()));
    }

    #[test]
    fn peaks_stay_where_a_line_becomes_coarser() {
        let values = [Some(1.0), Some(9.0), None, None, Some(2.0)];
        assert_eq!(coarser(&values, 2), [Some(9.0), None, Some(2.0)]);
        assert!((largest(&values) - 9.0).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn every_point_is_on_the_canvas(values in proptest::collection::vec(proptest::option::of(proptest::num::f64::ANY), 0..130)) {
            let end = end_of_axis(largest(&values));
            prop_assert!(end.is_finite() && end > 0.0);
            let path = line(&values, end, CANVAS);
            for point in path.split(['M', 'L']).filter(|point| !point.is_empty()) {
                let (x, y) = point.trim_end_matches("h1").split_once(' ').unwrap();
                let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
                prop_assert!((0.0..=101.0).contains(&x) && (0.0..=52.0).contains(&y), "{}", point);
            }
        }
    }
}
