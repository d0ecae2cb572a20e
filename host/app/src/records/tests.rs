use proptest::prelude::*;
use tollgate_domain::facts::{
    CampaignColumns, CampaignDayColumns, ClickColumns, CompensationColumns, Decisions,
    MovementColumns, PricingFacts, Quotes, RefundColumns, ThresholdFacts, Verdicts,
};
use tollgate_domain::transcript::{
    Call, ClickTranscript, Failure, JudgeCall, MovedDays, Outcome, RefundTranscript, Span,
};

use super::*;

/// A batch as the shipped rules see it, in one call each; neighbours differ as clicks do.
fn batch(clicks: u32, campaigns: u32) -> Transcript {
    let scatter = |at: u32, of: u32| at.wrapping_mul(2_654_435_761) % of.max(1);
    let rows = || 0..clicks;
    let campaign: Vec<u32> = rows().map(|at| scatter(at, campaigns)).collect();
    let amount = |campaign: &u32| i64::from(100 + scatter(*campaign, 900)) * 10_000;
    let amounts: Vec<i64> = campaign.iter().map(amount).collect();
    let table = CampaignColumns {
        stored_price_micros: (0..campaigns).map(|at| amount(&at)).collect(),
        cached_price_micros: (0..campaigns).map(|at| amount(&at)).collect(),
        ..CampaignColumns::default()
    };
    let span = |partition| Span {
        topic: "ad-events".into(),
        incarnation: 0,
        partition,
        clicks: if partition == 0 { clicks.div_ceil(2) } else { clicks / 2 },
    };
    let quotes = Quotes { charge_micros: amounts.clone(), reason: vec![1; clicks as usize] };
    let verdicts = Verdicts {
        action: vec![0; clicks as usize],
        level_ppm: vec![0; clicks as usize],
        usage_ppm: rows().map(|at| 100_000 + scatter(at, 500_000)).collect(),
        allowed_micros: amounts.clone(),
        reason: vec![2; clicks as usize],
    };
    let days = CampaignDayColumns {
        campaign: (0..campaigns).collect(),
        day: vec![20_778; campaigns as usize],
        daily_budget_micros: vec![1_000_000_000; campaigns as usize],
        spent_micros: (0..campaigns).map(|at| i64::from(scatter(at, 700_000)) * 1_000).collect(),
        counter_micros: vec![-1; campaigns as usize],
        warned_ppm: vec![0; campaigns as usize],
        pause_from_micros: vec![500_000_000; campaigns as usize],
        state: vec![4; campaigns as usize],
    };
    Transcript::from(ClickTranscript {
        spans: vec![span(0), span(1)],
        offsets: rows().map(|at| 1_000_000 + i64::from(at + at / 3)).collect(),
        pricing: PricingFacts {
            texts: vec![],
            campaigns: table.clone(),
            clicks: ClickColumns {
                campaign: campaign.clone(),
                occurred_at_ms: rows()
                    .map(|at| 1_795_219_200_000 + u64::from(at) + u64::from(scatter(at, 50)))
                    .collect(),
                bid_micros: rows().map(|at| i64::from(1 + scatter(at, 500)) * 10_000).collect(),
                actual_micros: vec![-1; clicks as usize],
                placement: rows().map(|at| scatter(at, 5) as u8).collect(),
                ..ClickColumns::default()
            },
        },
        price_calls: vec![Call { outcome: Outcome::Answered(quotes), first: 0, rows: clicks }],
        priced: rows().collect(),
        threshold: ThresholdFacts {
            texts: vec![],
            campaigns: table,
            days,
            movements: MovementColumns { campaign_day: campaign, amount_micros: amounts },
        },
        judge_calls: vec![JudgeCall {
            moved: MovedDays::default(),
            call: Call { first: 0, rows: clicks, outcome: Outcome::Answered(verdicts) },
        }],
    })
}

fn refund() -> Transcript {
    let failure = Failure { code: "FENCE_BREACH".into(), sentence: "more than the day".into() };
    let decisions = Decisions { action: vec![1], refund_micros: vec![7_000_000], reason: vec![3] };
    Transcript::from(RefundTranscript {
        facts: RefundColumns {
            texts: vec![String::new(), "device-우".into()],
            compensations: CompensationColumns {
                campaign_day: vec![0],
                claimed_micros: vec![7_000_000],
                matched_generation: vec![u64::MAX],
                device: vec![1],
                ..CompensationColumns::default()
            },
            ..RefundColumns::default()
        },
        outcome: Outcome::Refused(decisions, failure),
        resume: None,
    })
}

