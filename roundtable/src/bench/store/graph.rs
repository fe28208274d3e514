//! The graph of `--sizes`, as SVG that can be read on light and on dark ground.

use std::fmt::Write as _;

use super::report::{Size, SizesReport};

const WIDTH: f64 = 840.0;
const HEIGHT: f64 = 640.0;
/// Of the drawing area of one panel.
const PANEL: (f64, f64) = (310.0, 180.0);

/// Grey with the same contrast on white as on black, and two hues that differ in lightness too.
const STYLE: &str = "\
text { font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; font-size: 12px; fill: #6e7781 }
.title { font-size: 14px; font-weight: 600 }
.value { font-size: 11px }
.grid { stroke: #6e7781; stroke-opacity: 0.28 }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
.a { stroke: #2f81f7 } .a.dot { fill: #2f81f7 }
.b { stroke: #d4761b; stroke-dasharray: 6 4 } .b.dot { fill: #d4761b; stroke-dasharray: none }
";

/// What a line is called, and what it shows of a size.
type Line = (&'static str, fn(&Size) -> f64);

/// One panel: a title, and two lines of values over the same sizes.
struct Panel {
    title: &'static str,
    lines: [Line; 2],
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Events appended a second",
        lines: [
            ("batch session, 256 in flight", |size| size.batch_append_256_per_s),
            ("256 callers", |size| size.append_256_per_s),
        ],
    },
    Panel {
        title: "Time to open, ms",
        lines: [
            ("after a kill", |size| size.open_after_kill_ms),
            ("after a clean stop", |size| size.open_ms),
        ],
    },
    Panel {
        title: "Memory of the store, MiB",
        lines: [
            ("after loading", |size| size.memory_after_load.rss_mb),
            ("after opening", |size| size.memory_after_open.rss_mb),
        ],
    },
    Panel {
        title: "Read of a random stream, ms",
        lines: [("p99", |size| size.read.p99), ("p50", |size| size.read.p50)],
    },
];

/// Draws the sizes of a report.
#[must_use]
pub fn draw(report: &SizesReport) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="The event store's cost by the size of its log">"#
    );
    let _ = writeln!(svg, "<style>\n{STYLE}</style>");
    for (number, panel) in PANELS.iter().enumerate() {
        let (column, row) = ((number % 2) as f64, (number / 2) as f64);
        let (x, y) = (70.0 + column * (PANEL.0 + 100.0), 62.0 + row * 300.0);
        let _ = writeln!(svg, r#"<g transform="translate({x} {y})">"#);
        panel.draw(&mut svg, &report.sizes);
        let _ = writeln!(svg, "</g>");
    }
    let foot = format!(
        "{}, {} cores, Linux {}; commit {}, {}",
        report.machine.cpu,
        report.machine.cores,
        report.machine.kernel,
        report.commit,
        report.date.split('T').next().unwrap_or_default(),
    );
    text(&mut svg, (WIDTH / 2.0, HEIGHT - 10.0), "middle", "value", &foot);
    svg.push_str("</svg>\n");
    svg
}

impl Panel {
    fn draw(&self, svg: &mut String, sizes: &[Size]) {
        text(svg, (0.0, -40.0), "start", "title", self.title);
        let values = self.lines.map(|(_, value)| sizes.iter().map(value).collect::<Vec<f64>>());
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        let (step, top) = scale(most);
        let places = places(sizes);
        axes(svg, (step, top), sizes, &places);
        let height = |value: f64| PANEL.1 * (1.0 - value / top);
        for (line, values) in values.iter().enumerate() {
            let class = ["a", "b"][line];
            let points: Vec<(f64, f64)> =
                places.iter().copied().zip(values.iter().map(|value| height(*value))).collect();
            let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let _ = writeln!(svg, r#"<path class="line {class}" d="M{}"/>"#, path.join("L"));
            for (x, y) in points {
                let _ =
                    writeln!(svg, r#"<circle class="dot {class}" cx="{x:.1}" cy="{y:.1}" r="4"/>"#);
            }
            let x = line as f64 * 185.0;
            let _ = writeln!(svg, r#"<path class="line {class}" d="M{x} -22H{}"/>"#, x + 24.0);
            text(svg, (x + 30.0, -18.0), "start", "value", self.lines[line].0);
        }
        for ((first, second), x) in values[0].iter().zip(&values[1]).zip(&places) {
            let (high, low) = (first.max(*second), first.min(*second));
            let (high_y, low_y) = labels(height(high), height(low));
            text(svg, (*x, high_y), "middle", "value", &figure(high));
            text(svg, (*x, low_y), "middle", "value", &figure(low));
        }
    }
}

/// Where the values of a higher and of a lower point are written: above and below, and both above
/// where the axis leaves no room.
fn labels(high: f64, low: f64) -> (f64, f64) {
    match () {
        () if PANEL.1 - low >= 22.0 => (high - 9.0, low + 18.0),
        () if low - high >= 36.0 => (high - 9.0, low - 9.0),
        () => (high - 22.0, high - 9.0),
    }
}

/// The grid with its values, and the sizes below it.
fn axes(svg: &mut String, (step, top): (f64, f64), sizes: &[Size], places: &[f64]) {
    let (width, height) = PANEL;
    let lines = (top / step).round() as u32;
    for line in 0..=lines {
        let value = f64::from(line) * step;
        let y = height - value / top * height;
        let _ = writeln!(svg, r#"<path class="grid" d="M0 {y:.1}H{width}"/>"#);
        text(svg, (-8.0, y + 4.0), "end", "value", &short(value, step));
    }
    for (size, x) in sizes.iter().zip(places) {
        text(svg, (*x, height + 20.0), "middle", "value", &short(size.events as f64, 1.0));
    }
    text(svg, (width / 2.0, height + 38.0), "middle", "value", "events in the log");
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
    );
}

/// Where the sizes are on a logarithmic axis, with room for their labels at both ends.
fn places(sizes: &[Size]) -> Vec<f64> {
    let logs: Vec<f64> = sizes.iter().map(|size| (size.events.max(1) as f64).log10()).collect();
    let (Some(first), Some(last)) = (logs.first(), logs.last()) else { return Vec::new() };
    let (room, span) = (28.0, (last - first).max(f64::MIN_POSITIVE));
    let width = PANEL.0 - 2.0 * room;
    match sizes.len() {
        1 => vec![PANEL.0 / 2.0],
        _ => logs.iter().map(|log| room + (log - first) / span * width).collect(),
    }
}

/// The distance of round grid lines for values up to `most`, and the highest of them.
fn scale(most: f64) -> (f64, f64) {
    // A little room above, where the highest value is written.
    let most = if most > 0.0 { most * 1.12 } else { 1.0 };
    let magnitude = 10_f64.powf((most / 4.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * magnitude);
    let step = steps.into_iter().find(|step| step * 4.0 >= most).unwrap_or(steps[4]);
    (step, (most / step).ceil() * step)
}

/// A tick, or a size: thousands and millions by letter.
fn short(value: f64, step: f64) -> String {
    let digits = usize::from(step < 1.0) + usize::from(step < 0.1) + usize::from(step < 0.01);
    let plain =
        |value: f64| format!("{value:.3}").trim_end_matches(['0']).trim_end_matches('.').to_owned();
    match value {
        _ if value >= 1e6 => format!("{} M", plain(value / 1e6)),
        _ if value >= 1e4 => format!("{} k", plain(value / 1e3)),
        _ if value == 0.0 => "0".to_owned(),
        _ if step.fract() != 0.0 => format!("{value:.*}", digits.max(1) + usize::from(digits > 0)),
        _ => format!("{value:.0}"),
    }
}

/// A value with three digits that count.
fn figure(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{:.2} M", value / 1e6),
        _ if value >= 1e5 => format!("{:.0} k", value / 1e3),
        _ if value >= 1e4 => format!("{:.1} k", value / 1e3),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grid_lines_are_at_round_values_and_above_all_points() {
        for (most, step) in [(1.0, 0.5), (130_000.0, 50_000.0), (0.2, 0.1), (0.0, 0.25)] {
            let (found, top) = scale(most);
            assert!((found - step).abs() < 1e-9, "{most}: {found}");
            assert!(top > most && top <= 5.0 * step, "{most}: {top}");
        }
    }

    #[test]
    fn two_values_are_never_written_over_each_other() {
        for high in 0..=180 {
            for low in high..=180 {
                let (above, below) = labels(f64::from(high), f64::from(low));
                assert!(below - above >= 13.0, "{high} {low}");
            }
        }
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [(1_000_000.0, "1 M"), (2_500_000.0, "2.5 M"), (50_000.0, "50 k")] {
            assert_eq!(short(value, 1.0), text);
        }
        assert_eq!((&*short(0.25, 0.25), &*short(200.0, 100.0)), ("0.25", "200"));
        assert_eq!((&*figure(123_456.0), &*figure(0.1234)), ("123 k", "0.12"));
    }
}
