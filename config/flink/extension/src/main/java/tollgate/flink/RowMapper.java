package tollgate.flink;

import java.io.Serializable;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.types.RowKind;

/** Makes changes of rows. */
final class RowMapper implements Serializable {
    private static final long serialVersionUID = 1L;

    private static final DateTimeFormatter INSTANT = new DateTimeFormatterBuilder().appendInstant(3).toFormatter();

    private final List<String> names;
    private final RowData.FieldGetter[] getters;
    private final Template key;
    /** NULL for hashes, like {@code places}. */
    private final Template member;
    /** The hash that remembers where members are. */
    private final String places;
    /** Column of the score; -1 for hashes. */
    private final int score;
    /** Column that is TRUE in rows that change nothing; -1 when there is none. */
    private final int leave;
    /** Column of the version; -1 when there is none. */
    private final int version;

    /** The columns of members besides their key; -1 for those that a table does without. */
    record Columns(int score, int leave, int version) {}

    private RowMapper(List<String> names, List<LogicalType> types, Template key, Template member, String places, Columns columns) {
        this.names = List.copyOf(names);
        this.getters = new RowData.FieldGetter[types.size()];
        for (int at = 0; at < getters.length; at++) {
            getters[at] = RowData.createFieldGetter(types.get(at), at);
        }
        this.key = key;
        this.member = member;
        this.places = places;
        this.score = columns.score();
        this.leave = columns.leave();
        this.version = columns.version();
    }

    static RowMapper ofMembers(
            List<String> names, List<LogicalType> types, Template key, Template member, String places, Columns columns) {
        return new RowMapper(names, types, key, member, places, columns);
    }

    static RowMapper ofHashes(List<String> names, List<LogicalType> types, Template key, int version) {
        return new RowMapper(names, types, key, null, null, new Columns(-1, -1, version));
    }

    /** The field by which the newest hash is found; NULL when there is none. */
    String newestBy() {
        return version < 0 ? null : names.get(version);
    }

    /** What a row does; NULL when it leaves everything as it is. */
    Change change(RowData row) {
        boolean isGone = row.getRowKind() == RowKind.DELETE;
        if (!isGone && leave >= 0 && Boolean.TRUE.equals(getters[leave].getFieldOrNull(row))) {
            return null;
        }
        String newest = isGone || version < 0 ? null : text(row, version);
        String filledKey = key.fill(at -> text(row, at));
        if (member != null) {
            Change.Target target = new Change.Target(places, member.fill(at -> text(row, at)));
            boolean isPlaced = !isGone && getters[score].getFieldOrNull(row) != null;
            return new Change.Member(target, isPlaced ? filledKey : "", isPlaced ? text(row, score) : null, newest);
        }
        Change.Target target = new Change.Target(filledKey, null);
        return new Change.Hash(target, isGone ? null : fields(row), newest);
    }

    /** All columns that the key does not name already. */
    private Map<String, String> fields(RowData row) {
        Map<String, String> fields = new LinkedHashMap<>();
        for (int at = 0; at < names.size(); at++) {
            if (!key.columns().contains(at)) {
                fields.put(names.get(at), text(row, at));
            }
        }
        return fields;
    }

    /** A value as people write it; NULL is empty. Texts of timestamps have one length, so that they sort by time. */
    private String text(RowData row, int at) {
        Object value = getters[at].getFieldOrNull(row);
        if (value == null) {
            return "";
        }
        if (value instanceof TimestampData timestamp) {
            return INSTANT.format(timestamp.toLocalDateTime().toInstant(ZoneOffset.UTC));
        }
        if (value instanceof DecimalData decimal) {
            return decimal.toBigDecimal().toPlainString();
        }
        return value.toString();
    }
}
