//! Plots as SVG that stands in the page: coordinates are whole numbers, colours are the page's.

use std::fmt::Write as _;

use super::change::percent;
use super::html::escaped;
use super::report::{Bar, Hour, Line};
use super::table::{grouped, instant, money, signed};

/// Width of every plot in its own units; a phone shows them nearly one to one.
const WIDTH: i128 = 420;
const ROW: i128 = 24;
/// Where the bars of a list of rows begin, and how long the longest may be.
const NAMES: i128 = 132;
const BARS: i128 = 190;

/// Bars to the left for less and to the right for more, one a line, the largest first.
pub(super) fn movers(lines: &[&Line]) -> String {
    let most = lines.iter().map(|line| line.difference_micros.unsigned_abs()).max().unwrap_or(0);
    // The axis stands where there is room for the bars of either side.
    let (has_less, has_more) = (
        lines.iter().any(|line| line.difference_micros < 0),
        lines.iter().any(|line| line.difference_micros > 0),
    );
    let (middle, reach) = match (has_less, has_more) {
        (true, true) => (NAMES + (WIDTH - NAMES) / 2, (WIDTH - NAMES) / 2 - 4),
        (true, false) => (WIDTH - 1, WIDTH - NAMES - 4),
        (false, _) => (NAMES, WIDTH - NAMES - 4),
    };
    let mut body = String::new();
    for (row, line) in lines.iter().enumerate() {
        let y = row as i128 * ROW * 3 / 2;
        let length = scaled(line.difference_micros.unsigned_abs(), most, reach).max(1);
        let is_more = line.difference_micros > 0;
        let (x, class) = if is_more { (middle, "more") } else { (middle - length, "less") };
        let name = if line.campaign.is_empty() { &line.advertiser } else { &line.campaign };
        put(&mut body, format_args!(r#"<text x="0" y="{}">{}</text>"#, y + 14, short(name)));
        let share = percent(line.change_ppm);
        put(&mut body, format_args!(r#"<text x="0" y="{}" class="faint">{share}</text>"#, y + 28));
        put(
            &mut body,
            format_args!(
                r#"<rect x="{x}" y="{}" width="{length}" height="12" class="{class}"/>"#,
                y + 4
            ),
        );
        let (anchor, at) = if is_more { ("start", middle + 5) } else { ("end", middle - 5) };
        let amount = signed(line.difference_micros);
        put(
            &mut body,
            format_args!(
                r#"<text x="{at}" y="{}" text-anchor="{anchor}" class="value">{amount}</text>"#,
                y + 29
            ),
        );
    }
    let height = lines.len() as i128 * ROW * 3 / 2;
    put(
        &mut body,
        format_args!(r#"<line x1="{middle}" y1="0" x2="{middle}" y2="{height}" class="axis"/>"#),
    );
    svg("The largest differences", height, &body)
}

/// One bar for each class of changes between the outermost ones that have any.
pub(super) fn histogram(what: &str, bars: &[Bar]) -> String {
    let used: Vec<_> = bars.iter().enumerate().filter(|(_, bar)| bar.count > 0).collect();
    let (Some((first, _)), Some((last, _))) = (used.first(), used.last()) else {
        return String::new();
    };
    let most = used.iter().map(|(_, bar)| bar.count).max().unwrap_or(0);
    let mut body = String::new();
    // The last two classes have no place on the scale.
    let off_scale = bars.len().saturating_sub(2);
    let shown = (*first..=*last).filter(|at| *at < off_scale || bars[*at].count > 0);
    let mut rows = 0;
    for at in shown {
        let (bar, y) = (&bars[at], rows * ROW);
        let class = match bar.change.chars().next() {
            Some('\u{2212}' | '<') => "less",
            Some('+' | '>') => "more",
            _ => "plain",
        };
        let (name, count) = (escaped(&bar.change), grouped(bar.count));
        put(
            &mut body,
            format_args!(
                r#"<text x="{}" y="{}" text-anchor="end">{name}</text>"#,
                NAMES - 34,
                y + 15
            ),
        );
        let length = scaled(bar.count.into(), most.into(), BARS);
        let length = if bar.count > 0 { length.max(1) } else { 0 };
        let x = NAMES - 26;
        put(
            &mut body,
            format_args!(
                r#"<rect x="{x}" y="{}" width="{length}" height="16" class="{class}"/>"#,
                y + 3
            ),
        );
        put(
            &mut body,
            format_args!(
                r#"<text x="{}" y="{}" class="value">{count}</text>"#,
                x + length + 6,
                y + 15
            ),
        );
        rows += 1;
    }
    svg(&format!("{what} by the change of what they cost"), rows * ROW, &body)
}

/// Points of a plot over time at most; more hours than this are put together.
const POINTS_MAX: usize = 60;
const PLOT_HEIGHT: i128 = 150;
const LEFT: i128 = 4;
const TOP: i128 = 14;

/// What was charged over time, before and after.
pub(super) fn charged(hours: &[Hour]) -> String {
    let points = points(hours);
    if points.len() < 2 {
        return String::new();
    }
    let most = points.iter().flat_map(|point| [point.before_micros, point.after_micros]).max();
    let most = most.unwrap_or(0).max(1);
    let mut body = String::new();
    frame(&mut body, &points, &money(most));
    for (class, value) in [("before", before as fn(&Hour) -> i128), ("after", after)] {
        let path: Vec<_> = points
            .iter()
            .enumerate()
            .map(|(at, point)| {
                let y = TOP + PLOT_HEIGHT
                    - scaled(value(point).unsigned_abs(), most.unsigned_abs(), PLOT_HEIGHT);
                format!("{},{y}", across(at, points.len()))
            })
            .collect();
        let path = path.join(" ");
        put(&mut body, format_args!(r#"<polyline points="{path}" class="{class}"/>"#));
    }
    svg("Charged over time, before and after", PLOT_HEIGHT + 36, &body)
}

/// The difference over time, one bar an hour or more.
pub(super) fn differences(hours: &[Hour]) -> String {
    let points = points(hours);
    if points.len() < 2 {
        return String::new();
    }
    let of = |point: &Hour| point.after_micros - point.before_micros;
    let most = points.iter().map(of).max().unwrap_or(0).max(0);
    let least = points.iter().map(of).min().unwrap_or(0).min(0);
    let whole = (most - least).unsigned_abs().max(1);
    // Nothing lies where the largest and the smallest difference leave it.
    let zero = TOP + scaled(most.unsigned_abs(), whole, PLOT_HEIGHT);
    let mut body = String::new();
    frame(&mut body, &points, &signed(most));
    if least < 0 {
        let (y, least) = (TOP + PLOT_HEIGHT - 5, signed(least));
        put(&mut body, format_args!(r#"<text x="0" y="{y}" class="faint">{least}</text>"#));
    }
    let count = points.len() as i128;
    let wide = (WIDTH / count - 1).clamp(1, 40);
    for (at, point) in points.iter().enumerate() {
        let height = scaled(of(point).unsigned_abs(), whole, PLOT_HEIGHT);
        let (y, class) = if of(point) >= 0 { (zero - height, "more") } else { (zero, "less") };
        // Each bar stands in the middle of its own part of the width.
        let x = (WIDTH * (2 * at as i128 + 1) / count - wide) / 2;
        let (at, amount) = (instant(point.at_us), signed(of(point)));
        put(
            &mut body,
            format_args!(
                r#"<rect x="{x}" y="{y}" width="{wide}" height="{height}" class="{class}"><title>{at} UTC: {amount}</title></rect>"#
            ),
        );
    }
    put(
        &mut body,
        format_args!(r#"<line x1="0" y1="{zero}" x2="{WIDTH}" y2="{zero}" class="axis"/>"#),
    );
    svg("Difference over time", PLOT_HEIGHT + 36, &body)
}

fn before(point: &Hour) -> i128 {
    point.before_micros
}

fn after(point: &Hour) -> i128 {
    point.after_micros
}

/// Hours put together, so that there are few enough; hours without clicks are nothing.
fn points(hours: &[Hour]) -> Vec<Hour> {
    const HOUR_US: i64 = 3_600_000_000;
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Vec::new() };
    let span = usize::try_from((last.at_us - first.at_us) / HOUR_US).unwrap_or(0) + 1;
    let step = span.div_ceil(POINTS_MAX) as i64 * HOUR_US;
    let count = span.div_ceil(usize::try_from(step / HOUR_US).unwrap_or(1));
    let empty = |at: usize| Hour {
        at_us: first.at_us + at as i64 * step,
        clicks: 0,
        before_micros: 0,
        after_micros: 0,
    };
    let mut points: Vec<_> = (0..count).map(empty).collect();
    for hour in hours {
        let at = usize::try_from((hour.at_us - first.at_us) / step).unwrap_or(0);
        if let Some(point) = points.get_mut(at) {
            point.clicks += hour.clicks;
            point.before_micros += hour.before_micros;
            point.after_micros += hour.after_micros;
        }
    }
    points
}

/// The top and the bottom line, what the top means, and the first and last instant.
fn frame(body: &mut String, points: &[Hour], top: &str) {
    let bottom = TOP + PLOT_HEIGHT;
    put(body, format_args!(r#"<line x1="0" y1="{TOP}" x2="{WIDTH}" y2="{TOP}" class="grid"/>"#));
    put(
        body,
        format_args!(r#"<line x1="0" y1="{bottom}" x2="{WIDTH}" y2="{bottom}" class="axis"/>"#),
    );
    put(body, format_args!(r#"<text x="0" y="10" class="faint">{top}</text>"#));
    for (point, x, anchor) in [(points.first(), 0, "start"), (points.last(), WIDTH, "end")] {
        if let Some(point) = point {
            let at = instant(point.at_us);
            let at = at.get(..16).unwrap_or(&at);
            let y = bottom + 16;
            put(
                body,
                format_args!(
                    r#"<text x="{x}" y="{y}" text-anchor="{anchor}" class="faint">{at}</text>"#
                ),
            );
        }
    }
}

fn across(at: usize, count: usize) -> i128 {
    let steps = count.saturating_sub(1).max(1) as i128;
    LEFT + (WIDTH - 2 * LEFT) * at as i128 / steps
}

/// `part` of `whole` on a scale of so many units.
fn scaled(part: u128, whole: u128, units: i128) -> i128 {
    let scaled = part.saturating_mul(units.unsigned_abs()).checked_div(whole).unwrap_or(0);
    i128::try_from(scaled).unwrap_or(units)
}

/// A name that fits beside its bar; the page's tables have all of it.
fn short(name: &str) -> String {
    const CHARS_MAX: usize = 19;
    if name.chars().count() <= CHARS_MAX {
        return escaped(name);
    }
    let kept: String = name.chars().take(CHARS_MAX - 1).collect();
    format!("{}\u{2026}", escaped(&kept))
}

fn svg(title: &str, height: i128, body: &str) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n{body}</svg>\n"
    )
}

fn put(body: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _written = writeln!(body, "{element}");
}
