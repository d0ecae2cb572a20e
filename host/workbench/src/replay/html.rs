//! The result as a page of its own: no network, no script, light and dark, for a desk and a phone.

use std::fmt::Write as _;

use super::change::percent;
use super::plots;
use super::report::{Crossed, Line, Moved, Report, RuleAbout};
use super::table::{COUNTS, grouped, instant, left_out, level_text, money, signed};

const STYLE: &str = include_str!("style.css");

/// Rows of one table, and bars of the plot of differences, at most.
const ROWS_MAX: usize = 200;
const BARS_MAX: usize = 12;

/// The page.
#[must_use]
pub fn html(report: &Report) -> String {
    let title = title(report);
    let mut body = String::new();
    cards(&mut body, report);
    figures(&mut body, report);
    sides(&mut body, report);
    crossings(&mut body, report);
    movers(&mut body, "Advertisers", &report.advertisers);
    movers(&mut body, "Campaigns", &report.campaigns);
    reasons(&mut body, report);
    rules(&mut body, report);
    costs(&mut body, report);
    foot(&mut body, report);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{}{body}</main>\n</body>\n</html>\n",
        subtitle(report)
    )
}

/// A text as it stands in HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter => safe.push(letter),
        }
    }
    safe
}

fn title(report: &Report) -> String {
    let changed = report.about.after.iter().filter(|rule| !report.about.before.contains(rule));
    let names: Vec<_> = changed.map(|rule| format!("{} {}", rule.name, rule.version)).collect();
    let names = if names.is_empty() { "the same rules".to_owned() } else { names.join(" and ") };
    escaped(&format!("Replay of {names}"))
}

fn subtitle(report: &Report) -> String {
    let mut text = escaped(&report.about.source);
    if let (Some(first), Some(last)) = (report.totals.first_us, report.totals.last_us) {
        text.push_str(&format!("; clicks of {} to {} UTC", instant(first), instant(last)));
    }
    format!("<p class=\"subtitle\">{text}</p>\n")
}

fn cards(body: &mut String, report: &Report) {
    let totals = &report.totals;
    let class = direction(totals.difference_micros);
    let after = &totals.after;
    let share = percent(totals.change_ppm);
    let cards = [
        ("difference", class, signed(totals.difference_micros), share),
        ("charged before", "", money(totals.before.charged_micros), clicks(totals.before.charged)),
        ("charged after", "", money(after.charged_micros), clicks(after.charged)),
        (
            "clicks that change",
            "",
            grouped(totals.clicks_changed),
            format!("of {}", grouped(totals.clicks)),
        ),
        (
            "newly paused",
            "",
            grouped(report.newly_paused.len() as u64),
            format!("{} no longer", grouped(report.no_longer_paused.len() as u64)),
        ),
        (
            "newly warned",
            "",
            grouped(report.newly_warned.len() as u64),
            format!("{} no longer", grouped(report.no_longer_warned.len() as u64)),
        ),
    ];
    put(body, "<section class=\"cards\">");
    for (name, class, value, note) in cards {
        put(
            body,
            &format!(
                "<div class=\"card\"><span>{name}</span><b class=\"{class}\">{value}</b><small>{note}</small></div>"
            ),
        );
    }
    put(body, "</section>");
}

fn clicks(count: u64) -> String {
    format!("{} clicks", grouped(count))
}

fn figures(body: &mut String, report: &Report) {
    let moved = report.campaigns.iter().filter(|line| line.difference_micros != 0);
    let movers: Vec<_> = moved.take(BARS_MAX).collect();
    put(body, "<section class=\"plots\">");
    if !movers.is_empty() {
        figure(body, "The largest differences by campaign", "", &plots::movers(&movers));
    }
    let clicks = plots::histogram("Clicks", &report.click_changes);
    figure(body, "Clicks by the change of what they cost", "", &clicks);
    let campaigns = plots::histogram("Campaigns", &report.campaign_changes);
    figure(body, "Campaigns by the change of what they cost", "", &campaigns);
    let key = "<span class=\"key before\"></span>before <span class=\"key after\"></span>after";
    figure(body, "Charged over time", key, &plots::charged(&report.hours));
    figure(body, "Difference over time", "", &plots::differences(&report.hours));
    put(body, "</section>");
}

