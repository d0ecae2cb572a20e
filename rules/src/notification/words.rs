//! The words of every message, in English and in Korean.

use tollgate_sdk::happening::{Happening, Kind};
use tollgate_sdk::ratio::ratio_ppm;
use tollgate_sdk::shown::{amount, cut, grouped, one_line, percent};

/// Bytes that parts of strangers' making may take of a body, which is bounded as a whole.
const DETAIL_BYTES_MAX: usize = 2_000;
const COMPLAINT_BYTES_MAX: usize = 1_500;
const ENTRY_BYTES_MAX: usize = 80;
const ID_BYTES_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Korean,
}

impl Language {
    /// The language, English for an unknown one, and whether it is known.
    pub(super) fn read(name: &str) -> (Self, bool) {
        match name.trim() {
            "en" => (Self::English, true),
            "ko" => (Self::Korean, true),
            _ => (Self::English, false),
        }
    }

    fn of<T>(self, english: T, korean: T) -> T {
        match self {
            Self::English => english,
            Self::Korean => korean,
        }
    }
}

/// One line that says what happened to whom.
pub(super) fn title(language: Language, happening: &Happening) -> String {
    let what = what(language, happening);
    let more = match happening.kind {
        _ if happening.is_late() => usage(language, happening),
        Kind::Warning => usage(language, happening),
        Kind::DeadLetters => {
            let count = grouped(happening.count);
            language.of(format!(" ({count})"), format!(" ({count}건)"))
        }
        Kind::DuplicateRate => format!(" ({} %)", percent(happening.usage_ppm)),
        _ => String::new(),
    };
    let whom = match happening.kind {
        // They may be about an advertiser as a whole.
        Kind::DuplicateRate | Kind::AuditMismatch if happening.campaign.is_empty() => {
            &happening.advertiser
        }
        _ => &happening.campaign,
    };
    let whom = cut(whom, ID_BYTES_MAX);
    let colon = if whom.is_empty() { "" } else { ": " };
    format!("{what}{colon}{whom}{more}")
}

fn usage(language: Language, happening: &Happening) -> String {
    let usage = percent(happening.usage_ppm);
    language.of(format!(" at {usage} %"), format!(" 소진율 {usage}%"))
}

fn what(language: Language, happening: &Happening) -> &'static str {
    match happening.kind {
        _ if happening.is_late() => language.of("Late clicks", "지난 날짜의 지연 클릭"),
        Kind::Warning => language.of("Budget warning", "예산 경고"),
        Kind::Paused => language.of("Campaign paused", "캠페인 일시중지"),
        Kind::Resumed => language.of("Campaign resumed", "캠페인 재개"),
        Kind::DeadLetters => language.of("Dead letters", "처리 실패 이벤트"),
        Kind::RefundFailed => language.of("Refund failed", "환불 실패"),
        Kind::DuplicateRate => language.of("Many duplicate clicks", "중복 클릭 증가"),
        Kind::RuleFault => language.of("Rule fault", "규칙 오류"),
        Kind::PauseRefused => language.of("Pause refused", "일시중지 거부"),
        Kind::DeliveryFailed => language.of("Message not delivered", "알림 전송 실패"),
        Kind::AuditMismatch => language.of("Ledger does not add up", "원장 불일치"),
        Kind::PartitionHalted => language.of("Partition halted", "파티션 중단"),
    }
}

/// A sentence, the figures, what decided, and what the host has to say, each on a line of its own.
pub(super) fn body(language: Language, happening: &Happening) -> String {
    let sentence = match language {
        Language::English => english(happening),
        Language::Korean => korean(happening),
    };
    let mut lines = vec![sentence];
    lines.extend(figures(language, happening));
    if !happening.reason.is_empty() {
        let decided = language.of("Decided by", "판단 근거");
        lines.push(format!("{decided}: {}", cut(&happening.reason, ID_BYTES_MAX)));
    }
    if !happening.detail.is_empty() {
        lines.push(cut(&happening.detail, DETAIL_BYTES_MAX).into_owned());
    }
    lines.join("\n")
}

