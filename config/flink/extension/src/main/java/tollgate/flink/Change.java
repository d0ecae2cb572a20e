package tollgate.flink;

import java.util.Map;

/** What a row does to Redis. A later change of the same target replaces an earlier one. */
sealed interface Change {
    /** What is changed: where a member of sorted sets is, or a whole hash. */
    record Target(String key, String member) {}

    Target target();

    /** The value of {@code newest-by}, as a text that sorts; NULL when the table has none, and of deletions. */
    String version();

    /** Which of two changes of one target is carried out: the later one, unless it is about an older version. */
    static Change later(Change first, Change second) {
        boolean areCompared = first.version() != null && second.version() != null;
        return areCompared && first.version().compareTo(second.version()) > 0 ? first : second;
    }

    /**
     * ZADD to the set {@code key}, after a ZREM from the one where the member was; only the latter when there is no score.
     * The target is the member's field in the hash that remembers where it is.
     */
    record Member(Target target, String key, String score, String version) implements Change {}

    /** HSET and its expiry, or DEL when there are no fields. */
    record Hash(Target target, Map<String, String> fields, String version) implements Change {}
}
