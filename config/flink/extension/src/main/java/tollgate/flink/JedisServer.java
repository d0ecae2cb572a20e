package tollgate.flink;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;

/** One connection to Redis, made when it is needed and again after a failure. */
final class JedisServer implements RedisWriter.Server {
    /**
     * Writes a hash, unless the field ARGV[1] of the one that is there is greater than ARGV[2]. ARGV[3] is when it ends, in
     * milliseconds since 1970, 0 for never; one that would have ended by now ends at once. What follows are fields and values.
     */
    private static final String HSET_NEWEST = """
            local there = redis.call('HGET', KEYS[1], ARGV[1])
            if there and there > ARGV[2] then return 0 end
            redis.call('HSET', KEYS[1], unpack(ARGV, 4))
            if ARGV[3] ~= '0' then redis.call('PEXPIREAT', KEYS[1], ARGV[3]) end
            return 1
            """;

    /**
     * Puts the member ARGV[1] into the sorted set ARGV[2] with the score ARGV[3], or into none when there is no score, and
     * takes it out of the set where the hash KEYS[1] says it is. With a version ARGV[4] the hash says that, too, in a line
     * before the set, also of members that are in none; and what is older than it changes nothing.
     */
    private static final String PLACE = """
            local before, version = redis.call('HGET', KEYS[1], ARGV[1]) or '', ''
            local line = string.find(before, '\\n', 1, true)
            if line then before, version = string.sub(before, line + 1), string.sub(before, 1, line - 1) end
            if ARGV[4] ~= '' and version > ARGV[4] then return 0 end
            local set = ARGV[3] == '' and '' or ARGV[2]
            if before ~= '' and before ~= set then redis.call('ZREM', before, ARGV[1]) end
            if ARGV[4] ~= '' then
              redis.call('HSET', KEYS[1], ARGV[1], ARGV[4] .. '\\n' .. set)
            elseif set == '' then
              redis.call('HDEL', KEYS[1], ARGV[1])
            else
              redis.call('HSET', KEYS[1], ARGV[1], set)
            end
            if set ~= '' then redis.call('ZADD', set, ARGV[3], ARGV[1]) end
            return 1
            """;

    private final RedisOptions.Server options;
    private final String newestBy;
    private final long ttlMs;
    private Jedis connection;

    JedisServer(RedisOptions.Server options, String newestBy, Long ttlMs) {
        this.options = options;
        this.newestBy = newestBy;
        this.ttlMs = ttlMs == null ? 0 : ttlMs;
    }

    @Override
    public void send(Collection<Change> changes) {
        try {
            Pipeline pipeline = connection().pipelined();
            List<Response<?>> answers = new ArrayList<>();
            changes.forEach(change -> put(pipeline, change, answers));
            pipeline.sync();
            // An answer that is an error throws here.
            answers.forEach(Response::get);
        } catch (RuntimeException error) {
            close();
            throw error;
        }
    }

    @Override
    public void close() {
        if (connection != null) {
            try {
                connection.close();
            } catch (RuntimeException ignored) {
                // The connection was broken, and is gone either way.
            }
            connection = null;
        }
    }

    private Jedis connection() {
        if (connection == null) {
            DefaultJedisClientConfig config = DefaultJedisClientConfig.builder()
                    .user(options.username())
                    .password(options.password())
                    .database(options.database())
                    .ssl(options.isTls())
                    .connectionTimeoutMillis(options.timeoutMs())
                    .socketTimeoutMillis(options.timeoutMs())
                    .clientName("tollgate-flink")
                    .build();
            connection = new Jedis(new HostAndPort(options.uri().getHost(), options.port()), config);
        }
        return connection;
    }

    private void put(Pipeline pipeline, Change change, List<Response<?>> answers) {
        String key = change.target().key();
        if (change instanceof Change.Member member) {
            List<String> arguments = List.of(member.target().member(), member.key(), orEmpty(member.score()), orEmpty(member.version()));
            answers.add(pipeline.eval(PLACE, List.of(key), arguments));
        } else if (change instanceof Change.Hash hash) {
            if (hash.fields() == null) {
                answers.add(pipeline.del(key));
            } else if (hash.version() != null) {
                answers.add(pipeline.eval(HSET_NEWEST, List.of(key), arguments(hash)));
            } else {
                answers.add(pipeline.hset(key, hash.fields()));
                if (ttlMs > 0) {
                    answers.add(pipeline.pexpire(key, ttlMs));
                }
            }
        }
    }

    private static String orEmpty(String text) {
        return text == null ? "" : text;
    }

    /** A hash that is written again after a long time must not look new, so its life begins with its version. */
    private List<String> arguments(Change.Hash hash) {
        Instant begin = hash.version().isEmpty() ? Instant.now() : Instant.parse(hash.version());
        long endMs = ttlMs == 0 ? 0 : begin.toEpochMilli() + ttlMs;
        List<String> arguments = new ArrayList<>(List.of(newestBy, hash.version(), Long.toString(endMs)));
        for (Map.Entry<String, String> field : hash.fields().entrySet()) {
            arguments.add(field.getKey());
            arguments.add(field.getValue());
        }
        return arguments;
    }
}