/// What ends every body when parameters cannot be read; else empty.
pub(super) fn complaint(language: Language, unknown: Option<&str>, entries: &[&str]) -> String {
    let quoted = |text: &str| format!("\"{}\"", one_line(&cut(text, ENTRY_BYTES_MAX)));
    let mut complaint = String::new();
    if let Some(unknown) = unknown {
        let shown = quoted(unknown);
        complaint += &format!("\nThe parameter language is {shown}, expected en or ko.");
    }
    if !entries.is_empty() {
        let mut named = String::new();
        for entry in entries {
            if named.len() > COMPLAINT_BYTES_MAX {
                named += ", …";
                break;
            }
            let comma = if named.is_empty() { "" } else { ", " };
            named = named + comma + &quoted(entry);
        }
        complaint += &language.of(
            format!("\nThe parameter advertiser_routes has entries that cannot be read: {named}"),
            format!("\nadvertiser_routes 설정에서 읽을 수 없는 항목: {named}"),
        );
    }
    complaint
}

fn english(happening: &Happening) -> String {
    let (who, level) = (english_who(happening), percent(happening.level_ppm));
    let day = if happening.day.is_empty() { "the day" } else { &*happening.day };
    let count = |one: &str, many: &str| match happening.count {
        0 | 1 => one.to_owned(),
        count => format!("{} {many}", grouped(count)),
    };
    match happening.kind {
        _ if happening.is_late() => format!(
            "Late clicks took {who} to {level} % of its daily budget of {day}. That day is over, \
             so nothing is paused."
        ),
        Kind::Warning => format!("{who} has reached {level} % of its daily budget of {day}."),
        Kind::Paused => format!(
            "{who} is paused: it has reached {level} % of its daily budget of {day}. It goes on \
             the next day, or as soon as its budget is raised."
        ),
        Kind::Resumed => format!("{who} is running again, as of {day}."),
        Kind::DeadLetters => count(
            "An event could not be processed and is kept as a dead letter.",
            "events could not be processed and are kept as dead letters.",
        ),
        Kind::RefundFailed => count("A refund failed.", "refunds failed."),
        Kind::DuplicateRate => format!(
            "{} % of the charged clicks of {} were duplicates and were given back; from {level} % on \
             this is told.",
            percent(happening.usage_ppm),
            english_whom(happening)
        ),
        Kind::RuleFault => count("A rule failed.", "calls of a rule failed."),
        Kind::PauseRefused => format!(
            "A rule asked to pause {who} for a usage of {} %, which was refused: the ledger's own \
             spend of {day} is too low for that. The campaign goes on. Check the spend counter in \
             Redis.",
            percent(happening.usage_ppm)
        ),
        Kind::DeliveryFailed => count("A message was given up.", "messages were given up."),
        Kind::AuditMismatch => {
            format!("The ledger does not add up for {}.", english_whom(happening))
        }
        Kind::PartitionHalted => {
            "A partition is not read any more: too many of its events became dead letters."
                .to_owned()
        }
    }
}

fn english_who(happening: &Happening) -> String {
    let campaign = cut(&happening.campaign, ID_BYTES_MAX);
    let advertiser = cut(&happening.advertiser, ID_BYTES_MAX);
    match (campaign.is_empty(), advertiser.is_empty()) {
        (true, true) => "A campaign".to_owned(),
        (true, false) => format!("A campaign of {advertiser}"),
        (false, true) => campaign.into_owned(),
        (false, false) => format!("{campaign} of {advertiser}"),
    }
}

/// A campaign, or an advertiser as a whole.
fn english_whom(happening: &Happening) -> String {
    match (happening.campaign.is_empty(), happening.advertiser.is_empty()) {
        (true, true) => "one place".to_owned(),
        (true, false) => cut(&happening.advertiser, ID_BYTES_MAX).into_owned(),
        (false, _) => english_who(happening),
    }
}

