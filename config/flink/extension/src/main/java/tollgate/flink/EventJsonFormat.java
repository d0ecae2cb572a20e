package tollgate.flink;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.utils.DataTypeUtils;

/**
 * The format {@code 'event-json'}. Of a refused record the metadata {@code refusal} says why, and {@code payload} is the
 * record as text, in which bytes that are no UTF-8 are replaced.
 */
final class EventJsonFormat implements DecodingFormat<DeserializationSchema<RowData>> {
    private final EventReader.Limits limits;
    private final boolean keepsRefused;
    private List<String> metadata = List.of();

    EventJsonFormat(EventReader.Limits limits, boolean keepsRefused) {
        this.limits = limits;
        this.keepsRefused = keepsRefused;
    }

    @Override
    public DeserializationSchema<RowData> createRuntimeDecoder(DynamicTableSource.Context context, DataType columns) {
        RowType row = (RowType) columns.getLogicalType();
        for (RowType.RowField field : row.getFields()) {
            if (!EventReader.canRead(field.getType())) {
                throw new ValidationException("the column '" + field.getName() + "' is of type " + field.getType()
                        + "; 'event-json' reads texts as STRING and amounts as DECIMAL");
            }
        }
        List<LogicalType> types = row.getChildren();
        List<DataTypes.Field> more = metadata.stream().map(key -> DataTypes.FIELD(key, listReadableMetadata().get(key))).toList();
        DataType produced = DataTypeUtils.appendRowFields(columns, more);
        EventReader reader = new EventReader(row.getFieldNames(), types, limits);
        return new EventDeserializer(reader, types.size(), metadata, keepsRefused, context.createTypeInformation(produced));
    }

    @Override
    public Map<String, DataType> listReadableMetadata() {
        Map<String, DataType> metadata = new LinkedHashMap<>();
        metadata.put(EventDeserializer.REFUSAL, DataTypes.STRING().nullable());
        metadata.put(EventDeserializer.PAYLOAD, DataTypes.STRING().nullable());
        return metadata;
    }

    @Override
    public void applyReadableMetadata(List<String> keys) {
        metadata = List.copyOf(keys);
    }

    @Override
    public ChangelogMode getChangelogMode() {
        return ChangelogMode.insertOnly();
    }
}