fn encode(transcript: &Transcript) -> Vec<u8> {
    RecordEncoder::new().unwrap().encode(transcript).unwrap()
}

#[test]
fn what_is_encoded_comes_back() {
    let mut encoder = RecordEncoder::new().unwrap();
    for transcript in [batch(0, 0), batch(1, 1), batch(300, 40), refund(), batch(4_096, 500)] {
        let bytes = encoder.encode(&transcript).unwrap();
        assert_eq!(decode(&bytes), Ok(transcript));
    }
}

/// Whoever changes the types of a transcript changes what these bytes mean, and has to raise the format.
#[test]
fn the_format_is_what_it_was() {
    let plain = postcard::to_allocvec(&refund()).unwrap();
    let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!("refund", hex);
    let plain = postcard::to_allocvec(&batch(2, 1)).unwrap();
    let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
    insta::assert_snapshot!("clicks", hex);
}

#[test]
fn what_is_no_record_has_a_code() {
    fn check(bytes: &[u8], code: &str) {
        assert_eq!(decode(bytes).unwrap_err().code(), code, "{bytes:?}");
    }
    check(&[], "RECORD_DAMAGED");
    check(&[3], "RECORD_FORMAT");
    for format in [PLAIN, PACKED] {
        check(&[format], "RECORD_DAMAGED");
        check(&[format, 9, 9, 9], "RECORD_DAMAGED");
    }
    // A frame that claims to hold 2^62 bytes.
    check(&[2, 0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0], "RECORD_DAMAGED");
    for transcript in [refund(), batch(500, 9)] {
        let mut long = encode(&transcript);
        long.push(0);
        check(&long, "RECORD_DAMAGED");
    }
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(at: prop::sample::Index, bits in 1..=255_u8) {
        let mut bytes = encode(&batch(100, 3));
        assert_eq!(bytes[0], PACKED);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        // A bit of the frame's header that nothing depends on may change without harm.
        prop_assert!(decode(&bytes).map_or(true, |decoded| decoded == batch(100, 3)));
    }

    /// Below the checksum, where it cannot help: reading damaged tables gives nothing rather than a panic.
    #[test]
    fn damaged_tables_are_read_without_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut plain = postcard::to_allocvec(&batch(20, 3)).unwrap();
        for (at, byte) in &changes {
            let at = at.index(plain.len());
            plain[at] = *byte;
        }
        let Ok((Transcript::Clicks(read), _)) = postcard::take_from_bytes(&plain) else {
            return Ok(());
        };
        for call in &read.price_calls {
            let facts = read.pricing_facts(call);
            prop_assert!(facts.is_none_or(|facts| facts.clicks.len() == call.range().len()));
        }
        for at in 0..read.judge_calls.len() {
            let rows = read.judge_calls[at].call.range().len();
            let facts = read.threshold_facts(at);
            prop_assert!(facts.is_none_or(|facts| facts.movements.campaign_day.len() == rows));
        }
        for offset in 999_990..1_000_040 {
            let row = read.row_of(("ad-events", 0, 0), offset);
            prop_assert!(row.is_none_or(|row| read.offsets[row] == offset));
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let packed = zstd::bulk::compress(&bytes, 1).unwrap();
        for framed in [framed(PLAIN, &bytes), framed(PACKED, &packed)] {
            if let Ok(decoded) = decode(&framed) {
                prop_assert_eq!(decode(&encode(&decoded)), Ok(decoded));
            }
        }
    }
}

/// `cargo test --release -p tollgate records_cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, not a check"]
fn records_cost() {
    let mut encoder = RecordEncoder::new().unwrap();
    for clicks in [1, 256, 4_096] {
        let transcript = batch(clicks, (clicks / 4).clamp(1, 1_000));
        let rounds = 400_000 / clicks;
        let started = std::time::Instant::now();
        let mut bytes = 0;
        for _ in 0..rounds {
            bytes = encoder.encode(&transcript).unwrap().len();
        }
        let ns = started.elapsed().as_nanos() / u128::from(rounds) / u128::from(clicks);
        let started = std::time::Instant::now();
        let mut plain = 0;
        for _ in 0..rounds {
            plain = encoder.serialize(&transcript).unwrap();
        }
        let plain_ns = started.elapsed().as_nanos() / u128::from(rounds) / u128::from(clicks);
        println!(
            "{clicks} clicks: {bytes} bytes, {ns} ns a click; before zstd {plain}, {plain_ns}"
        );
    }
}
