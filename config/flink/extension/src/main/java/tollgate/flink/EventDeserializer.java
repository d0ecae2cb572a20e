package tollgate.flink;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import tollgate.flink.Refusal.RefusedException;

/** Makes a row of each record; of a refused one none, or one without values. */
final class EventDeserializer implements DeserializationSchema<RowData> {
    static final String REFUSAL = "refusal";
    static final String PAYLOAD = "payload";

    private static final long serialVersionUID = 1L;

    private final EventReader reader;
    private final int columns;

    /** What follows the columns in a row. */
    private final ArrayList<String> metadata;

    private final boolean keepsRefused;
    private final TypeInformation<RowData> type;

    EventDeserializer(
            EventReader reader, int columns, List<String> metadata, boolean keepsRefused, TypeInformation<RowData> type) {
        this.reader = reader;
        this.columns = columns;
        this.metadata = new ArrayList<>(metadata);
        this.keepsRefused = keepsRefused;
        this.type = type;
    }

    @Override
    public RowData deserialize(byte[] payload) {
        try {
            return withMetadata(reader.read(payload, metadata.size()), payload, null);
        } catch (RefusedException refused) {
            GenericRowData none = new GenericRowData(columns + metadata.size());
            return keepsRefused ? withMetadata(none, payload, refused.refusal()) : null;
        }
    }

    private RowData withMetadata(GenericRowData row, byte[] payload, Refusal refusal) {
        for (int at = 0; at < metadata.size(); at++) {
            String value = switch (metadata.get(at)) {
                case REFUSAL -> refusal == null ? null : refusal.name();
                case PAYLOAD -> payload == null ? null : new String(payload, StandardCharsets.UTF_8);
                default -> throw new IllegalStateException("there is no metadata " + metadata.get(at));
            };
            row.setField(columns + at, StringData.fromString(value));
        }
        return row;
    }

    @Override
    public boolean isEndOfStream(RowData next) {
        return false;
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return type;
    }
}
