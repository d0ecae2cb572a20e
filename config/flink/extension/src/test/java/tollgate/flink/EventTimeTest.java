package tollgate.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.time.Instant;
import java.time.LocalDateTime;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class EventTimeTest {
    private final EventTime time = new EventTime();

    @ParameterizedTest
    @CsvSource({
        "2024-01-15T10:30:00Z, 2024-01-15T10:30:00",
        "2024-01-15t10:30:00z, 2024-01-15T10:30:00",
        "2024-01-15 10:30:00Z, 2024-01-15T10:30:00",
        "2024-01-15T19:30:00+09:00, 2024-01-15T10:30:00",
        "2024-01-15T19:30:00+0900, 2024-01-15T10:30:00",
        "2024-01-15T19:30:00+09, 2024-01-15T10:30:00",
        "2024-01-15T05:00:00-05:30, 2024-01-15T10:30:00",
        "2024-01-01T00:30:00+09:00, 2023-12-31T15:30:00",
        "2024-01-15T10:30:00.1Z, 2024-01-15T10:30:00.100",
        "2024-01-15T10:30:00.250+00:00, 2024-01-15T10:30:00.250",
        "2024-01-15T10:30:00.123456Z, 2024-01-15T10:30:00.123456",
        "2024-01-15T10:30:00.123456789Z, 2024-01-15T10:30:00.123456",
    })
    void offsetsAndFractions(String text, String expected) {
        assertEquals(LocalDateTime.parse(expected), time.eval(text));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "garbage", "1705314600", "2024-01-15", "2024-01-15T10:30:00", "2024-02-30T10:30:00Z", "2024-01-15T25:30:00Z",
        "2024-01-15T10:30:00.Z", "2024-01-15T10:30:00 Z", "2024-01-15T10:30:00+99:00",
    })
    void whatIsNoInstant(String text) {
        assertNull(time.eval(text));
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
