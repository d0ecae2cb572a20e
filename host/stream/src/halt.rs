//! Why a partition is not read, and how to go on.

const ONWARD: &str = " To go on: ";

/// A partition that is not read because reading it would skip something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Stable name: one of [`Halt::CODES`].
    pub code: &'static str,
    /// What was found, with the offsets.
    pub sentence: String,
    /// The command that goes on, for the operator who has understood what happened.
    pub command: String,
}

impl Halt {
    /// Every code. The last stands for a reason that is the ledger's own, such as a partition that a person stopped.
    pub const CODES: [&'static str; 6] = [
        "OFFSET_GONE",
        "LOG_TRUNCATED",
        "RECORD_DAMAGED",
        "TOPIC_RECREATED",
        "DEAD_LETTERS",
        "HALTED_BY_LEDGER",
    ];

    /// One text for logs and for the ledger.
    #[must_use]
    pub fn reason(&self) -> String {
        format!("{}: {}{ONWARD}{}", self.code, self.sentence, self.command)
    }

    /// Judges a wanted offset against the ends of the partition's log. `None` when it can be read.
    pub(crate) fn judge(
        topic: &str,
        partition: i32,
        wanted: i64,
        low: i64,
        high: i64,
    ) -> Option<Self> {
        let (code, sentence, onward) = if wanted < low {
            let gone = low - wanted;
            let sentence = format!(
                "the ledger wants offset {wanted}, the broker's oldest is {low}: {gone} offsets \
                 were deleted before they were billed."
            );
            ("OFFSET_GONE", sentence, low)
        } else if wanted > high {
            let sentence = format!(
                "the ledger wants offset {wanted}, the broker's log ends at {high}: it was \
                 truncated, or the topic was re-created."
            );
            ("LOG_TRUNCATED", sentence, high)
        } else {
            return None;
        };
        Some(Self { code, sentence, command: go_on(topic, partition, onward) })
    }

    /// A record that librdkafka cannot deliver and would pass over.
    pub(crate) fn damaged(topic: &str, partition: i32, at: i64, cause: &str) -> Self {
        Self {
            code: "RECORD_DAMAGED",
            sentence: format!("a record at or after offset {at} cannot be read: {cause}."),
            command: go_on(topic, partition, at + 1),
        }
    }

    /// The log was cut off below what was read already.
    pub(crate) fn truncated(topic: &str, partition: i32, at: i64, cause: &str) -> Self {
        Self {
            code: "LOG_TRUNCATED",
            sentence: format!("the log was cut off while it was read up to offset {at}: {cause}."),
            command: go_on(topic, partition, at),
        }
    }

    /// The topic has another id than the one that the ledger has read so far. `low` is where its log begins.
    #[must_use]
    pub fn recreated(topic: &str, partition: i32, low: i64, known_id: &str, id: &str) -> Self {
        Self {
            code: "TOPIC_RECREATED",
            sentence: format!(
                "the topic was created again: the ledger knows the id {known_id}, the broker gives {id}."
            ),
            command: format!(
                "tollgate partition go-on --topic {topic} --partition {partition} --offset {low} \
                 --accept-topic-id {id} --note \"{NOTE}\""
            ),
        }
    }

    /// Too many of the partition's records become dead letters; `at` is the first that is not written.
    #[must_use]
    pub fn flooded(topic: &str, partition: i32, at: i64, sentence: String) -> Self {
        Self { code: "DEAD_LETTERS", sentence, command: go_on(topic, partition, at) }
    }

    /// What the ledger answers: a reason that a lane told it before, or one of its own.
    pub(crate) fn by_ledger(topic: &str, partition: i32, low: i64, reason: &str) -> Self {
        let told = reason.split_once(": ").and_then(|(code, rest)| {
            let code = Self::CODES.into_iter().find(|known| *known == code)?;
            let (sentence, command) = rest.rsplit_once(ONWARD)?;
            Some(Self { code, sentence: sentence.to_owned(), command: command.to_owned() })
        });
        told.unwrap_or_else(|| Self {
            code: "HALTED_BY_LEDGER",
            sentence: reason.to_owned(),
            command: go_on(topic, partition, low),
        })
    }
}

/// Stands where the operator says why.
const NOTE: &str = "your reason";

fn go_on(topic: &str, partition: i32, offset: i64) -> String {
    format!(
        "tollgate partition go-on --topic {topic} --partition {partition} --offset {offset} --note \"{NOTE}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: i64, low: i64, high: i64, expected: Option<(&str, &str)>) {
        let halt = Halt::judge("ad-events", 3, wanted, low, high);
        let found = halt.as_ref().map(|halt| (halt.code, halt.command.as_str()));
        let command = |offset| {
            format!(
                "tollgate partition go-on --topic ad-events --partition 3 --offset {offset} --note \"your reason\""
            )
        };
        let expected = expected.map(|(code, offset)| (code, command(offset)));
        assert_eq!(found, expected.as_ref().map(|(code, command)| (*code, command.as_str())));
    }

    #[test]
    fn a_reason_that_the_ledger_kept_reads_as_it_was_told() {
        let told = Halt::damaged("ad-events", 3, 7, "it is broken: really");
        assert_eq!(Halt::by_ledger("ad-events", 3, 0, &told.reason()), told);
        let own = Halt::by_ledger("ad-events", 3, 5, "re-created: another id.");
        assert_eq!(
            (own.code, own.sentence.as_str()),
            ("HALTED_BY_LEDGER", "re-created: another id.")
        );
        assert!(own.command.contains("--partition 3 --offset 5 "));
        let recreated = Halt::recreated("ad-events", 3, 2, "old", "new");
        assert_eq!(Halt::by_ledger("ad-events", 3, 2, &recreated.reason()), recreated);
        let flooded = Halt::flooded("ad-events", 3, 7, "9 of 10 are dead: look.".into());
        assert_eq!(Halt::by_ledger("ad-events", 3, 2, &flooded.reason()), flooded);
        assert!(recreated.command.contains("--offset 2 --accept-topic-id new --note"));
    }

    #[test]
    fn only_an_offset_between_the_ends_is_read() {
        check(0, 0, 0, None);
        check(5, 5, 5, None);
        check(5, 0, 9, None);
        check(9, 0, 9, None);
        check(0, 1, 9, Some(("OFFSET_GONE", "1")));
        check(4, 5, 5, Some(("OFFSET_GONE", "5")));
        check(10, 0, 9, Some(("LOG_TRUNCATED", "9")));
        check(1, 0, 0, Some(("LOG_TRUNCATED", "0")));
    }
}