fn korean(happening: &Happening) -> String {
    let (who, level) = (korean_who(happening), percent(happening.level_ppm));
    let (day, count) = (&happening.day, grouped(happening.count.max(1)));
    match happening.kind {
        _ if happening.is_late() => format!(
            "뒤늦게 도착한 클릭으로 {who}의 {day} 일예산 소진율이 {level}%에 도달했습니다. \
             이미 지난 날짜이므로 일시중지되는 캠페인은 없습니다."
        ),
        Kind::Warning => format!("{who}의 {day} 일예산 소진율이 {level}%에 도달했습니다."),
        Kind::Paused => format!(
            "{who}의 {day} 일예산 소진율이 {level}%에 도달하여 캠페인이 일시중지되었습니다. \
             다음 날이 되거나 일예산을 증액하면 재개됩니다."
        ),
        Kind::Resumed => format!("{who}의 집행이 {day}부로 재개되었습니다."),
        Kind::DeadLetters => {
            format!("이벤트 {count}건을 처리하지 못해 데드레터로 보관했습니다.")
        }
        Kind::RefundFailed => format!("환불 {count}건이 실패했습니다."),
        Kind::DuplicateRate => format!(
            "{}의 과금 클릭 중 {}%가 중복으로 확인되어 환불되었습니다. 기준은 {level}%입니다.",
            korean_whom(happening),
            percent(happening.usage_ppm)
        ),
        Kind::RuleFault => format!("규칙 실행이 {count}회 실패했습니다."),
        Kind::PauseRefused => format!(
            "규칙이 소진율 {}%를 근거로 {who}의 일시중지를 요청했으나 거부되었습니다. \
             원장에 기록된 {day} 소진액이 그에 미치지 못하므로 캠페인은 계속 집행됩니다. \
             Redis의 소진액 카운터를 확인하세요.",
            percent(happening.usage_ppm)
        ),
        Kind::DeliveryFailed => format!("알림 {count}건의 전송을 포기했습니다."),
        Kind::AuditMismatch => format!("원장이 맞지 않습니다: {}.", korean_whom(happening)),
        Kind::PartitionHalted => "데드레터가 너무 많아 파티션 처리를 중단했습니다.".to_owned(),
    }
}

fn korean_who(happening: &Happening) -> String {
    let campaign = cut(&happening.campaign, ID_BYTES_MAX);
    let advertiser = cut(&happening.advertiser, ID_BYTES_MAX);
    match (campaign.is_empty(), advertiser.is_empty()) {
        (true, true) => "캠페인".to_owned(),
        (true, false) => format!("광고주 {advertiser}의 캠페인"),
        (false, true) => format!("캠페인 {campaign}"),
        (false, false) => format!("캠페인 {campaign}(광고주 {advertiser})"),
    }
}

/// A campaign, or an advertiser as a whole.
fn korean_whom(happening: &Happening) -> String {
    match (happening.campaign.is_empty(), happening.advertiser.is_empty()) {
        (true, true) => "한 곳".to_owned(),
        (true, false) => format!("광고주 {}", cut(&happening.advertiser, ID_BYTES_MAX)),
        (false, _) => korean_who(happening),
    }
}

/// Spend of the ledger and budget. The usage that decided can be another one, when the counter was ahead.
fn figures(language: Language, happening: &Happening) -> Option<String> {
    let spent = happening.spent_micros?;
    let shown = amount(spent);
    let Some(budget) = happening.budget_micros else {
        return Some(language.of(
            format!("Spent {shown}, no daily budget"),
            format!("소진액 {shown}, 일예산 없음"),
        ));
    };
    let total = amount(budget);
    Some(match ratio_ppm(spent, budget) {
        u32::MAX => language
            .of(format!("Spent {shown} of {total}"), format!("소진액 {shown} / 일예산 {total}")),
        usage => {
            let usage = percent(usage);
            language.of(
                format!("Spent {shown} of {total} ({usage} %)"),
                format!("소진액 {shown} / 일예산 {total} ({usage}%)"),
            )
        }
    })
}
