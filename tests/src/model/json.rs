//! JSON by the book, for the model: keeps repeated keys and the text of numbers, which ordinary readers drop.

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Flag,
    /// As written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Deepest nesting of brackets outside of texts.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text) = (0_usize, 0, false);
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_text => drop(chars.next()),
            '"' => in_text = !in_text,
            '{' | '[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            '}' | ']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads a text that is one JSON value and nothing else; `None` when it is not. It recurses, so `depth` comes first.
#[must_use]
pub fn parse(text: &str) -> Option<Json> {
    let mut reader = Reader { rest: text };
    let value = reader.value()?;
    reader.blank();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Option<Json> {
        self.blank();
        match self.rest.chars().next()? {
            '{' => self.object(),
            '[' => self.array(),
            '"' => self.text().map(Json::Text),
            't' => self.word("true").then_some(Json::Flag),
            'f' => self.word("false").then_some(Json::Flag),
            'n' => self.word("null").then_some(Json::Null),
            _ => self.number(),
        }
    }

    fn object(&mut self) -> Option<Json> {
        let mut members = Vec::new();
        self.word("{");
        if self.next("}") {
            return Some(Json::Object(members));
        }
        loop {
            self.blank();
            let key = self.text()?;
            if !self.next(":") {
                return None;
            }
            members.push((key, self.value()?));
            if self.next("}") {
                return Some(Json::Object(members));
            }
            if !self.next(",") {
                return None;
            }
        }
    }

    fn array(&mut self) -> Option<Json> {
        let mut items = Vec::new();
        self.word("[");
        if self.next("]") {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.next("]") {
                return Some(Json::Array(items));
            }
            if !self.next(",") {
                return None;
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        let inner = self.rest.strip_prefix('"')?;
        let mut chars = inner.char_indices();
        let mut text = String::new();
        loop {
            let (at, char) = chars.next()?;
            match char {
                '"' => {
                    self.rest = &inner[at + 1..];
                    return Some(text);
                }
                '\\' => {
                    let (escape, used) = unescape(&inner[at + 1..])?;
                    text.push(escape);
                    chars.nth(used - 1)?;
                }
                char if char < ' ' => return None,
                char => text.push(char),
            }
        }
    }

    fn number(&mut self) -> Option<Json> {
        let length =
            self.rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let (number, rest) = self.rest.split_at(length.unwrap_or(self.rest.len()));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (number, None),
        };
        let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, decimals) = match mantissa.split_once('.') {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (mantissa, None),
        };
        let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
        let whole_ok = digits(whole) && (whole == "0" || !whole.starts_with('0'));
        if !whole_ok || ![decimals, exponent].into_iter().flatten().all(digits) {
            return None;
        }
        self.rest = rest;
        Some(Json::Number(number.to_owned()))
    }

    /// Blanks, then `word`, if it stands there.
    fn next(&mut self, word: &str) -> bool {
        self.blank();
        self.word(word)
    }

    fn word(&mut self, word: &str) -> bool {
        let rest: Option<&'a str> = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }
}

/// The character after a backslash, and how many characters it takes.
fn unescape(text: &str) -> Option<(char, usize)> {
    let simple = |char| Some((char, 1));
    match text.chars().next()? {
        '"' => simple('"'),
        '\\' => simple('\\'),
        '/' => simple('/'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'u' => {
            let high = hex(text.get(1..5)?)?;
            if !(0xd800..0xe000).contains(&high) {
                return Some((char::from_u32(high)?, 5));
            }
            let low = hex(text.get(5..)?.strip_prefix("\\u")?.get(..4)?)?;
            let pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
            let code = pair.then(|| 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?;
            Some((char::from_u32(code)?, 11))
        }
        _ => None,
    }
}

fn hex(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok())?
}
