package tollgate.flink;

import java.util.Map;

/** What a row does to Redis. A later change of the same target replaces an earlier one. */
sealed interface Change {
    /** What is changed: a member of a sorted set, or a whole hash. */
    record Target(String key, String member) {}

    Target target();

    /** Which of two changes of one target is carried out: the later one, unless it is about an older version. */
    static Change later(Change first, Change second) {
        if (first instanceof Hash one && second instanceof Hash other && one.version() != null && other.version() != null) {
            return one.version().compareTo(other.version()) > 0 ? first : second;
        }
        return second;
    }

    /** ZADD, or ZREM when there is no score. */
    record Member(Target target, Double score) implements Change {}

    /**
     * HSET and PEXPIRE, or DEL when there are no fields. {@code version} is the value of {@code newest-by}; NULL when the
     * table has none.
     */
    record Hash(Target target, Map<String, String> fields, String version) implements Change {}
}
