package tollgate.flink;

import java.io.IOException;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.table.data.RowData;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Collects changes and sends them together: when there are enough, when the oldest has waited long enough, and before
 * each checkpoint. A batch that cannot be sent is tried again; then the writer fails, and the job goes back to its
 * checkpoint. Changes say what there has to be, whatever was there, so sending one twice changes nothing.
 */
final class RedisWriter implements SinkWriter<RowData> {
    private static final Logger LOG = LoggerFactory.getLogger(RedisWriter.class);
    private static final long BACKOFF_MS_MAX = 10_000;

    /** The server, as far as a writer needs it. */
    interface Server extends AutoCloseable {
        /** Sends changes in one round trip; throws when it is not sure that all of them were carried out. */
        void send(Collection<Change> changes);

        @Override
        void close();
    }

    private final RowMapper mapper;
    private final Server server;
    private final RedisOptions.Server options;
    private final ProcessingTimeService time;
    /** In the order of their last change; the last change of a target wins. */
    private final Map<Change.Target, Change> waiting = new LinkedHashMap<>();

    private boolean isTimerSet;

    RedisWriter(RowMapper mapper, Server server, RedisOptions.Server options, ProcessingTimeService time) {
        this.mapper = mapper;
        this.server = server;
        this.options = options;
        this.time = time;
    }

    @Override
    public void write(RowData row, Context context) throws IOException, InterruptedException {
        Change change = mapper.change(row);
        if (change == null) {
            return;
        }
        waiting.merge(change.target(), change, Change::later);
        if (waiting.size() >= options.batchRows()) {
            send();
        } else if (!isTimerSet) {
            isTimerSet = true;
            time.registerTimer(time.getCurrentProcessingTime() + options.batchMs(), at -> {
                isTimerSet = false;
                send();
            });
        }
    }

    @Override
    public void flush(boolean isEnd) throws IOException, InterruptedException {
        send();
    }

    @Override
    public void close() {
        server.close();
    }

    private void send() throws IOException, InterruptedException {
        if (waiting.isEmpty()) {
            return;
        }
        long pauseMs = options.backoffMs();
        for (int attempt = 0; ; attempt++) {
            try {
                server.send(waiting.values());
                waiting.clear();
                return;
            } catch (RuntimeException error) {
                if (attempt >= options.retries()) {
                    throw new IOException("Redis at " + options.address() + " has not taken " + waiting.size() + " changes after "
                            + (attempt + 1) + " attempts; see whether it is up, and which user and password it wants", error);
                }
                LOG.warn("Redis at {} does not take {} changes; trying again in {} ms", options.address(), waiting.size(), pauseMs, error);
            }
            Thread.sleep(pauseMs);
            pauseMs = Math.min(pauseMs * 2, BACKOFF_MS_MAX);
        }
    }
}
