//! Cases inside a module: custom sections of the component that hold TOML as the author wrote it.

use anyhow::{Result, bail};

/// Name of the custom sections that hold cases.
pub const SECTION: &str = "tollgate:cases";

/// Magic number and version; the same length for modules and components.
const HEADER_BYTES: usize = 8;
const CUSTOM: u8 = 0;

/// The module with these texts as its cases, one section each. Cases that it had are replaced.
///
/// # Errors
/// The bytes are not those of a module.
pub fn embed(module: &[u8], cases: &[&str]) -> Result<Vec<u8>> {
    let mut bytes = module.get(..HEADER_BYTES).unwrap_or_default().to_vec();
    for section in sections(module)? {
        if section.cases.is_none() {
            bytes.extend_from_slice(section.whole);
        }
    }
    for text in cases {
        let mut content = number(SECTION.len())?;
        content.extend_from_slice(SECTION.as_bytes());
        content.extend_from_slice(text.as_bytes());
        bytes.push(CUSTOM);
        bytes.extend(number(content.len())?);
        bytes.extend(content);
    }
    Ok(bytes)
}

/// The texts of the module's cases, in order.
///
/// # Errors
/// The bytes are not those of a module, or cases are not UTF-8.
pub fn embedded(module: &[u8]) -> Result<Vec<&str>> {
    let sections = sections(module)?;
    let cases = sections.into_iter().filter_map(|section| section.cases);
    let text = |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => {
            bail!("the section `{SECTION}` of the module is not UTF-8; embed the cases again")
        }
    };
    cases.map(text).collect()
}

/// A section of the outermost component.
struct Section<'m> {
    whole: &'m [u8],
    /// What follows the name when it is a section of cases.
    cases: Option<&'m [u8]>,
}

fn sections(module: &[u8]) -> Result<Vec<Section<'_>>> {
    let mut rest = match module.split_at_checked(HEADER_BYTES) {
        Some((header, rest)) if header.starts_with(b"\0asm") => rest,
        _ => bail!("this is no WASM module; build the rule first"),
    };
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let Some((section, after)) = section(rest) else {
            bail!("the module ends in the middle of a section; build the rule again");
        };
        sections.push(section);
        rest = after;
    }
    Ok(sections)
}

fn section(bytes: &[u8]) -> Option<(Section<'_>, &[u8])> {
    let (&kind, after) = bytes.split_first()?;
    let (length, content) = read_number(after)?;
    let (content, rest) = content.split_at_checked(length)?;
    let whole = &bytes[..bytes.len() - rest.len()];
    let cases = if kind == CUSTOM { content_of_cases(content) } else { None };
    Some((Section { whole, cases }, rest))
}

fn content_of_cases(content: &[u8]) -> Option<&[u8]> {
    let (length, after) = read_number(content)?;
    let (name, cases) = after.split_at_checked(length)?;
    (name == SECTION.as_bytes()).then_some(cases)
}

/// Reads an unsigned LEB128 of at most 32 bits.
fn read_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(number).ok()? as usize, &bytes[at + 1..]));
        }
    }
    None
}

fn number(number: usize) -> Result<Vec<u8>> {
    let Ok(mut rest) = u32::try_from(number) else { bail!("cases of {number} bytes do not fit") };
    let mut bytes = Vec::new();
    loop {
        let byte = rest.to_le_bytes()[0] & 0x7f;
        rest >>= 7;
        if rest == 0 {
            bytes.push(byte);
            return Ok(bytes);
        }
        bytes.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component.
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn cases_travel_and_are_replaced() {
        fn check(cases: &[&str]) {
            let other = [EMPTY, b"\x00\x05\x04none"].concat();
            let embedded_once = embed(&other, &["name = \"old\""]).expect("embed");
            let module = embed(&embedded_once, cases).expect("embed");
            assert_eq!(embedded(&module).expect("read"), cases);
            assert!(module.starts_with(&other), "other sections stay");
            assert_eq!(embed(&module, &[]).expect("strip"), other);
        }
        let long = "x".repeat(70_000);
        check(&[]);
        check(&[""]);
        check(&["[[case]]"]);
        check(&["a", &long, "전자기기"]);
    }

    #[test]
    fn damaged_modules_are_refused() {
        fn check(module: &[u8], expected: &str) {
            let error = embedded(module).expect_err("refused").to_string();
            assert!(error.contains(expected), "{error}");
            if !expected.contains("UTF-8") {
                assert!(embed(module, &["a"]).is_err());
            }
        }
        check(b"", "no WASM module");
        check(b"[[case]]", "no WASM module");
        check(&[EMPTY, b"\x00"].concat(), "middle of a section");
        check(&[EMPTY, b"\x00\x09\x01a"].concat(), "middle of a section");
        check(&[EMPTY, b"\x00\xff\xff\xff\xff\xff\x01"].concat(), "middle of a section");
        check(&[EMPTY, b"\x00\x11\x0etollgate:cases\xff\xff"].concat(), "UTF-8");
    }
}
