use super::*;

fn problems(world: World, text: &str) -> Vec<String> {
    match Cases::parse(world, "f.toml", text) {
        Ok(_) => Vec::new(),
        Err(CasesError::Unreadable { problems }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        Err(other) => vec![other.to_string()],
    }
}

/// One case with this in `given` and `expect`, on lines 2 and 3.
fn check(world: World, given: &str, expect: &str, expected: &[&str]) {
    let text = format!("[[case]]\ngiven = {{ {given} }}\nexpect = {{ {expect} }}\nname = \"a\"\n");
    let found = problems(world, &text);
    assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{text}\nfound {found}\nexpected {expected}");
    }
}

#[test]
fn every_fact_of_pricing_is_read_strictly() {
    let check = |given, expected: &[&str]| check(World::Pricing, given, "charge = 1", expected);
    check("", &[]);
    check("campaign = { id = \"a\", advertiser = \"b\", stored_price = \"0.5\" }", &[]);
    check("campaign = { cached_price = \"none\", balance = \"-3\" }", &[]);
    check("campaign = { stored_price = 3 }", &[]);
    check("campaign = { stored_price = 0.5 }", &["f.toml:2: `stored_price` is not an amount"]);
    check("campaign = { stored_price = \"1e3\" }", &["not an amount"]);
    check("campaign = { stored_price = \"0.0000001\" }", &["more than 6 decimals"]);
    check("campaign = { stored_prise = \"1\" }", &["unknown key `stored_prise`; known here: `adv"]);
    check("campaign = 3", &["f.toml:2: `campaign` is a integer, expected a table"]);
    check("campaigns = [{ id = \"a\" }, { id = \"a\" }], click = {}", &["\"a\" is given twice"]);
    check("campaigns = []", &["f.toml:2: `campaigns` needs at least one row"]);
    check("campaign = {}, campaigns = [{}]", &["give `campaign` or `campaigns`, not both"]);
    check("click = { campaign = \"x\" }", &["there is no campaign \"x\" here; given: campaign_1"]);
    check("click = { local_time = \"02:30\", weekday = \"sunday\" }", &[]);
    check("click = { local_time = \"24:00\" }", &["`local_time` is not a time such as"]);
    check("click = { local_time = 230 }", &["`local_time` is not a time such as"]);
    check("click = { weekday = \"Sun\" }", &["`weekday` is not a weekday such as \"monday\""]);
    check("click = { placement = \"HOME\" }", &[]);
    check("click = { placement = \"home\" }", &["`placement` is not one of \"OTHER\", \"HOME\""]);
    check("click = { occurred_at = 2026-11-20T02:30:00+09:00 }", &[]);
    check("click = { occurred_at = \"2026-11-20T02:30:00Z\" }", &[]);
    check("click = { occurred_at = \"2026-11-20T02:30:00\" }", &["`occurred_at` is not an inst"]);
    check("click = { category = 1 }", &["`category` is not a text"]);
    check("klick = {}", &["unknown key `klick`; known here: `campaign`, `campaigns`, `click`"]);
    check("clicks = [{}, 3]", &["`clicks` is a integer, expected a table"]);
}

#[test]
fn every_fact_of_the_other_worlds_is_read_strictly() {
    let threshold = |given, expected: &[&str]| {
        check(World::Threshold, given, "action = \"keep\"", expected);
    };
    threshold("movement = { amount = \"-1.5\" }", &[]);
    threshold("day = { date = 2026-01-05, warned = \"0.9\", pause_from = \"never\" }", &[]);
    threshold("day = { date = \"05.01.2026\" }", &["`date` is not a date such as \"2026-01-05\""]);
    threshold("day = { warned = \"-0.9\" }", &["`warned` is out of bounds"]);
    threshold("day = { today = 1 }", &["`today` is not true or false"]);
    threshold("day = { today = false }, movement = { date = \"2026-01-06\" }", &["no day that"]);
    threshold("day = { spent = \"a lot\" }", &["`spent` is not an amount"]);
    let refund = |given, expected: &[&str]| {
        check(World::Refund, given, "action = \"park\"", expected);
    };
    refund("compensation = { claimed = \"1\", duplicate_count = 3 }", &[]);
    refund("compensation = { duplicate_count = -3 }", &["`duplicate_count` is not a whole number"]);
    refund("compensation = { amount = \"1\" }", &["unknown key `amount`"]);
    let notification = |given, expected: &[&str]| {
        check(World::Notification, given, "messages = []", expected);
    };
    notification("happening = { kind = \"paused\", level = \"1.00\", spent = \"3\" }", &[]);
    notification("happening = { kind = \"PAUSED\" }", &["`kind` is not one of \"warning\", "]);
    notification("happening = { minutes_since_last = 1.5 }", &["`minutes_since_last` is not a"]);
}

