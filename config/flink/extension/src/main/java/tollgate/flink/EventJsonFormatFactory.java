package tollgate.flink;

import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;

/** Makes the format {@code 'event-json'}, which takes the records that tollgate takes and no others. */
public final class EventJsonFormatFactory implements DeserializationFormatFactory {
    static final ConfigOption<MemorySize> PAYLOAD_BYTES_MAX =
            ConfigOptions.key("payload-bytes-max").memoryType().defaultValue(MemorySize.ofMebiBytes(1))
                    .withDescription("Greatest length of a record.");
    static final ConfigOption<MemorySize> TEXT_BYTES_MAX =
            ConfigOptions.key("text-bytes-max").memoryType().defaultValue(new MemorySize(1 << 10))
                    .withDescription("Greatest length of a text that the table has a column for.");
    static final ConfigOption<Boolean> NUMBERS_AS_TEXT =
            ConfigOptions.key("numbers-as-text").booleanType().defaultValue(true)
                    .withDescription("Whether a column for a text takes numbers, true and false as they are written.");
    static final ConfigOption<Boolean> KEEP_REFUSED =
            ConfigOptions.key("keep-refused").booleanType().defaultValue(false)
                    .withDescription("Whether a refused record is a row without values; its metadata `refusal` says why.");

    @Override
    public String factoryIdentifier() {
        return "event-json";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of();
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(PAYLOAD_BYTES_MAX, TEXT_BYTES_MAX, NUMBERS_AS_TEXT, KEEP_REFUSED);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        return new EventJsonFormat(limits(options), options.get(KEEP_REFUSED));
    }

    private static EventReader.Limits limits(ReadableConfig options) {
        return new EventReader.Limits(
                bytes(PAYLOAD_BYTES_MAX, options), bytes(TEXT_BYTES_MAX, options), options.get(NUMBERS_AS_TEXT));
    }

    private static int bytes(ConfigOption<MemorySize> option, ReadableConfig options) {
        long bytes = options.get(option).getBytes();
        if (bytes < 1 || bytes > Integer.MAX_VALUE) {
            throw new ValidationException("'event-json." + option.key() + "' is " + bytes + " bytes; give a size from '1 b' to '1 gb'");
        }
        return (int) bytes;
    }
}
