package tollgate.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.catalog.UniqueConstraint;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RedisTableFactoryTest {
    private static final ResolvedSchema SCHEMA = new ResolvedSchema(
            List.of(
                    Column.physical("category", DataTypes.STRING()),
                    Column.physical("campaign_id", DataTypes.STRING().notNull()),
                    Column.physical("bid_price", DataTypes.DECIMAL(18, 6)),
                    Column.physical("clicks", DataTypes.BIGINT()),
                    Column.physical("is_unknown", DataTypes.BOOLEAN()),
                    Column.physical("window_end", DataTypes.TIMESTAMP(3))),
            List.of(),
            UniqueConstraint.primaryKey("key", List.of("campaign_id")),
            List.of());

    private static final Map<String, String> RANKS = Map.of(
            "url", "redis://host", "command", "ZADD", "key", "rtb:{category}", "member", "{campaign_id}", "places", "rtb-places",
            "score", "bid_price", "newest-by", "window_end", "leave-when", "is_unknown");

    private static final Map<String, String> HASHES =
            Map.of("url", "redis://host", "command", "hset", "key", "metrics:{campaign_id}", "newest-by", "window_end", "ttl", "1 h");

    private static void make(Map<String, String> options) {
        Configuration configuration = Configuration.fromMap(options);
        RedisTableFactory.mapper(configuration, SCHEMA);
        RedisOptions.server(configuration);
    }

    @Test
    void whatIsMeantIsTaken() {
        make(RANKS);
        make(with(RANKS, "newest-by", "category"));
        make(without(RANKS, "newest-by", "leave-when"));
        make(HASHES);
        make(without(HASHES, "newest-by", "ttl"));
    }

    /** One option that is changed, or taken away, and a part of the sentence about it. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "command | SADD | there are ZADD and HSET",
        "key | rtb:{nobody} | names the column 'nobody'",
        "key | rtb:{category | without }",
        "member | {bid_price} | not part of the primary key",
        "member | | needs 'member'",
        "places | | needs 'places'",
        "score | | needs 'score'",
        "score | nobody | names the column 'nobody'",
        "score | campaign_id | a score is a number",
        "ttl | 1 h | means nothing to 'command' = 'ZADD'",
        "newest-by | clicks | has to be a timestamp or a text",
        "newest-by | nobody | names the column 'nobody'",
        "leave-when | clicks | has to be BOOLEAN",
        "leave-when | nobody | names the column 'nobody'",
        "url | localhost:6379 | names no Redis server",
        "url | http://host | names no Redis server",
        "url | redis://host/zero | no number",
        "url | redis://us er:secret@host | cannot be read",
        "sink.batch.rows | 0 | the least is 1",
        "sink.retries | -1 | the least is 0",
        "sink.batch.interval | 0 ms | at least 1 ms",
    })
    void mistakesAreNamed(String option, String value, String part) {
        check(RANKS, option, value, part);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "score | bid_price | means nothing to 'command' = 'HSET'",
        "places | rtb-places | means nothing to 'command' = 'HSET'",
        "key | metrics:{clicks} | not part of the primary key",
        "leave-when | is_unknown | means nothing to 'command' = 'HSET'",
        "newest-by | category | has to be a timestamp",
        "newest-by | nobody | names the column 'nobody'",
    })
    void mistakesAboutHashesAreNamed(String option, String value, String part) {
        check(HASHES, option, value, part);
    }

    private static void check(Map<String, String> good, String option, String value, String part) {
        Map<String, String> options = value == null ? without(good, option) : with(good, option, value);
        ValidationException error = assertThrows(ValidationException.class, () -> make(options));
        assertTrue(error.getMessage().contains(part), error.getMessage());
        assertTrue(!error.getMessage().contains("secret"), error.getMessage());
    }

    private static Map<String, String> with(Map<String, String> good, String option, String value) {
        Map<String, String> options = new HashMap<>(good);
        options.put(option, value);
        return options;
    }

    private static Map<String, String> without(Map<String, String> good, String... options) {
        Map<String, String> rest = new HashMap<>(good);
        rest.keySet().removeAll(List.of(options));
        return rest;
    }

    @ParameterizedTest
    @CsvSource({
        "redis://host, host:6379/0, , ",
        "redis://host:7000/3, host:7000/3, , ",
        "rediss://:secret@host, host:6379/0, , secret",
        "redis://user:se:cret@host/1, host:6379/1, user, se:cret",
    })
    void urlsSayWhereAndWho(String url, String address, String username, String password) {
        RedisOptions.Server server = RedisOptions.server(Configuration.fromMap(Map.of("url", url)));
        assertEquals(address, server.address());
        assertEquals(username, server.username());
        assertEquals(password, server.password());
    }
}
