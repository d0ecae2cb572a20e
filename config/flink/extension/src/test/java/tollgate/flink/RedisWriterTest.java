package tollgate.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.BooleanType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.table.types.logical.VarCharType;
import org.apache.flink.types.RowKind;
import org.junit.jupiter.api.Test;

class RedisWriterTest {
    private static final RedisOptions.Server OPTIONS =
            new RedisOptions.Server(URI.create("redis://user:secret@host"), null, null, 1, 3, 100, 2, 1);

    private static final String VERSION = "2024-01-15 10:30:00.000000";

    /** Notes the batches that it takes, and fails as often as it is told to. */
    private static final class Notes implements RedisWriter.Server {
        final List<List<Change>> batches = new ArrayList<>();
        int failures;

        @Override
        public void send(Collection<Change> changes) {
            if (failures > 0) {
                failures--;
                throw new IllegalStateException("away");
            }
            batches.add(List.copyOf(changes));
        }

        @Override
        public void close() {}
    }

    /** A clock that stands still until it is told to ring. */
    private static final class Clock implements ProcessingTimeService {
        final List<ProcessingTimeCallback> timers = new ArrayList<>();

        @Override
        public long getCurrentProcessingTime() {
            return 0;
        }

        @Override
        public ScheduledFuture<?> registerTimer(long at, ProcessingTimeCallback target) {
            timers.add(target);
            return null;
        }

        void ring() throws Exception {
            for (ProcessingTimeCallback timer : List.copyOf(timers)) {
                timers.remove(timer);
                timer.onProcessingTime(0);
            }
        }
    }

    private final Notes notes = new Notes();
    private final Clock clock = new Clock();
    private final RedisWriter ranks = new RedisWriter(rankMapper(), notes, OPTIONS, clock);
    private final RedisWriter hashes = new RedisWriter(hashMapper(), notes, OPTIONS, clock);

    private static RowMapper rankMapper() {
        List<String> names = List.of("category", "campaign_id", "bid_price", "is_unknown", "version");
        VarCharType text = VarCharType.STRING_TYPE;
        List<LogicalType> types = List.of(text, text, new DecimalType(18, 6), new BooleanType(), text);
        Template key = Template.parse("key", "rtb:{category}", names);
        Template member = Template.parse("member", "{campaign_id}", names);
        return RowMapper.ofMembers(names, types, key, member, "places", new RowMapper.Columns(2, 3, 4));
    }

    private static RowMapper hashMapper() {
        List<String> names = List.of("campaign_id", "clicks", "window_end");
        List<LogicalType> types = List.of(VarCharType.STRING_TYPE, VarCharType.STRING_TYPE, new TimestampType(3));
        return RowMapper.ofHashes(names, types, Template.parse("key", "metrics:{campaign_id}", names), 2);
    }

    private static RowData rank(RowKind kind, String category, String campaign, String bid) {
        return rank(kind, category, campaign, bid, false, VERSION);
    }

    private static RowData rank(RowKind kind, String category, String campaign, String bid, boolean isUnknown, String version) {
        DecimalData score = bid == null ? null : DecimalData.fromBigDecimal(new java.math.BigDecimal(bid), 18, 6);
        return GenericRowData.ofKind(
                kind, StringData.fromString(category), StringData.fromString(campaign), score, isUnknown, StringData.fromString(version));
    }

    private static RowData hash(String campaign, String clicks, long endMs) {
        return GenericRowData.of(
                StringData.fromString(campaign), StringData.fromString(clicks), TimestampData.fromEpochMillis(endMs));
    }

    private static Change.Member member(String key, String member, String score) {
        return new Change.Member(new Change.Target("places", member), key, score, VERSION);
    }

    private static Change.Member gone(String member) {
        return member("", member, null);
    }

    /** What a deletion knows: the primary key, and no version. */
    private static Change.Member deleted(String member) {
        return new Change.Member(new Change.Target("places", member), "", null, null);
    }

