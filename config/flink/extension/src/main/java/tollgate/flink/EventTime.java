package tollgate.flink;

import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * The SQL function {@code EVENT_TIME}: the instant of a text as a timestamp in UTC with microseconds; NULL when it is none,
 * or when its record does not allow it. It reads what tollgate reads: RFC 3339 with any offset, and what comes near it.
 *
 * <p>Flink's own parsers read {@code Z} alone, or leave the offset out without a word.
 */
public final class EventTime extends ScalarFunction {
    private static final long serialVersionUID = 1L;

    private static final String DATE = "(?<year>\\d{4}|\\+00\\d{4})(?<dash>-?)(?<month>\\d\\d)\\k<dash>(?<day>\\d\\d)";
    /** Minutes and seconds may be missing. */
    private static final String TIME = "(?<hour>\\d\\d)"
            + "(?:(?<colon>:?)(?<minute>\\d\\d)(?:\\k<colon>(?<second>\\d\\d)(?:[.,](?<fraction>\\d{1,9}))?)?)?";
    private static final String OFFSET = "(?:[Zz]|(?<sign>[+-])(?<offsetHour>\\d\\d)(?:(?<offsetColon>:?)(?<offsetMinute>\\d\\d)"
            + "(?:\\k<offsetColon>(?<offsetSecond>\\d\\d)(?:[.,](?<offsetFraction>\\d{1,9}))?)?)?)";
    private static final String ZONE_NAME = "[_.A-Za-z][-+_.0-9A-Za-z]*";
    /** Notes in brackets, as RFC 9557 has them: a zone and a calendar, which move nothing. */
    private static final String NOTES = "(?:\\[!?(?:[+-](?:[01]\\d|2[0-5])(?::?[0-5]\\d)?|" + ZONE_NAME + "(?:/" + ZONE_NAME + ")*)])?"
            + "(?:\\[[_a-z][-_0-9a-z]*=[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*])*";

    private static final Pattern SHAPE = Pattern.compile(DATE + "[ Tt]" + TIME + OFFSET + NOTES);

    /** Tollgate's calendar ends here, two days before the year 10000, so that every offset finds a date. */
    private static final LocalDateTime END = LocalDateTime.of(9999, 12, 30, 22, 0, 1);

    private static final int OFFSET_SECONDS_MAX = 26 * 3_600 - 1;

    /** The instant, whatever its record says. */
    public @DataTypeHint("TIMESTAMP(6)") LocalDateTime eval(String text) {
        if (text == null) {
            return null;
        }
        Matcher parts = SHAPE.matcher(text);
        if (!parts.matches()) {
            return null;
        }
        try {
            LocalDateTime at = local(parts).minusSeconds(offsetSeconds(parts));
            return at.isBefore(END) ? at.truncatedTo(ChronoUnit.MICROS) : null;
        } catch (DateTimeException noDate) {
            return null;
        }
    }

    /**
     * The instant of an event, which may be {@code ageHours} older than its record and {@code aheadSeconds} newer. What is
     * further off was never meant, and may stand for any time.
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

    private static LocalDateTime local(Matcher parts) {
        int second = number(parts, "second");
        // A leap second is the one before it.
        return LocalDateTime.of(
                number(parts, "year"), number(parts, "month"), number(parts, "day"), number(parts, "hour"), number(parts, "minute"),
                second == 60 ? 59 : second, nanos(parts, "fraction"));
    }

    /** East of Greenwich; a fraction of a second is rounded. */
    private static int offsetSeconds(Matcher parts) {
        int minute = number(parts, "offsetMinute");
        int second = number(parts, "offsetSecond");
        int rounded = nanos(parts, "offsetFraction") >= 500_000_000 ? 1 : 0;
        int seconds = number(parts, "offsetHour") * 3_600 + minute * 60 + second + rounded;
        if (minute > 59 || second > 59 || seconds > OFFSET_SECONDS_MAX) {
            throw new DateTimeException("no offset");
        }
        return "-".equals(parts.group("sign")) ? -seconds : seconds;
    }

    /** A part that is missing is 0. */
    private static int number(Matcher parts, String name) {
        String digits = parts.group(name);
        return digits == null ? 0 : Integer.parseInt(digits);
    }

    private static int nanos(Matcher parts, String name) {
        String digits = parts.group(name);
        return digits == null ? 0 : Integer.parseInt((digits + "00000000").substring(0, 9));
    }
}
