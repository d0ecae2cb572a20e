package tollgate.flink;

import java.io.Serializable;
import java.net.URI;
import java.time.Duration;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;

/** The options of a table {@code 'connector' = 'redis'}, and how a writer treats the server. */
final class RedisOptions {
    static final ConfigOption<String> URL =
            ConfigOptions.key("url").stringType().noDefaultValue()
                    .withDescription("redis://[user:password@]host:port[/database], or rediss:// for TLS.");
    static final ConfigOption<String> USERNAME =
            ConfigOptions.key("username").stringType().noDefaultValue()
                    .withDescription("Instead of the one in the url.");
    static final ConfigOption<String> PASSWORD =
            ConfigOptions.key("password").stringType().noDefaultValue()
                    .withDescription("Instead of the one in the url; empty for none.");
    static final ConfigOption<String> COMMAND =
            ConfigOptions.key("command").stringType().noDefaultValue()
                    .withDescription("ZADD: a row says in which sorted set a member is. HSET: a row is a hash.");
    static final ConfigOption<String> KEY =
            ConfigOptions.key("key").stringType().noDefaultValue()
                    .withDescription("The key, with columns in braces: rtb:{placement}:{category}. HSET: columns of the primary key.");
    static final ConfigOption<String> MEMBER =
            ConfigOptions.key("member").stringType().noDefaultValue()
                    .withDescription("ZADD: the member, written like the key with columns of the primary key. It is in one set at a time.");
    static final ConfigOption<String> PLACES =
            ConfigOptions.key("places").stringType().noDefaultValue()
                    .withDescription("ZADD: key of the hash that remembers in which set each member is.");
    static final ConfigOption<String> SCORE =
            ConfigOptions.key("score").stringType().noDefaultValue()
                    .withDescription("ZADD: the column with the score, a number; NULL takes the member out.");
    static final ConfigOption<String> LEAVE_WHEN =
            ConfigOptions.key("leave-when").stringType().noDefaultValue()
                    .withDescription("ZADD: a column of truth values; TRUE leaves the member where it is, in a set or in none.");
    static final ConfigOption<String> NEWEST_BY =
            ConfigOptions.key("newest-by").stringType().noDefaultValue()
                    .withDescription("The column that orders the rows of a key; a row that is older than what was written changes nothing.");
    static final ConfigOption<Duration> TTL =
            ConfigOptions.key("ttl").durationType().noDefaultValue()
                    .withDescription("HSET: how long a hash lives after the time of 'newest-by', or after it was written when there is "
                            + "none; for ever by default.");
    static final ConfigOption<Integer> BATCH_ROWS =
            ConfigOptions.key("sink.batch.rows").intType().defaultValue(500)
                    .withDescription("Changes that are sent together at most.");
    static final ConfigOption<Duration> BATCH_INTERVAL =
            ConfigOptions.key("sink.batch.interval").durationType().defaultValue(Duration.ofMillis(200))
                    .withDescription("How long a change waits for others.");
    static final ConfigOption<Integer> RETRIES =
            ConfigOptions.key("sink.retries").intType().defaultValue(5)
                    .withDescription("How often a batch is sent again before the job fails and goes back to its checkpoint.");
    static final ConfigOption<Duration> BACKOFF =
            ConfigOptions.key("sink.retry.backoff").durationType().defaultValue(Duration.ofMillis(200))
                    .withDescription("The pause before the first retry; each next one doubles, up to 10 s.");
    static final ConfigOption<Duration> TIMEOUT =
            ConfigOptions.key("timeout").durationType().defaultValue(Duration.ofSeconds(5))
                    .withDescription("How long connecting and an answer may take.");

    /** Where the server is and how patient a writer is with it. */
    record Server(
            URI uri, String username, String password, int timeoutMs, int batchRows, long batchMs, int retries, long backoffMs)
            implements Serializable {
        boolean isTls() {
            return "rediss".equals(uri.getScheme());
        }

        int port() {
            return uri.getPort() < 0 ? 6379 : uri.getPort();
        }

        int database() {
            String path = uri.getPath() == null ? "" : uri.getPath().replace("/", "");
            return path.isEmpty() ? 0 : Integer.parseInt(path);
        }

        /** For people; without the password. */
        String address() {
            return uri.getHost() + ":" + port() + "/" + database();
        }
    }

    private RedisOptions() {}

    /** Reads and checks what concerns the server. */
    static Server server(ReadableConfig options) {
        URI uri = uri(options.get(URL));
        int batchRows = atLeast(1, BATCH_ROWS, options.get(BATCH_ROWS));
        int retries = atLeast(0, RETRIES, options.get(RETRIES));
        long batchMs = positiveMs(BATCH_INTERVAL, options.get(BATCH_INTERVAL));
        long backoffMs = positiveMs(BACKOFF, options.get(BACKOFF));
        int timeoutMs = Math.toIntExact(positiveMs(TIMEOUT, options.get(TIMEOUT)));
        String username = nonEmpty(options.getOptional(USERNAME).orElse(userInfo(uri, 0)));
        String password = nonEmpty(options.getOptional(PASSWORD).orElse(userInfo(uri, 1)));
        return new Server(uri, username, password, timeoutMs, batchRows, batchMs, retries, backoffMs);
    }

    static long positiveMs(ConfigOption<Duration> option, Duration value) {
        if (value.toMillis() < 1) {
            throw new ValidationException("'" + option.key() + "' is " + value + "; give a time of at least 1 ms, such as '200 ms'");
        }
        return value.toMillis();
    }

    private static URI uri(String url) {
        String example = "; write redis://host:6379, redis://user:password@host:6379/0, or rediss:// for TLS";
        URI uri;
        try {
            uri = URI.create(url);
        } catch (IllegalArgumentException error) {
            // The url itself may hold a password and stays out of the sentence.
            throw new ValidationException("'url' cannot be read" + example);
        }
        boolean isRedis = "redis".equals(uri.getScheme()) || "rediss".equals(uri.getScheme());
        if (!isRedis || uri.getHost() == null) {
            throw new ValidationException("'url' names no Redis server" + example);
        }
        String path = uri.getPath() == null ? "" : uri.getPath();
        if (!path.matches("/?|/\\d{1,4}")) {
            throw new ValidationException("'url' ends with the database '" + path + "', which is no number" + example);
        }
        return uri;
    }

    private static String userInfo(URI uri, int at) {
        String info = uri.getUserInfo();
        if (info == null) {
            return null;
        }
        String[] parts = info.split(":", 2);
        return at < parts.length ? parts[at] : null;
    }

    private static String nonEmpty(String text) {
        return text == null || text.isEmpty() ? null : text;
    }

    private static int atLeast(int least, ConfigOption<Integer> option, int value) {
        if (value < least) {
            throw new ValidationException("'" + option.key() + "' is " + value + "; the least is " + least);
        }
        return value;
    }
}
