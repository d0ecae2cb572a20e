package tollgate.flink;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.format.ResolverStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.ChronoUnit;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * The SQL function {@code EVENT_TIME}: the instant of a text in RFC 3339 with any offset, as a timestamp in UTC with
 * microseconds; NULL when it is none, or when its record does not allow it.
 *
 * <p>Flink's own parsers read {@code Z} alone, or leave the offset out without a word.
 */
public final class EventTime extends ScalarFunction {
    private static final long serialVersionUID = 1L;

    /** What tollgate reads: 0 to 9 digits of a second, and {@code Z}, {@code +09:00}, {@code +0900} or {@code +09}. */
    private static final DateTimeFormatter FORMAT =
            new DateTimeFormatterBuilder()
                    .parseCaseInsensitive()
                    .appendPattern("uuuu-MM-dd'T'HH:mm:ss")
                    .optionalStart()
                    .appendFraction(ChronoField.NANO_OF_SECOND, 1, 9, true)
                    .optionalEnd()
                    .appendPattern("[XXX][XX][X]")
                    .toFormatter()
                    .withResolverStyle(ResolverStyle.STRICT);

    /** The instant, whatever its record says. */
    public @DataTypeHint("TIMESTAMP(6)") LocalDateTime eval(String text) {
        if (text == null) {
            return null;
        }
        try {
            // A space between date and time is as good as a T.
            boolean hasSpace = text.length() > 10 && text.charAt(10) == ' ';
            String joined = hasSpace ? text.substring(0, 10) + 'T' + text.substring(11) : text;
            OffsetDateTime at = OffsetDateTime.parse(joined, FORMAT);
            return at.withOffsetSameInstant(ZoneOffset.UTC).toLocalDateTime().truncatedTo(ChronoUnit.MICROS);
        } catch (DateTimeException unreadable) {
            return null;
        }
    }

    /**
     * The instant of an event, which may be {@code ageHours} older than its record and {@code aheadSeconds} newer. One
     * event that lies in the future would make all others late, so its record is what bounds it.
     */
    public @DataTypeHint("TIMESTAMP(6)") LocalDateTime eval(
            String text, @DataTypeHint("TIMESTAMP_LTZ(3)") Instant recordAt, int ageHours, int aheadSeconds) {
        LocalDateTime at = eval(text);
        if (at == null || recordAt == null) {
            return null;
        }
        Instant instant = at.toInstant(ZoneOffset.UTC);
        boolean isTooOld = instant.isBefore(recordAt.minus(ageHours, ChronoUnit.HOURS));
        boolean isAhead = instant.isAfter(recordAt.plusSeconds(aheadSeconds));
        return isTooOld || isAhead ? null : at;
    }
}
