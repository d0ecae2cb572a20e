package tollgate.flink;

import java.io.IOException;
import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.StreamReadConstraints;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import tollgate.flink.Refusal.RefusedException;

/**
 * Reads a record as tollgate does: the whole value is one JSON object in UTF-8, and what the table has columns for is
 * given once at most. Everything else in the object may be what it wants.
 */
final class EventReader implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Nesting beyond this is refused, whatever field it is in. */
    private static final int DEPTH_MAX = 64;

    /**
     * Without limits of its own, because the size of the record limits everything; and without a memory of names, which
     * strangers could fill.
     */
    private static final JsonFactory JSON =
            JsonFactory.builder()
                    .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
                    .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
                    .streamReadConstraints(
                            StreamReadConstraints.builder()
                                    .maxNumberLength(Integer.MAX_VALUE)
                                    .maxStringLength(Integer.MAX_VALUE)
                                    .maxNameLength(Integer.MAX_VALUE)
                                    .build())
                    .build();

    /**
     * What is accepted.
     *
     * @param payloadBytesMax greatest length of a record
     * @param textBytesMax greatest length of a text that the table has a column for
     * @param numbersAsText whether a column for a text takes numbers, true and false as they are written
     */
    record Limits(int payloadBytesMax, int textBytesMax, boolean numbersAsText) implements Serializable {}

    private final Limits limits;
    private final HashMap<String, Integer> columns = new HashMap<>();

    /** Of each column how its amounts are read; none for texts. */
    private final Amount[] amounts;

    /** {@code types} are those of the columns: character strings and decimals. */
    EventReader(List<String> names, List<LogicalType> types, Limits limits) {
        this.limits = limits;
        amounts = new Amount[names.size()];
        for (int at = 0; at < names.size(); at++) {
            columns.put(names.get(at), at);
            if (types.get(at) instanceof DecimalType decimal) {
                amounts[at] = new Amount(decimal.getPrecision(), decimal.getScale());
            }
        }
    }

    /** Whether a column can have this type. */
    static boolean canRead(LogicalType type) {
        return type.is(LogicalTypeFamily.CHARACTER_STRING) || type instanceof DecimalType;
    }

    /** The columns, and {@code more} fields behind them that are left empty. */
    GenericRowData read(byte[] payload, int more) throws RefusedException {
        String text = text(payload);
        try (JsonParser json = JSON.createParser(text)) {
            boolean isObject = json.nextToken() == JsonToken.START_OBJECT;
            Fields fields = new Fields(new GenericRowData(amounts.length + more));
            if (isObject) {
                readFields(json, fields);
            } else if (json.currentToken() == null) {
                throw new RefusedException(Refusal.NOT_JSON);
            }
            json.skipChildren();
            if (json.nextToken() != null) {
                throw new RefusedException(Refusal.NOT_JSON);
            }
            if (!isObject) {
                throw new RefusedException(Refusal.NOT_AN_OBJECT);
            }
            return fields.row();
        } catch (IOException error) {
            throw new RefusedException(Refusal.NOT_JSON);
        }
    }

    private String text(byte[] payload) throws RefusedException {
        if (payload == null || payload.length == 0) {
            throw new RefusedException(Refusal.EMPTY_VALUE);
        }
        if (payload.length > limits.payloadBytesMax) {
            throw new RefusedException(Refusal.PAYLOAD_TOO_LARGE);
        }
        String text = new String(payload, StandardCharsets.UTF_8);
        // What cannot be decoded becomes a replacement character, which is written otherwise.
        if (text.indexOf('\uFFFD') >= 0 && !Arrays.equals(text.getBytes(StandardCharsets.UTF_8), payload)) {
            throw new RefusedException(Refusal.NOT_UTF8);
        }
        if (isTooDeep(payload)) {
            throw new RefusedException(Refusal.TOO_DEEP);
        }
        return text;
    }

    /** Reads to the end of the object. */
    private void readFields(JsonParser json, Fields fields) throws IOException, RefusedException {
        for (String name = json.nextFieldName(); name != null; name = json.nextFieldName()) {
            if (bytes(name) < 0) {
                throw new RefusedException(Refusal.NOT_JSON);
            }
            json.nextToken();
            Integer column = columns.get(name);
            if (column != null) {
                fields.put(column, value(json, column, fields));
            }
            json.skipChildren();
        }
    }

    private Object value(JsonParser json, int column, Fields fields) throws IOException {
        if (json.currentToken() == JsonToken.VALUE_NULL) {
            return null;
        }
        try {
            return amounts[column] == null ? textOf(json) : amountOf(json, amounts[column]);
        } catch (RefusedException refused) {
            fields.refuse(refused);
            return null;
        }
    }

    private StringData textOf(JsonParser json) throws IOException, RefusedException {
        JsonToken token = json.currentToken();
        if (token.isStructStart() && limits.numbersAsText) {
            return null;
        }
        if (token != JsonToken.VALUE_STRING && !limits.numbersAsText) {
            throw new RefusedException(Refusal.WRONG_TYPE);
        }
        String text = json.getText();
        int bytes = bytes(text);
        if (bytes < 0) {
            throw new RefusedException(Refusal.NOT_JSON);
        }
        if (text.indexOf('\0') >= 0) {
            throw new RefusedException(Refusal.NUL_IN_TEXT);
        }
        if (bytes > limits.textBytesMax) {
            throw new RefusedException(Refusal.TEXT_TOO_LONG);
        }
        return StringData.fromString(text);
    }

    private static DecimalData amountOf(JsonParser json, Amount amount) throws IOException, RefusedException {
        return switch (json.currentToken()) {
            case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT ->
                DecimalData.fromBigDecimal(amount.read(json.getText()), amount.precision(), amount.scale());
            case VALUE_STRING -> throw new RefusedException(Refusal.NUMBER_AS_TEXT);
            default -> throw new RefusedException(Refusal.WRONG_TYPE);
        };
    }

    /** Length in UTF-8; negative when there is half a pair of surrogates, which no text can have. */
    private static int bytes(String text) {
        int bytes = 0;
        for (int at = 0; at < text.length(); at++) {
            char one = text.charAt(at);
            if (Character.isSurrogate(one)) {
                if (at + 1 == text.length() || !Character.isSurrogatePair(one, text.charAt(at + 1))) {
                    return -1;
                }
                at++;
                bytes += 4;
            } else {
                bytes += one < 0x80 ? 1 : one < 0x800 ? 2 : 3;
            }
        }
        return bytes;
    }

    /** Counts brackets first, which is much cheaper than following them and settles all honest events. */
    private static boolean isTooDeep(byte[] payload) {
        int opening = 0;
        for (byte one : payload) {
            opening += one == '{' || one == '[' ? 1 : 0;
        }
        return opening > DEPTH_MAX && depth(payload) > DEPTH_MAX;
    }

    private static int depth(byte[] payload) {
        int depth = 0;
        int greatest = 0;
        boolean inText = false;
        boolean isEscaped = false;
        for (byte one : payload) {
            if (inText) {
                inText = isEscaped || one != '"';
                isEscaped = !isEscaped && one == '\\';
            } else if (one == '{' || one == '[') {
                depth++;
                greatest = Math.max(greatest, depth);
            } else if (one == '}' || one == ']') {
                depth = Math.max(depth - 1, 0);
            } else {
                inText = one == '"';
            }
        }
        return greatest;
    }

    /** The columns of one record, and what is wrong with them; it counts only when the record is JSON to its end. */
    private static final class Fields {
        private final GenericRowData row;
        private final boolean[] given;
        private boolean isDuplicate;
        private RefusedException refused;

        Fields(GenericRowData row) {
            this.row = row;
            given = new boolean[row.getArity()];
        }

        void put(int column, Object value) {
            isDuplicate |= given[column];
            given[column] = true;
            row.setField(column, value);
        }

        void refuse(RefusedException why) {
            refused = refused == null ? why : refused;
        }

        GenericRowData row() throws RefusedException {
            if (isDuplicate) {
                throw new RefusedException(Refusal.DUPLICATE_KEY);
            }
            if (refused != null) {
                throw refused;
            }
            return row;
        }
    }
}
