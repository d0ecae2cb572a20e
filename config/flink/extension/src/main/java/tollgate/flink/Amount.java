package tollgate.flink;

import java.io.Serializable;
import java.math.BigDecimal;
import tollgate.flink.Refusal.RefusedException;

/** A column with an amount: a plain JSON number from 0 that the column and tollgate's 64 bits can hold. */
record Amount(int precision, int scale) implements Serializable {
    /** Reads a number as JSON writes it, with {@code scale} decimals. */
    BigDecimal read(String text) throws RefusedException {
        if (text.indexOf('e') >= 0 || text.indexOf('E') >= 0) {
            throw new RefusedException(Refusal.NUMBER_EXPONENT);
        }
        boolean isNegative = text.startsWith("-");
        int point = text.indexOf('.');
        String whole = withoutLeadingZeros(text.substring(isNegative ? 1 : 0, point < 0 ? text.length() : point));
        String decimals = withoutTrailingZeros(point < 0 ? "" : text.substring(point + 1));
        if (decimals.length() > scale) {
            throw new RefusedException(Refusal.NUMBER_TOO_PRECISE);
        }
        // The length is judged first, because reading a number takes longer than it is long.
        if (whole.length() > precision - scale) {
            throw new RefusedException(Refusal.NUMBER_OVERFLOW);
        }
        BigDecimal value = new BigDecimal("0" + whole + "." + decimals).setScale(scale);
        if (value.unscaledValue().bitLength() > Long.SIZE - 1) {
            throw new RefusedException(Refusal.NUMBER_OVERFLOW);
        }
        if (isNegative && value.signum() != 0) {
            throw new RefusedException(Refusal.NUMBER_NEGATIVE);
        }
        return value;
    }

    private static String withoutLeadingZeros(String digits) {
        int from = 0;
        while (from < digits.length() && digits.charAt(from) == '0') {
            from++;
        }
        return digits.substring(from);
    }

    private static String withoutTrailingZeros(String digits) {
        int to = digits.length();
        while (to > 0 && digits.charAt(to - 1) == '0') {
            to--;
        }
        return digits.substring(0, to);
    }
}
