//! Pictures of what was measured, as SVG: how the cost of a run grows with the length of a map, and
//! what each layer adds.

use std::fmt::Write as _;

use crate::layers::Layer;
use crate::measure::Measure;
use crate::results::Results;
use crate::subject::SUBJECTS;
use crate::table::{short, thousands};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
/// Colours that can be told apart by most people (Okabe and Ito).
const COLOURS: &[&str] =
    &["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// Layers that are a bar are so high.
const BAR: f64 = 22.0;

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{title}</text>\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    line(svg, &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"));
}

fn line(svg: &mut String, what: &str) {
    writeln!(svg, "{what}").expect("writing to a string cannot fail");
}

/// One subject: its name, and microseconds by runs.
type Curve = (&'static str, Vec<(f64, f64)>);

/// Microseconds a run over the length of the map, both in powers of ten. None where no subject was
/// in two maps.
pub(crate) fn growth(results: &Results) -> Option<String> {
    let curve = |subject: &'static str| -> Option<Curve> {
        let mut points = Vec::new();
        for step in &results.0 {
            let Measure::Nothing { runs } = step.measure else { continue };
            let rate = step.cell(subject).and_then(|cell| cell.rate());
            let seen = points.iter().any(|&(x, _)| x == runs as f64);
            if let (Some(rate), false) = (rate, seen) {
                points.push((runs as f64, 1e6 / rate.median));
            }
        }
        points.sort_unstable_by(|one: &(f64, f64), other| one.0.total_cmp(&other.0));
        (points.len() > 1).then_some((subject, points))
    };
    let curves: Vec<Curve> = SUBJECTS
        .iter()
        .filter(|entry| entry.family != crate::subject::Family::Peer)
        .filter_map(|entry| curve(entry.name))
        // Those that were in the longest maps.
        .filter(|(_, points)| points.last().is_some_and(|&(runs, _)| runs >= 100_000.0))
        .take(COLOURS.len())
        .collect();
    let all = || curves.iter().flat_map(|(_, points)| points);
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let (least, most) = all()
            .map(of)
            .fold((f64::INFINITY, 0.0_f64), |(least, most), it| (least.min(it), most.max(it)));
        (least.log10().floor(), most.log10().ceil())
    };
    if curves.is_empty() {
        return None;
    }
    let ((x0, x1), (y0, y1)) = (bounds(|it| it.0), bounds(|it| it.1));
    let x = |runs: f64| LEFT + (runs.log10() - x0) / (x1 - x0).max(1.0) * (WIDTH - LEFT - RIGHT);
    let y = |micros: f64| {
        HEIGHT - BOTTOM - (micros.log10() - y0) / (y1 - y0).max(1.0) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = begin(HEIGHT, "Microseconds a no-op run, by the length of the map");
    for power in x0 as i32..=x1 as i32 {
        let at = 10_f64.powi(power);
        let x = x(at);
        line(&mut svg, &format!("<path d=\"M{x:.1} {TOP}V{}\" stroke=\"#ddd\"/>", HEIGHT - BOTTOM));
        text(&mut svg, x, HEIGHT - BOTTOM + 18.0, "middle", &thousands(at));
    }
    for power in y0 as i32..=y1 as i32 {
        let at = 10_f64.powi(power);
        let y = y(at);
        line(&mut svg, &format!("<path d=\"M{LEFT} {y:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - RIGHT));
        text(&mut svg, LEFT - 8.0, y + 4.0, "end", &format!("{} µs", short(at)));
    }
    let mut labels: Vec<(f64, &str, &str)> = Vec::new();
    for ((name, points), colour) in curves.iter().zip(COLOURS) {
        let path: Vec<String> = points
            .iter()
            .map(|&(runs, micros)| format!("{:.1} {:.1}", x(runs), y(micros)))
            .collect();
        line(
            &mut svg,
            &format!(
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join("L")
            ),
        );
        for (runs, micros) in points {
            let (x, y) = (x(*runs), y(*micros));
            line(
                &mut svg,
                &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"),
            );
        }
        labels.extend(points.last().map(|&(_, micros)| (y(micros), *name, *colour)));
    }
    // Names stand where their lines end, and not on each other.
    labels.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = TOP;
    for (y, name, colour) in labels {
        let y = y.max(free);
        free = y + 14.0;
        let x = WIDTH - RIGHT + 8.0;
        line(
            &mut svg,
            &format!("<text x=\"{x}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>", y + 4.0),
        );
    }
    text(&mut svg, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12.0, "middle", "runs in one map");
    svg.push_str("</svg>\n");
    Some(svg)
}

/// A bar for each layer: what it stands on, and what it adds. None where nothing was measured.
pub(crate) fn stacked(layers: &[Layer]) -> Option<String> {
    let most = layers.iter().map(|layer| layer.micros).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let height = TOP + (BAR + 8.0) * layers.len() as f64 + 20.0;
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let mut svg = begin(height, "CPU microseconds of one no-op run");
    for (index, layer) in layers.iter().enumerate() {
        let y = TOP + (BAR + 8.0) * index as f64;
        let own = layer.more.unwrap_or(layer.micros).clamp(0.0, layer.micros);
        let below = (layer.micros - own) * scale;
        let bar = |x: f64, width: f64, colour: &str| {
            format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            )
        };
        line(&mut svg, &bar(LEFT, below, "#b0c4de"));
        line(&mut svg, &bar(LEFT + below, own * scale, "#0072b2"));
        text(&mut svg, LEFT - 6.0, y + BAR * 0.7, "end", layer.subject);
        let end = LEFT + layer.micros * scale + 6.0;
        text(&mut svg, end, y + BAR * 0.7, "start", &format!("{} µs", short(layer.micros)));
    }
    svg.push_str("</svg>\n");
    Some(svg)
}
