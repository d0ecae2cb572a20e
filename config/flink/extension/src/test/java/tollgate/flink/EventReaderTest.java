package tollgate.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.VarCharType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tollgate.flink.Refusal.RefusedException;

class EventReaderTest {
    private static final VarCharType TEXT = VarCharType.STRING_TYPE;
    private static final DecimalType AMOUNT = new DecimalType(19, 6);

    private static EventReader reader(boolean numbersAsText) {
        return new EventReader(
                List.of("id", "name", "price"), List.of(TEXT, TEXT, AMOUNT), new EventReader.Limits(30_000, 8, numbersAsText));
    }

    private static RowData read(String json) throws RefusedException {
        return reader(false).read(json.getBytes(StandardCharsets.UTF_8), 0);
    }

    private static void check(byte[] payload, Refusal expected) {
        Refusal refusal = assertThrows(RefusedException.class, () -> reader(false).read(payload, 0)).refusal();
        assertEquals(expected, refusal);
    }

    private static void check(String json, Refusal expected) {
        check(json.getBytes(StandardCharsets.UTF_8), expected);
    }

    @Test
    void columnsAreReadAndTheRestIsPassedOver() throws RefusedException {
        RowData row = read(" \t\r\n{\"other\":{\"id\":[{\"id\":1}]},\"price\":1200.50,\"na\\u006de\":\"노\\\"\\ud83d\\ude00\",\"id\":\"a\"}\n ");
        assertEquals("a", row.getString(0).toString());
        assertEquals("노\"😀", row.getString(1).toString());
        assertEquals("1200.500000", row.getDecimal(2, 19, 6).toString());
        assertEquals(3, row.getArity());
        RowData none = read("{\"id\":null}");
        assertTrue(none.isNullAt(0) && none.isNullAt(1) && none.isNullAt(2));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "{}", "{\"x\":1,\"x\":2}", "{\"x\":{\"id\":1,\"id\":2}}", "{\"x\":\"\\ud800\"}", "{\"x\":\"\\u0000\"}", "{\"x\":1e999}",
        "{\"x\":\"[[[{{{\"}", "{\"x\":\"\uFFFD\"}", "{\"\":0}",
    })
    void whatNoColumnIsFor(String json) throws RefusedException {
        assertTrue(read(json).isNullAt(0));
    }

    @Test
    void whatIsNoLongerJsonForOtherReaders() throws RefusedException {
        assertTrue(read("{\"x\":" + "1".repeat(5_000) + "}").isNullAt(0));
        assertTrue(read("{\"x\":\"" + "[{".repeat(500) + "\"}").isNullAt(0));
        assertTrue(read("{\"x\":[" + "[],".repeat(500) + "[]]}").isNullAt(0));
        assertTrue(read("{\"x\":" + "[".repeat(63) + "]".repeat(63) + "}").isNullAt(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {
        " ", "{", "nonsense", "{\"id\":\"a\"} x", "{\"id\":\"a\"}{\"id\":\"a\"}", "{\"id\":\"a\"},", "{\"id\":\"a\"}\u0000", "x{\"id\":\"a\"}",
        "{\"id\":1,}", "{'id':1}", "{id:1}", "{\"x\":01}", "{\"x\":+1}", "{\"x\":.5}", "{\"x\":1.}", "{\"x\":NaN}", "{\"x\":\"\n\"}",
        "{\"x\":\"\\q\"}", "{\"id\":\"\\ud800\"}", "{\"\\udc00\":1}", "{\"x\":1}/**/", "\uFEFF{\"id\":\"a\"}", "\u00A0{\"id\":\"a\"}",
        "[{\"id\":\"a\"}", "[] []", "\"open", "{\"id\":7} x", "{\"id\":\"a\"}\n}",
    })
    void whatIsNoJson(String text) {
        check(text, Refusal.NOT_JSON);
    }

    @ParameterizedTest
    @ValueSource(strings = {"[]", "[{\"id\":\"a\"}]", "[{\"id\":\"a\"},{\"id\":\"b\"}]", "1", "\"{}\"", "null", "true"})
    void whatIsNoObject(String json) {
        check(json, Refusal.NOT_AN_OBJECT);
    }

    @Test
    void whatIsNoTextInUtf8() {
        for (String hex : List.of("ff", "fe", "c0af", "eda080", "f5808080", "e2", "80")) {
            byte[] bad = new java.math.BigInteger(hex, 16).toByteArray();
            String tail = new String(bad, bad.length - hex.length() / 2, hex.length() / 2, StandardCharsets.ISO_8859_1);
            check(("{\"x\":\"" + tail + "\"}").getBytes(StandardCharsets.ISO_8859_1), Refusal.NOT_UTF8);
            check(("{\"id\":\"a\"}" + tail).getBytes(StandardCharsets.ISO_8859_1), Refusal.NOT_UTF8);
        }
        for (String other : List.of("UTF-16BE", "UTF-16LE", "UTF-32BE")) {
            check("{\"id\":\"a\"}".getBytes(Charset.forName(other)), Refusal.NOT_JSON);
        }
    }

    @Test
    void sizesAreBounded() {
        check((byte[]) null, Refusal.EMPTY_VALUE);
        check("", Refusal.EMPTY_VALUE);
        check("{" + " ".repeat(30_000) + "}", Refusal.PAYLOAD_TOO_LARGE);
        check("[".repeat(10_000), Refusal.TOO_DEEP);
        check("{\"x\":" + "[".repeat(64) + "]".repeat(64) + "}", Refusal.TOO_DEEP);
        check("{\"id\":\"노노노\"}", Refusal.TEXT_TOO_LONG);
    }

    @ParameterizedTest
    @CsvSource(quoteCharacter = '`', value = {
        "{\"id\":\"a\",\"id\":\"a\"}| DUPLICATE_KEY",
        "{\"id\":null,\"id\":\"a\"}| DUPLICATE_KEY",
        "{\"id\":7,\"i\\u0064\":\"a\"}| DUPLICATE_KEY",
        "{\"id\":7}| WRONG_TYPE",
        "{\"id\":true}| WRONG_TYPE",
        "{\"id\":{}}| WRONG_TYPE",
        "{\"id\":[1]}| WRONG_TYPE",
        "{\"id\":\"\\u0000\"}| NUL_IN_TEXT",
        "{\"price\":\"1\"}| NUMBER_AS_TEXT",
        "{\"price\":true}| WRONG_TYPE",
        "{\"price\":[1]}| WRONG_TYPE",
        "{\"price\":\"1\",\"id\":7}| NUMBER_AS_TEXT",
    }, delimiter = '|')
    void whatColumnsRefuse(String json, Refusal expected) {
        check(json, expected);
    }

    @Test
    void aLenientTextTakesNumbersAsTheyAreWritten() throws RefusedException {
        String json = "{\"id\":-1.50e2,\"name\":false,\"price\":null}";
        RowData row = reader(true).read(json.getBytes(StandardCharsets.UTF_8), 2);
        assertEquals("-1.50e2", row.getString(0).toString());
        assertEquals("false", row.getString(1).toString());
        assertEquals(5, row.getArity());
        RowData nested = reader(true).read("{\"id\":{\"name\":\"x\"},\"name\":[1]}".getBytes(StandardCharsets.UTF_8), 0);
        assertTrue(nested.isNullAt(0) && nested.isNullAt(1));
    }

    /** As the host's own test of amounts has them. */
    @ParameterizedTest
    @CsvSource({
        "0, 0.000000",
        "1200, 1200.000000",
        "0.000001, 0.000001",
        "0.0000010, 0.000001",
        "-0, 0.000000",
        "-0.0, 0.000000",
        "9223372036854.775807, 9223372036854.775807",
        "9223372036854.775808, NUMBER_OVERFLOW",
        "9999999999999, NUMBER_OVERFLOW",
        "-9223372036854.775808, NUMBER_OVERFLOW",
        "1000000000000000000000000000000000000000000, NUMBER_OVERFLOW",
        "0.0000001, NUMBER_TOO_PRECISE",
        "-0.0000001, NUMBER_TOO_PRECISE",
        "1e3, NUMBER_EXPONENT",
        "1E3, NUMBER_EXPONENT",
        "-1, NUMBER_NEGATIVE",
        "-0.000001, NUMBER_NEGATIVE",
        "0.50000000000000000000000000000000000000000000000000000000, 0.500000",
    })
    void amounts(String number, String expected) {
        String found;
        try {
            found = read("{\"price\":" + number + "}").getDecimal(2, 19, 6).toString();
        } catch (RefusedException refused) {
            found = refused.refusal().name();
        }
        assertEquals(expected, found);
    }

    @Test
    void aRefusedRecordIsNoRowOrOneThatSaysWhy() {
        byte[] bad = "[{\"id\":\"a\"}]".getBytes(StandardCharsets.UTF_8);
        assertNull(new EventDeserializer(reader(false), 3, List.of(), false, null).deserialize(bad));
        EventDeserializer keeping = new EventDeserializer(reader(false), 3, List.of("payload", "refusal"), true, null);
        RowData kept = keeping.deserialize(bad);
        assertTrue(kept.isNullAt(0) && kept.isNullAt(2));
        assertEquals("[{\"id\":\"a\"}]", kept.getString(3).toString());
        assertEquals("NOT_AN_OBJECT", kept.getString(4).toString());
        RowData good = keeping.deserialize("{\"id\":\"a\"}".getBytes(StandardCharsets.UTF_8));
        assertEquals("a", good.getString(0).toString());
        assertTrue(good.isNullAt(4));
        RowData empty = keeping.deserialize(null);
        assertTrue(empty.isNullAt(3));
        assertEquals("EMPTY_VALUE", empty.getString(4).toString());
    }
}