fn figure(body: &mut String, title: &str, key: &str, plot: &str) {
    if !plot.is_empty() {
        put(body, &format!("<figure><figcaption>{title} {key}</figcaption>\n{plot}</figure>"));
    }
}

fn sides(body: &mut String, report: &Report) {
    let (before, after) = (&report.totals.before, &report.totals.after);
    let counts = COUNTS.iter().map(|(name, count)| {
        let (before, after) = (count(before), count(after));
        let difference = i128::from(after) - i128::from(before);
        let difference = signed(difference * 1_000_000);
        vec![(*name).to_owned(), grouped(before), grouped(after), difference]
    });
    let overspent = after.overspent_micros - before.overspent_micros;
    let overspent = vec![
        "charged after a pause".to_owned(),
        money(before.overspent_micros),
        money(after.overspent_micros),
        signed(overspent),
    ];
    let rows: Vec<_> = counts.chain([overspent]).collect();
    section(body, "Both sides", &["", "before", "after", "difference"], &rows, 1);
    for (side, totals) in [("before", before), ("after", after)] {
        if let Some(fault) = &totals.first_fault {
            put(body, &format!("<p>The first fault {side}: {}</p>", escaped(fault)));
        }
    }
}

fn crossings(body: &mut String, report: &Report) {
    let lists = [
        ("Newly paused", &report.newly_paused),
        ("No longer paused", &report.no_longer_paused),
        ("Newly warned", &report.newly_warned),
        ("No longer warned", &report.no_longer_warned),
    ];
    for (title, crossed) in lists {
        let row = |crossed: &Crossed| {
            let budget = crossed.daily_budget_micros;
            vec![
                escaped(&crossed.campaign),
                escaped(&crossed.advertiser),
                crossed.day.clone(),
                instant(crossed.at_us),
                level_text(crossed.level_ppm),
                money(crossed.spent_micros.into()),
                budget.map_or("none".to_owned(), |budget| money(budget.into())),
            ]
        };
        let header = ["campaign", "advertiser", "day", "at (UTC)", "level", "spent", "budget"];
        list(body, title, &header, crossed, row, 4);
    }
    let header = ["campaign", "day", "before (UTC)", "after (UTC)"];
    let row = |moved: &Moved| {
        let (before, after) = (instant(moved.before_us), instant(moved.after_us));
        vec![escaped(&moved.campaign), moved.day.clone(), before, after]
    };
    list(body, "Paused at another click", &header, &report.pauses_moved, row, 4);
    list(body, "Warned about at another click", &header, &report.warnings_moved, row, 4);
}

fn movers(body: &mut String, title: &str, lines: &[Line]) {
    let is_campaign = lines.first().is_some_and(|line| !line.campaign.is_empty());
    let row = |line: &Line| {
        let class = direction(line.difference_micros);
        let difference = signed(line.difference_micros);
        let mut row = vec![escaped(&line.advertiser)];
        if is_campaign {
            row.insert(0, escaped(&line.campaign));
        }
        row.extend([
            grouped(line.clicks_before),
            grouped(line.clicks_after),
            money(line.before_micros),
            money(line.after_micros),
            format!("<span class=\"{class}\">{difference}</span>"),
            percent(line.change_ppm),
        ]);
        row
    };
    let figures = ["clicks before", "after", "charged before", "after", "difference", "change"];
    let mut header = if is_campaign { vec!["campaign"] } else { Vec::new() };
    header.push("advertiser");
    let words = header.len();
    header.extend(figures);
    list(body, title, &header, lines, row, words);
}

fn reasons(body: &mut String, report: &Report) {
    let header =
        ["price from", "reason", "clicks before", "after", "charged before", "charged after"];
    list(
        body,
        "Answers by reason",
        &header,
        &report.reasons,
        |reason| {
            vec![
                escaped(&reason.source),
                escaped(&reason.reason),
                grouped(reason.clicks_before),
                grouped(reason.clicks_after),
                money(reason.before_micros),
                money(reason.after_micros),
            ]
        },
        2,
    );
}