#[test]
fn what_is_expected_is_read_strictly() {
    let pricing = |expect, expected: &[&str]| check(World::Pricing, "", expect, expected);
    pricing("charge = \"0.90\", reason = \"R\"", &[]);
    pricing("fault = \"RULE_TRAP\"", &[]);
    pricing("quotes = [{ charge = 1 }]", &[]);
    pricing("quotes = [{ charge = 1 }, { charge = 1 }]", &["2 rows are expected and 1 are given"]);
    pricing("", &["nothing is expected; name fields such as `charge`"]);
    pricing("charge = 0.9", &["`charge` is not a decimal as text"]);
    pricing("fault = \"OOPS\"", &["`fault` is not one of \"RULE_TRAP\", "]);
    pricing("fault = \"RULE_TRAP\", charge = 1", &["expect fields, or `quotes`, or a `fault`"]);
    pricing(
        "refund = 1",
        &["nothing is expected", "unknown key `refund`; known here: `charge`, `fault`"],
    );
    let threshold = |expect, expected: &[&str]| check(World::Threshold, "", expect, expected);
    threshold("action = \"warn\", level = \"0.9\", usage = \"0.9\", allowed = \"1\"", &[]);
    threshold("action = \"stop\"", &["`action` is not one of \"keep\", \"warn\""]);
    let messages = |expect, expected: &[&str]| check(World::Notification, "", expect, expected);
    messages("messages = []", &[]);
    messages("title = \"a\", body_has = [\"b\", \"c\"], delay_minutes = 3", &[]);
    messages("body_has = [3]", &["`body_has` is not a text"]);
    messages("delay_minutes = \"3\"", &["`delay_minutes` is not a whole number"]);
}

#[test]
fn files_are_read_strictly() {
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(problems(World::Pricing, text), expected, "{text}");
    }
    check("[[case]]\nname = \"a\"\n[case.expect]\ncharge = 1", &[]);
    check("", &["f.toml:1: there is no case; begin one with [[case]]"]);
    check(
        "[[case]]\n[case.expect]\ncharge = 1",
        &["f.toml:1: this case has no `name`; say in a few words what it shows"],
    );
    check(
        "[[case]]\nname = \"a\"\nexpect.charge = 1\n\n[[case]]\nname = \"a\"\nexpect.charge = 1",
        &["f.toml:5: there are two cases named \"a\""],
    );
    check(
        "[[case]]\nname = \"a\"\nexpected.charge = 1",
        &[
            "f.toml:1: nothing is expected; name fields such as `charge`, a list `quotes`, or a `fault`",
            "f.toml:3: unknown key `expected`; known here: `expect`, `given`, `name`, `params`",
        ],
    );
    check(
        "[[case]]\nname = \"a\"\nparams.x = 0.5\nexpect.charge = 1",
        &["f.toml:3: parameter `x` is not a text, a whole number, true, false or a list"],
    );
    check(
        "[defaults.given.click]\ndevise = \"x\"\n[[case]]\nname = \"a\"\nexpect.charge = 1",
        &[
            "f.toml:2: unknown key `devise`; known here: `actual`, `ad`, `bid`, `campaign`, `category`, `device`, \
             `local_time`, `occurred_at`, `placement`, `product`, `search_term`, `weekday`",
        ],
    );
}

#[test]
fn broken_toml_names_its_line() {
    let found = problems(World::Pricing, "[[case]]\nname = \"a\nexpect.charge = 1");
    assert!(found[0].starts_with("f.toml:2: "), "{found:?}");
}

#[test]
fn defaults_lie_under_every_case() {
    let text = r#"
        [defaults.given]
        campaign = { stored_price = "2", id = "shared" }
        click = { placement = "HOME", bid = "3" }
        [[case]]
        name = "one"
        given.click = { placement = "SEARCH" }
        expect.charge = 1
        [[case]]
        name = "several"
        given.campaigns = [{ id = "a" }, { id = "b", stored_price = "5" }]
        given.clicks = [{ campaign = "b" }, { bid = "none" }]
        expect.quotes = [{ charge = 1 }, { charge = 2 }]
    "#;
    let cases = Cases::parse(World::Pricing, "f.toml", text).expect("cases");
    let facts = |at: usize| match &cases.cases[at].given {
        Given::Pricing(given) => given.facts(tollgate_domain::rule::Needs::default()),
        other => panic!("{other:?}"),
    };
    let one = facts(0);
    assert_eq!(one.campaigns.stored_price_micros, [2_000_000]);
    assert_eq!((one.clicks.placement, one.clicks.bid_micros), (vec![4], vec![3_000_000]));
    let several = facts(1);
    assert_eq!(several.campaigns.stored_price_micros, [2_000_000, 5_000_000]);
    assert_eq!(several.clicks.campaign, [1, 0]);
    assert_eq!(several.clicks.placement, [1, 1]);
    assert_eq!(several.clicks.bid_micros, [3_000_000, -1]);
}

#[test]
fn an_instant_says_the_local_time() {
    fn check(click: &str, minute: u16, weekday: u8, at_ms: u64) {
        let text =
            format!("[[case]]\nname = \"a\"\nexpect.charge = 1\ngiven.click = {{ {click} }}");
        let cases = Cases::parse(World::Pricing, "f.toml", &text).expect("cases");
        let Given::Pricing(given) = &cases.cases[0].given else { panic!("not of pricing") };
        let needs = tollgate_domain::rule::Needs { local_time: true, ..Default::default() };
        let clicks = given.facts(needs).clicks;
        let found = (clicks.local_minute[0], clicks.weekday[0], clicks.occurred_at_ms[0]);
        assert_eq!(found, (minute, weekday, at_ms), "{click}");
    }
    check("", 720, 1, 1_767_614_400_000);
    check("occurred_at = 2026-01-05T12:00:00Z", 720, 1, 1_767_614_400_000);
    check("occurred_at = 2026-01-05T21:00:00+09:00", 1_260, 1, 1_767_614_400_000);
    check(
        "occurred_at = 2026-01-05T21:00:00+09:00, local_time = \"00:01\"",
        1,
        1,
        1_767_614_400_000,
    );
    check("weekday = \"sunday\"", 720, 7, 1_767_614_400_000);
}
