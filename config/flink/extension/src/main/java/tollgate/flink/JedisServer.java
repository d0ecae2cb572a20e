package tollgate.flink;

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
     * Writes a hash, unless the field ARGV[1] of the one that is there is greater than ARGV[2]. ARGV[3] is the time to live
     * in milliseconds, 0 for ever; what follows are fields and values.
     */
    private static final String HSET_NEWEST = """
            local there = redis.call('HGET', KEYS[1], ARGV[1])
            if there and there > ARGV[2] then return 0 end
            redis.call('HSET', KEYS[1], unpack(ARGV, 4))
            if ARGV[3] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
            return 1
            """;

    /**
     * Puts the member ARGV[1] into the sorted set ARGV[2] with the score ARGV[3], or into none when there is no score, and
     * takes it out of the set where the hash KEYS[1] says it is.
     */
    private static final String PLACE = """
            local before = redis.call('HGET', KEYS[1], ARGV[1])
            if before and (before ~= ARGV[2] or ARGV[3] == '') then redis.call('ZREM', before, ARGV[1]) end
            if ARGV[3] == '' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
            redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
            return redis.call('ZADD', ARGV[2], ARGV[3], ARGV[1])
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
            String score = member.score() == null ? "" : member.score();
            answers.add(pipeline.eval(PLACE, List.of(key), List.of(member.target().member(), member.key(), score)));
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

    private List<String> arguments(Change.Hash hash) {
        List<String> arguments = new ArrayList<>(List.of(newestBy, hash.version(), Long.toString(ttlMs)));
        for (Map.Entry<String, String> field : hash.fields().entrySet()) {
            arguments.add(field.getKey());
            arguments.add(field.getValue());
        }
        return arguments;
    }
}
