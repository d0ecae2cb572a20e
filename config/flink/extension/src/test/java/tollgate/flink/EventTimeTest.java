package tollgate.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.time.Instant;
import java.time.LocalDateTime;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvFileSource;
import org.junit.jupiter.params.provider.CsvSource;

class EventTimeTest {
    private final EventTime time = new EventTime();

    @ParameterizedTest
    @CsvFileSource(resources = "/instants.csv", delimiter = '|', ignoreLeadingAndTrailingWhitespace = false, quoteCharacter = '`')
    void textsAreReadAsTollgateReadsThem(String text, String expected) {
        assertEquals(expected == null ? null : LocalDateTime.parse(expected), time.eval(text));
    }

    /** Tollgate's calendar is no longer, and no event is so far from its record. */
    @ParameterizedTest
    @CsvSource({
        "9999-12-30T22:00:00Z, 9999-12-30T22:00:00",
        "9999-12-30T22:00:00.999999999Z, 9999-12-30T22:00:00.999999",
        "9999-12-30T22:00:01Z,",
        "9999-12-31T00:00:00+02:00, 9999-12-30T22:00:00",
        "+010000-01-01T00:00:00Z,",
        "'',",
    })
    void theCalendarEnds(String text, String expected) {
        assertEquals(expected == null ? null : LocalDateTime.parse(expected), time.eval(text));
    }

    @Test
    void nothingIsNoInstant() {
        assertNull(time.eval(null));
        assertNull(time.eval(null, Instant.EPOCH, 1, 1));
        assertNull(time.eval("2024-01-15T10:30:00Z", null, 1, 1));
    }

    @ParameterizedTest
    @CsvSource({
        "2024-01-15T10:30:00Z, true",
        "2024-01-15T08:30:00Z, true",
        "2024-01-15T08:29:59.999Z, false",
        "2024-01-15T10:30:10Z, true",
        "2024-01-15T10:30:10.001Z, false",
    })
    void theRecordBoundsTheEvent(String text, boolean isAllowed) {
        LocalDateTime at = time.eval(text, Instant.parse("2024-01-15T10:30:00Z"), 2, 10);
        assertEquals(isAllowed, at != null);
    }
}
