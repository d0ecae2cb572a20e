package tollgate.flink;

/** Why a record is no event; the names are those of tollgate's dead letters. */
enum Refusal {
    EMPTY_VALUE,
    PAYLOAD_TOO_LARGE,
    NOT_UTF8,
    TOO_DEEP,
    NOT_JSON,
    NOT_AN_OBJECT,
    DUPLICATE_KEY,
    WRONG_TYPE,
    NUMBER_AS_TEXT,
    NUMBER_EXPONENT,
    NUMBER_TOO_PRECISE,
    NUMBER_NEGATIVE,
    NUMBER_OVERFLOW,
    NUL_IN_TEXT,
    TEXT_TOO_LONG;

    /** Thrown where the mistake is found. Bad events may come in floods, so there is no stack trace. */
    static final class RefusedException extends Exception {
        private static final long serialVersionUID = 1L;
        private final Refusal refusal;

        RefusedException(Refusal refusal) {
            super(refusal.name(), null, false, false);
            this.refusal = refusal;
        }

        Refusal refusal() {
            return refusal;
        }
    }
}
