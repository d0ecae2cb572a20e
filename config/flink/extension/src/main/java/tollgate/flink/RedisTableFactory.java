package tollgate.flink;

import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Predicate;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.catalog.UniqueConstraint;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.LogicalTypeRoot;

/** Tables {@code 'connector' = 'redis'}: rows become places in sorted sets (ZADD) or hashes (HSET). */
public final class RedisTableFactory implements DynamicTableSinkFactory {
    @Override
    public String factoryIdentifier() {
        return "redis";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(RedisOptions.URL, RedisOptions.COMMAND, RedisOptions.KEY);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(
                RedisOptions.USERNAME, RedisOptions.PASSWORD, RedisOptions.MEMBER, RedisOptions.PLACES, RedisOptions.SCORE,
                RedisOptions.LEAVE_WHEN, RedisOptions.NEWEST_BY, RedisOptions.TTL, RedisOptions.BATCH_ROWS, RedisOptions.BATCH_INTERVAL, RedisOptions.RETRIES,
                RedisOptions.BACKOFF, RedisOptions.TIMEOUT, FactoryUtil.SINK_PARALLELISM);
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        ReadableConfig options = helper.getOptions();
        ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
        Long ttlMs = options.getOptional(RedisOptions.TTL).map(RedisTableFactory::ttlMs).orElse(null);
        Integer parallelism = options.getOptional(FactoryUtil.SINK_PARALLELISM).orElse(null);
        return new RedisTableSink(mapper(options, schema), RedisOptions.server(options), ttlMs, parallelism);
    }

    private static long ttlMs(Duration ttl) {
        return RedisOptions.positiveMs(RedisOptions.TTL, ttl);
    }

    /** Checks what concerns the rows. */
    static RowMapper mapper(ReadableConfig options, ResolvedSchema schema) {
        List<String> names = schema.getColumnNames();
        List<LogicalType> types = schema.getColumns().stream().map(Column::getDataType).map(type -> type.getLogicalType()).toList();
        List<String> primary = schema.getPrimaryKey().map(UniqueConstraint::getColumns).orElse(List.of());
        String keyText = options.get(RedisOptions.KEY);
        String command = options.get(RedisOptions.COMMAND).toUpperCase(Locale.ROOT);
        switch (command) {
            case "ZADD" -> {
                refuse(options, command, RedisOptions.TTL);
                Template key = Template.parse(RedisOptions.KEY.key(), keyText, names);
                Template member = keyTemplate(RedisOptions.MEMBER, required(options, command, RedisOptions.MEMBER), names, primary);
                String places = required(options, command, RedisOptions.PLACES);
                int score = column(RedisOptions.SCORE, required(options, command, RedisOptions.SCORE), names);
                if (!types.get(score).is(LogicalTypeFamily.NUMERIC)) {
                    throw new ValidationException("'score' is the column '" + names.get(score) + "' of type " + types.get(score)
                            + "; a score is a number");
                }
                int leave = optional(RedisOptions.LEAVE_WHEN, options, names);
                check(RedisOptions.LEAVE_WHEN, leave, names, types, "BOOLEAN", type -> type.is(LogicalTypeRoot.BOOLEAN));
                int version = optional(RedisOptions.NEWEST_BY, options, names);
                check(RedisOptions.NEWEST_BY, version, names, types, "a timestamp or a text", RedisTableFactory::sorts);
                return RowMapper.ofMembers(names, types, key, member, places, new RowMapper.Columns(score, leave, version));
            }
            case "HSET" -> {
                refuse(options, command, RedisOptions.MEMBER, RedisOptions.PLACES, RedisOptions.SCORE, RedisOptions.LEAVE_WHEN);
                Template key = keyTemplate(RedisOptions.KEY, keyText, names, primary);
                int version = optional(RedisOptions.NEWEST_BY, options, names);
                // Hashes expire by it.
                check(RedisOptions.NEWEST_BY, version, names, types, "a timestamp", type -> type.is(LogicalTypeFamily.TIMESTAMP));
                return RowMapper.ofHashes(names, types, key, version);
            }
            default -> throw new ValidationException("'command' is '" + command + "'; there are ZADD and HSET");
        }
    }

    /** Deletions carry nothing but the primary key, so that is what names their target. */
    private static Template keyTemplate(ConfigOption<String> option, String text, List<String> names, List<String> primary) {
        Template template = Template.parse(option.key(), text, names);
        if (primary.isEmpty()) {
            throw new ValidationException("the table has no primary key; declare PRIMARY KEY (...) NOT ENFORCED with the columns of '" + option.key() + "'");
        }
        for (int column : template.columns()) {
            if (!primary.contains(names.get(column))) {
                throw new ValidationException("'" + option.key() + "' names the column '" + names.get(column)
                        + "', which is not part of the primary key " + primary);
            }
        }
        return template;
    }

    private static boolean sorts(LogicalType type) {
        return type.is(LogicalTypeFamily.TIMESTAMP) || type.is(LogicalTypeFamily.CHARACTER_STRING);
    }

    /** The column that an option names; -1 when it is not given. */
    private static int optional(ConfigOption<String> option, ReadableConfig options, List<String> names) {
        return options.getOptional(option).map(name -> column(option, name, names)).orElse(-1);
    }

    private static void check(
            ConfigOption<String> option, int column, List<String> names, List<LogicalType> types, String wanted, Predicate<LogicalType> fits) {
        if (column >= 0 && !fits.test(types.get(column))) {
            throw new ValidationException("'" + option.key() + "' is the column '" + names.get(column) + "' of type " + types.get(column)
                    + "; it has to be " + wanted);
        }
    }

    private static int column(ConfigOption<String> option, String name, List<String> names) {
        int column = names.indexOf(name);
        if (column < 0) {
            throw new ValidationException("'" + option.key() + "' names the column '" + name + "', and the table has " + names);
        }
        return column;
    }

    private static String required(ReadableConfig options, String command, ConfigOption<String> option) {
        return options.getOptional(option)
                .orElseThrow(() -> new ValidationException("'command' = '" + command + "' needs '" + option.key() + "': " + option.description()));
    }

    private static void refuse(ReadableConfig options, String command, ConfigOption<?>... others) {
        for (ConfigOption<?> option : others) {
            if (options.getOptional(option).isPresent()) {
                throw new ValidationException("'" + option.key() + "' means nothing to 'command' = '" + command + "'; leave it out");
            }
        }
    }
}