fn rules(body: &mut String, report: &Report) {
    let sides = [("before", &report.about.before), ("after", &report.about.after)];
    let rules = sides.iter().flat_map(|(side, rules)| rules.iter().map(move |rule| (*side, rule)));
    let row = |(side, rule): (&str, &RuleAbout)| {
        let params = rule.params.iter().map(|(name, value)| format!("{name} = {value}"));
        vec![
            side.to_owned(),
            escaped(&rule.kind),
            escaped(&format!("{} {}", rule.name, rule.version)),
            escaped(&rule.origin),
            format!("<code>{}</code>", escaped(rule.digest.get(..12).unwrap_or(&rule.digest))),
            escaped(&params.collect::<Vec<_>>().join(", ")),
        ]
    };
    let rows: Vec<_> = rules.map(row).collect();
    let header = ["side", "kind", "rule", "from", "digest", "parameters"];
    section(body, "Rules", &header, &rows, header.len());
}

fn costs(body: &mut String, report: &Report) {
    let header = ["rule", "side", "calls", "clicks", "fuel a click", "ns a click"];
    list(
        body,
        "What the rules cost",
        &header,
        &report.costs,
        |cost| {
            vec![
                escaped(&cost.kind),
                cost.side.clone(),
                grouped(cost.calls),
                grouped(cost.rows),
                grouped(cost.fuel_per_row),
                grouped(cost.ns_per_row),
            ]
        },
        2,
    );
}

fn foot(body: &mut String, report: &Report) {
    put(body, "<footer>");
    let totals = &report.totals;
    let (records, skipped) = (grouped(totals.records), grouped(totals.skipped));
    let read = format!(
        "{records} records: {} clicks, {skipped} other events, {} that cannot be read.",
        grouped(totals.clicks),
        grouped(totals.unreadable)
    );
    let speed = format!(
        "Replayed in {} ms, {} clicks a second. Amounts are in currency units.",
        grouped(report.elapsed_ms),
        grouped(report.clicks_per_s)
    );
    let notes = report.about.notes.iter().chain([&report.about.beginning]).cloned();
    for note in left_out(report).into_iter().chain(notes).chain([read, speed]) {
        put(body, &format!("<p>{}</p>", escaped(&note)));
    }
    put(body, "</footer>");
}

/// A table of a list, when there is anything in it.
fn list<T>(
    body: &mut String,
    title: &str,
    header: &[&str],
    items: &[T],
    row: impl Fn(&T) -> Vec<String>,
    words: usize,
) {
    if items.is_empty() {
        return;
    }
    let rows: Vec<_> = items.iter().take(ROWS_MAX).map(row).collect();
    let count = grouped(items.len() as u64);
    let title = if items.len() > ROWS_MAX {
        format!("{title} <small>{count}, the first {ROWS_MAX} are shown; --json has all</small>")
    } else {
        format!("{title} <small>{count}</small>")
    };
    section(body, &title, header, &rows, words);
}

/// Cells are HTML already; the first `words` columns are texts, the others numbers.
fn section(body: &mut String, title: &str, header: &[&str], rows: &[Vec<String>], words: usize) {
    put(body, &format!("<section>\n<h2>{title}</h2>\n<div class=\"wide\"><table>"));
    let cells = |tag: &str, cells: &[String]| {
        let cell = |(at, cell): (usize, &String)| {
            let class = if at < words { "" } else { " class=\"number\"" };
            format!("<{tag}{class}>{cell}</{tag}>")
        };
        cells.iter().enumerate().map(cell).collect::<String>()
    };
    let header: Vec<_> = header.iter().map(|name| (*name).to_owned()).collect();
    put(body, &format!("<thead><tr>{}</tr></thead>\n<tbody>", cells("th", &header)));
    for row in rows {
        put(body, &format!("<tr>{}</tr>", cells("td", row)));
    }
    put(body, "</tbody>\n</table></div>\n</section>");
}

fn direction(difference: i128) -> &'static str {
    match difference {
        0 => "",
        1.. => "up",
        _ => "down",
    }
}

fn put(body: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _written = writeln!(body, "{line}");
}