    @Test
    void aFullBatchLeavesAtOnceAndTheRestWithTheClock() throws Exception {
        for (String campaign : List.of("a", "b", "c", "d")) {
            ranks.write(rank(RowKind.INSERT, "x", campaign, "1.5"), null);
        }
        assertEquals(List.of(3), notes.batches.stream().map(List::size).toList());
        clock.ring();
        assertEquals(List.of(member("rtb:x", "d", "1.500000")), notes.batches.get(1));
        clock.ring();
        assertEquals(2, notes.batches.size());
    }

    @Test
    void aCheckpointLeavesNothingBehind() throws Exception {
        ranks.write(rank(RowKind.INSERT, "x", "a", "1"), null);
        ranks.write(rank(RowKind.DELETE, "x", "b", null), null);
        ranks.flush(false);
        assertEquals(List.of(List.of(member("rtb:x", "a", "1.000000"), deleted("b"))), notes.batches);
    }

    @Test
    void aMemberOfWhichTooLittleIsKnownIsLeftWhereItIs() throws Exception {
        ranks.write(rank(RowKind.INSERT, "x", "a", "1"), null);
        ranks.write(rank(RowKind.UPDATE_AFTER, null, "a", null, true, VERSION), null);
        ranks.write(rank(RowKind.INSERT, "x", "b", null, true, VERSION), null);
        ranks.flush(false);
        assertEquals(List.of(List.of(member("rtb:x", "a", "1.000000"))), notes.batches);
    }

    @Test
    void anOlderMemberDoesNotReplaceANewerOneOfTheBatch() throws Exception {
        ranks.write(rank(RowKind.INSERT, "x", "a", "2"), null);
        ranks.write(rank(RowKind.UPDATE_AFTER, "x", "a", "1", false, "0"), null);
        ranks.write(rank(RowKind.UPDATE_AFTER, "x", "b", "1", false, "0"), null);
        ranks.write(rank(RowKind.DELETE, "x", "b", null), null);
        ranks.flush(false);
        assertEquals(List.of(List.of(member("rtb:x", "a", "2.000000"), deleted("b"))), notes.batches);
    }

    @Test
    void theLastChangeOfAMemberWinsWhereverItWas() throws Exception {
        ranks.write(rank(RowKind.INSERT, "x", "a", "1"), null);
        ranks.write(rank(RowKind.UPDATE_AFTER, "y", "a", "2"), null);
        ranks.write(rank(RowKind.INSERT, "x", "b", "1"), null);
        ranks.write(rank(RowKind.UPDATE_AFTER, "x", "b", null), null);
        ranks.flush(false);
        assertEquals(List.of(List.of(member("rtb:y", "a", "2.000000"), gone("b"))), notes.batches);
    }

    @Test
    void anOlderHashDoesNotReplaceANewerOneOfTheBatch() throws Exception {
        hashes.write(hash("a", "2", 2_000), null);
        hashes.write(hash("a", "1", 1_000), null);
        hashes.write(hash("b", "3", 1_000), null);
        hashes.write(hash("b", "4", 1_000), null);
        hashes.flush(false);
        List<String> clicks = notes.batches.get(0).stream().map(change -> ((Change.Hash) change).fields().get("clicks")).toList();
        assertEquals(List.of("2", "4"), clicks);
        assertEquals("1970-01-01T00:00:02.000Z", ((Change.Hash) notes.batches.get(0).get(0)).version());
    }

    @Test
    void aServerThatComesBackHasLostNothing() throws Exception {
        notes.failures = 2;
        ranks.write(rank(RowKind.INSERT, "x", "a", "1"), null);
        ranks.flush(false);
        assertEquals(List.of(List.of(member("rtb:x", "a", "1.000000"))), notes.batches);
    }

    @Test
    void aServerThatStaysAwayFailsTheJobAndTheSentenceKeepsThePassword() throws Exception {
        notes.failures = 3;
        ranks.write(rank(RowKind.INSERT, "x", "a", "1"), null);
        IOException error = assertThrows(IOException.class, () -> ranks.flush(false));
        assertTrue(error.getMessage().startsWith("Redis at host:6379/0 has not taken 1 changes after 3 attempts"), error.getMessage());
        assertTrue(!error.getMessage().contains("secret"));
    }
}
