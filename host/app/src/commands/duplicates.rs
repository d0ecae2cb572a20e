//! `tollgate duplicates`

use comfy_table::{Table, presets};
use serde_json::json;
use tollgate_ledger::{ClickCount, DuplicateRate, DuplicateRates, RateFilter, Window};

use super::{load, open_ledger, runtime, unavailable};
use crate::channels::rfc3339;
use crate::cli::{Duplicates, WindowChoice};
use crate::exit::Exit;

pub(super) fn execute(arguments: &Duplicates) -> anyhow::Result<Exit> {
    let config = load(&arguments.common, None)?;
    let filter = RateFilter {
        advertiser: arguments.advertiser.clone(),
        campaign: arguments.campaign.clone(),
        clicks_min: arguments.clicks_min.into(),
        top: arguments.top as usize,
    };
    let mut rates = runtime()?.block_on(async {
        let mut ledger = open_ledger(&config).await?;
        ledger.duplicate_rates(&filter).await.map_err(|error| unavailable(&error))
    })?;
    let wanted = arguments.window.map(window);
    rates.rates.retain(|rate| wanted.is_none_or(|window| window == rate.window));
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&rates, wanted))?);
    } else {
        print_tables(&rates, wanted);
    }
    Ok(Exit::Ok)
}

fn window(choice: WindowChoice) -> Window {
    match choice {
        WindowChoice::FiveMinutes => Window::FiveMinutes,
        WindowChoice::Hour => Window::Hour,
        WindowChoice::Day => Window::Day,
    }
}

fn totals(rates: &DuplicateRates, wanted: Option<Window>) -> Vec<(Window, ClickCount)> {
    let totals = Window::ALL.into_iter().zip(rates.totals);
    totals.filter(|(window, _)| wanted.is_none_or(|wanted| wanted == *window)).collect()
}

fn print_tables(rates: &DuplicateRates, wanted: Option<Window>) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header(["window", "of", "id", "clicks", "duplicates", "rate"]);
    for (window, count) in totals(rates, wanted) {
        table.add_row(cells(window, "all", "", count));
    }
    for rate in &rates.rates {
        table.add_row(cells(rate.window, rate.scope.as_str(), id(rate), rate.count));
    }
    println!("{table}");
    println!(
        "Duplicates are charges that refunds gave back. Windows end at {}.",
        rfc3339(rates.as_of_us)
    );
}

fn id(rate: &DuplicateRate) -> &str {
    if rate.campaign.is_empty() { &rate.advertiser } else { &rate.campaign }
}

fn cells(window: Window, scope: &str, id: &str, count: ClickCount) -> [String; 6] {
    let ppm = count.rate_ppm();
    [
        window.as_str().to_owned(),
        scope.to_owned(),
        id.to_owned(),
        count.clicks.to_string(),
        count.duplicates.to_string(),
        format!("{}.{:02} %", ppm / 10_000, ppm / 100 % 100),
    ]
}

fn to_json(rates: &DuplicateRates, wanted: Option<Window>) -> serde_json::Value {
    let total = |(window, count): (Window, ClickCount)| {
        json!({
            "window": window.as_str(),
            "clicks": count.clicks,
            "duplicates": count.duplicates,
            "rate_ppm": count.rate_ppm(),
        })
    };
    let rate = |rate: &DuplicateRate| {
        json!({
            "scope": rate.scope.as_str(),
            "window": rate.window.as_str(),
            "advertiser_id": rate.advertiser,
            "campaign_id": rate.campaign,
            "clicks": rate.count.clicks,
            "duplicates": rate.count.duplicates,
            "rate_ppm": rate.count.rate_ppm(),
        })
    };
    json!({
        "as_of": rfc3339(rates.as_of_us),
        "totals": totals(rates, wanted).into_iter().map(total).collect::<Vec<_>>(),
        "rates": rates.rates.iter().map(rate).collect::<Vec<_>>(),
    })
}
