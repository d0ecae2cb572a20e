package tollgate.flink;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import org.apache.flink.table.api.ValidationException;

/** A text with columns in braces, such as {@code rtb:{placement}:{category}}. */
final class Template implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Texts before, between and after the columns; one more than there are columns. */
    private final List<String> texts;
    private final List<Integer> columns;

    private Template(List<String> texts, List<Integer> columns) {
        this.texts = texts;
        this.columns = columns;
    }

    /** Reads a template; {@code names} are the columns of the table. */
    static Template parse(String option, String text, List<String> names) {
        List<String> texts = new ArrayList<>();
        List<Integer> columns = new ArrayList<>();
        int at = 0;
        for (int open = text.indexOf('{'); open >= 0; open = text.indexOf('{', at)) {
            int close = text.indexOf('}', open);
            if (close < 0) {
                throw new ValidationException("'" + option + "' has a { without }: " + text);
            }
            String name = text.substring(open + 1, close);
            int column = names.indexOf(name);
            if (column < 0) {
                throw new ValidationException("'" + option + "' names the column '" + name + "', and the table has " + names);
            }
            texts.add(text.substring(at, open));
            columns.add(column);
            at = close + 1;
        }
        texts.add(text.substring(at));
        return new Template(texts, columns);
    }

    List<Integer> columns() {
        return columns;
    }

    /** The text of a row, given the texts of its columns. */
    String fill(IntFunction<String> value) {
        StringBuilder filled = new StringBuilder(texts.get(0));
        for (int at = 0; at < columns.size(); at++) {
            filled.append(value.apply(columns.get(at))).append(texts.get(at + 1));
        }
        return filled.toString();
    }
}
