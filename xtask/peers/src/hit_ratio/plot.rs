//! The picture of a trace: the decisive ratio against the capacity, one line per policy, named at its end.
//!
//! Plain SVG, written by hand: a handful of lines and words needs no library. Ours are solid, others dashed, the
//! optimum dotted.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use cache_memory::Policy;

use super::Cell;
use super::course::{By, Course};
use crate::Outcome;

/// Writes `{trace}-{by}.svg` into the folder, which is made if it is not there.
pub(super) fn save(folder: &Path, course: &Course<'_>, cells: &[Cell<'_>]) -> Outcome {
    fs::create_dir_all(folder)?;
    let by = match course.by {
        By::Requests => "requests",
        By::Bytes => "bytes",
        By::Cost => "cost",
    };
    let path = folder.join(format!("{}-{by}.svg", course.trace.name()));
    let text = draw(course, cells)?;
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(())
}

fn draw(course: &Course<'_>, cells: &[Cell<'_>]) -> Result<String, fmt::Error> {
    let frame = Frame::around(cells, course.by);
    let lines = lines(cells, course.by);
    let mut svg = String::new();
    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"DejaVu Sans, Verdana, Helvetica, Arial, sans-serif\" font-size=\"15\" fill=\"#222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    )?;
    title(&mut svg, course)?;
    axes(&mut svg, &frame, course.by)?;
    // Ours last, so that they lie on top, and of all the first that was asked for.
    let (ours, others): (Vec<_>, Vec<_>) = lines.iter().rev().partition(|line| line.ours);
    for line in others.into_iter().chain(ours) {
        line.draw(&mut svg, &frame)?;
    }
    labels(&mut svg, &frame, &lines)?;
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// One policy's points, from small to large.
struct Line {
    name: &'static str,
    points: Vec<(f64, f64)>,
    colour: &'static str,
    stroke: &'static str,
    ours: bool,
}

fn lines(cells: &[Cell<'_>], by: By) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for cell in cells {
        let point = (float(cell.capacity), cell.decisive(by));
        if let Some(line) = lines.iter_mut().find(|line| line.name == cell.policy) {
            line.points.push(point);
            continue;
        }
        let ours = Policy::ALL.iter().any(|policy| policy.as_str() == cell.policy);
        let stroke = match cell.policy {
            "opt" => "stroke-width=\"2\" stroke-dasharray=\"2 4\"",
            _ if ours => "stroke-width=\"3\"",
            _ => "stroke-width=\"1.8\" stroke-dasharray=\"7 4\"",
        };
        let colour = if cell.policy == "opt" { "#222" } else { COLOURS[lines.len() % COLOURS.len()] };
        lines.push(Line { name: cell.policy, points: vec![point], colour, stroke, ours });
    }
    for line in &mut lines {
        line.points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }
    lines
}

impl Line {
    fn draw(&self, svg: &mut String, frame: &Frame) -> fmt::Result {
        let Self { colour, stroke, .. } = self;
        let at = |&(x, y): &(f64, f64)| (frame.x(x), frame.y(y));
        let path: Vec<String> = self.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" {stroke} stroke-linejoin=\"round\"/>",
            path.join(" ")
        )?;
        for (x, y) in self.points.iter().map(at) {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
        }
        Ok(())
    }
}

/// From numbers to places in the picture: the capacity by its logarithm, the ratio between whole tens of percent.
struct Frame {
    capacities: Vec<f64>,
    /// In percent.
    bottom: f64,
    top: f64,
}

impl Frame {
    fn around(cells: &[Cell<'_>], by: By) -> Self {
        let mut capacities: Vec<f64> = cells.iter().map(|cell| float(cell.capacity)).collect();
        capacities.sort_by(f64::total_cmp);
        capacities.dedup();
        let percents = cells.iter().map(|cell| cell.decisive(by) * 10.0);
        let (least, most) = percents.fold((10.0_f64, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
        let bottom = least.floor() * 10.0;
        Self { capacities, bottom, top: (most.ceil() * 10.0).max(bottom + 10.0) }
    }

    fn x(&self, capacity: f64) -> f64 {
        let ends = self.capacities.first().zip(self.capacities.last());
        let (from, to) = ends.map_or((0.0, 0.0), |(first, last)| (first.ln(), last.ln()));
        // A single capacity stands in the middle.
        let share = if to > from { (capacity.ln() - from) / (to - from) } else { 0.5 };
        LEFT + share * (RIGHT - LEFT)
    }

    fn y(&self, ratio: f64) -> f64 {
        BOTTOM - (ratio * 100.0 - self.bottom) / (self.top - self.bottom) * (BOTTOM - TOP)
    }
}

fn title(svg: &mut String, course: &Course<'_>) -> fmt::Result {
    let trace = course.trace;
    let what = measured(course.by);
    let (requests, unique) = (grouped(trace.len() as u64), grouped(trace.unique().into()));
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"30\" font-size=\"20\" font-weight=\"bold\">{}: {what}</text>\n\
         <text x=\"{LEFT}\" y=\"52\" fill=\"#666\">{requests} requests, {unique} keys</text>",
        escaped(trace.name())
    )
}

/// What the upright axis shows.
fn measured(by: By) -> &'static str {
    match by {
        By::Requests => "requests that hit",
        By::Bytes => "bytes that hit",
        By::Cost => "cost that hits save",
    }
}

fn axes(svg: &mut String, frame: &Frame, by: By) -> fmt::Result {
    let mut percent = frame.bottom;
    while percent <= frame.top {
        let y = frame.y(percent / 100.0);
        writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{percent:.0} %</text>",
            LEFT - 10.0,
            y + 5.0
        )?;
        percent += 10.0;
    }
    let mut taken = f64::NEG_INFINITY;
    for &capacity in &frame.capacities {
        let x = frame.x(capacity);
        writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{:.1}\" stroke=\"#888\"/>",
            BOTTOM + 6.0
        )?;
        // Numbers that would run into each other are left out; their marks stay.
        if x - taken >= TICK_WIDTH {
            taken = x;
            let number = short(capacity, by);
            writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>",
                BOTTOM + 24.0
            )?;
        }
    }
    let unit = if by == By::Requests { "entries" } else { "bytes" };
    let (middle, what) = (f64::midpoint(TOP, BOTTOM), measured(by));
    writeln!(
        svg,
        "<text transform=\"translate(18 {middle:.1}) rotate(-90)\" text-anchor=\"middle\" fill=\"#666\">{what}</text>"
    )?;
    writeln!(
        svg,
        "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" stroke=\"#888\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">capacity in {unit}, logarithmic</text>",
        f64::midpoint(LEFT, RIGHT),
        BOTTOM + 48.0
    )
}

