package tollgate.flink;

import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.data.RowData;

/** A table of Redis that is written row by row: upserts, and deletions by primary key. */
final class RedisTableSink implements DynamicTableSink {
    private final RowMapper mapper;
    private final RedisOptions.Server server;
    private final Long ttlMs;
    private final Integer parallelism;

    RedisTableSink(RowMapper mapper, RedisOptions.Server server, Long ttlMs, Integer parallelism) {
        this.mapper = mapper;
        this.server = server;
        this.ttlMs = ttlMs;
        this.parallelism = parallelism;
    }

    @Override
    public ChangelogMode getChangelogMode(ChangelogMode requested) {
        return ChangelogMode.upsert();
    }

    @Override
    public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
        return SinkV2Provider.of(new RedisSink(mapper, server, ttlMs), parallelism);
    }

    @Override
    public DynamicTableSink copy() {
        return new RedisTableSink(mapper, server, ttlMs, parallelism);
    }

    @Override
    public String asSummaryString() {
        return "Redis";
    }

    /** What travels to the task managers. */
    record RedisSink(RowMapper mapper, RedisOptions.Server server, Long ttlMs) implements Sink<RowData> {
        @Override
        public SinkWriter<RowData> createWriter(WriterInitContext context) {
            return new RedisWriter(mapper, new JedisServer(server, mapper.newestBy(), ttlMs), server, context.getProcessingTimeService());
        }
    }
}