/// Names at the right ends of the lines, moved apart where they would cover each other.
fn labels(svg: &mut String, frame: &Frame, lines: &[Line]) -> fmt::Result {
    let end = |line: &Line| line.points.last().map_or((0.0, 0.0), |&(x, y)| (frame.x(x), frame.y(y)));
    let mut sorted: Vec<&Line> = lines.iter().collect();
    sorted.sort_by(|a, b| end(a).1.total_cmp(&end(b).1));
    let wanted: Vec<f64> = sorted.iter().map(|line| end(line).1).collect();
    for (line, y) in sorted.iter().zip(apart(&wanted)) {
        let ((x, from), Line { name, colour, stroke, points, .. }) = (end(line), line);
        let percent = points.last().map_or(0.0, |(_, ratio)| ratio * 100.0);
        let (start, text) = (RIGHT + 34.0, RIGHT + 62.0);
        writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{from:.1}\" x2=\"{start:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" stroke-width=\"0.7\"/>\n\
             <line x1=\"{start:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"{colour}\" {stroke}/>\n\
             <text x=\"{text:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name} {percent:.1} %</text>",
            x + 5.0,
            text - 5.0,
            y + 5.0
        )?;
    }
    Ok(())
}

/// Sorted places, at least a line of text apart and all inside the picture, moved as a block where there are many.
fn apart(wanted: &[f64]) -> Vec<f64> {
    let mut places = Vec::with_capacity(wanted.len());
    let mut least = TOP;
    for &place in wanted {
        let place = place.max(least);
        least = place + LABEL_HEIGHT;
        places.push(place);
    }
    let mut most = BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - LABEL_HEIGHT;
    }
    places
}

/// A capacity as few characters: 2048 as `2,048`, 4000000 as `4.0M`.
fn short(capacity: f64, by: By) -> String {
    let units: [(f64, &str); 2] = if by == By::Requests {
        [(1e6, "M"), (1e5, "k")]
    } else {
        [(1_048_576.0, " MiB"), (10_240.0, " KiB")]
    };
    match units {
        [(mega, name), _] if capacity >= mega => format!("{:.1}{name}", capacity / mega),
        [_, (from, name)] if capacity >= from => {
            let unit = if by == By::Requests { 1_000.0 } else { 1_024.0 };
            format!("{:.0}{name}", capacity / unit)
        }
        _ => grouped(whole(capacity)),
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn float(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let float = number as f64;
    float
}

fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a capacity, which was whole"
    )]
    let whole = number as u64;
    whole
}

const WIDTH: f64 = 980.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 720.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 530.0;
const LABEL_HEIGHT: f64 = 20.0;
const TICK_WIDTH: f64 = 70.0;
/// Told apart by people with any colour vision, as far as so many can be; dashes and names do the rest.
const COLOURS: [&str; 12] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7b3294", "#666666", "#b2182b",
    "#1b7837", "#35978f", "#e08214",
];

#[cfg(test)]
mod tests {
    use cache_testkit::trace::Trace;

    use super::*;

    #[test]
    fn names_never_cover_each_other_and_stay_inside() {
        for wanted in [vec![100.0; 13], vec![BOTTOM; 13], vec![TOP, TOP, 300.0, 301.0, BOTTOM]] {
            let places = apart(&wanted);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= LABEL_HEIGHT - 1e-9), "{places:?}");
            assert!(places.iter().all(|place| (TOP..=BOTTOM).contains(place)), "{places:?}");
        }
    }

    #[test]
    fn the_picture_names_every_policy_and_its_trace() {
        let trace = Trace::new("a<b", [1, 2, 1]);
        let course = Course { trace: &trace, by: By::Requests, lifetimes: false };
        let cell = |policy, capacity, hit_ratio| Cell {
            trace: "a<b",
            policy,
            capacity,
            requests: 3,
            hits: 1,
            hit_ratio,
            byte_hit_ratio: None,
            cost_saved_ratio: None,
        };
        let svg = draw(&course, &[cell("lru", 1, 0.1), cell("opt", 1, 0.2), cell("lru", 10, 0.3)]).unwrap();
        for part in [
            "a&lt;b: requests that hit",
            ">requests that hit<",
            ">lru 30.0 %<",
            ">opt 20.0 %<",
            "3 requests, 2 keys",
        ] {
            assert!(svg.contains(part), "{part} is missing in {svg}");
        }
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn capacities_are_short() {
        let shown = |capacity| short(capacity, By::Requests);
        assert_eq!([shown(2_048.0), shown(250_000.0), shown(4e6)], ["2,048", "250k", "4.0M"]);
        assert_eq!(short(3.0 * 1_048_576.0, By::Bytes), "3.0 MiB");
    }
}
