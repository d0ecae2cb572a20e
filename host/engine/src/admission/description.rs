//! Whether a description can be used: unique and readable names, defaults within their bounds, fuel within the
//! host's limits.

use std::collections::BTreeSet;

use tollgate_domain::rule::{Description, Param, ParamKind, Reason, Value, World};

use super::AdmissionError;
use crate::limits::EngineLimits;

const NAME_BYTES_MAX: usize = 64;
const HELP_BYTES_MAX: usize = 400;
const TEXT_BYTES_MAX: usize = 1_024;

/// # Errors
/// The first thing that is wrong.
pub(super) fn check(
    description: &Description,
    world: World,
    limits: &EngineLimits,
) -> Result<(), AdmissionError> {
    problems(description, world, limits).into_iter().next().map_or(Ok(()), Err)
}

/// Everything that is wrong.
pub(super) fn problems(
    description: &Description,
    world: World,
    limits: &EngineLimits,
) -> Vec<AdmissionError> {
    let wrong = usable(description, world, limits).into_iter().map(AdmissionError::BadDescription);
    let base = ("fuel-base", description.fuel_base, limits.fuel_base_max);
    let per_item = ("fuel-per-item", description.fuel_per_item, limits.fuel_per_item_max);
    let too_high = [base, per_item].into_iter().filter(|(_, declared, allowed)| declared > allowed);
    let too_high = too_high.map(|(what, declared, allowed)| AdmissionError::FuelTooHigh {
        what,
        declared,
        allowed,
    });
    wrong.chain(too_high).collect()
}

fn usable(description: &Description, world: World, limits: &EngineLimits) -> Vec<String> {
    let declarations_max = limits.declarations_max;
    if description.params.len().max(description.reasons.len()) > declarations_max {
        return vec![format!("it declares more than {declarations_max} parameters or reasons")];
    }
    let rule_name = name("the rule's name", &description.name, "lower-kebab-case", |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
    });
    let mut wrong: Vec<String> =
        [rule_name, version(&description.version)].into_iter().filter_map(Result::err).collect();
    let mut names = BTreeSet::new();
    for param in &description.params {
        wrong.extend(check_param(param).err());
        if !names.insert(&param.name) {
            wrong.push(format!("it declares the parameter {} twice", shown(&param.name)));
        }
    }
    wrong.extend(check_reasons(&description.reasons));
    if description.reasons.is_empty() && world != World::Notification {
        wrong.push("it declares no reason, so it could not answer anything".to_owned());
    }
    wrong
}

fn check_reasons(reasons: &[Reason]) -> Vec<String> {
    let (mut names, mut codes) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for reason in reasons {
        let named = name("a reason's name", &reason.name, "UPPER_SNAKE_CASE", |byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
        });
        wrong.extend(named.and_then(|()| one_line(&reason.name, &reason.help)).err());
        if !codes.insert(reason.code) || !names.insert(&reason.name) {
            let (code, name) = (reason.code, shown(&reason.name));
            wrong.push(format!("it declares the reason {code} {name} twice"));
        }
    }
    wrong
}

fn check_param(param: &Param) -> Result<(), String> {
    name("a parameter's name", &param.name, "lower_snake_case", |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
    })?;
    one_line(&param.name, &param.help)?;
    let wrong = |what: &str| Err(format!("the parameter `{}` {what}", param.name));
    if let (Some(lowest), Some(highest)) = (param.lowest, param.highest)
        && lowest > highest
    {
        return wrong("has a lowest value above its highest");
    }
    let within = |number: &i64| {
        param.lowest.is_none_or(|lowest| *number >= lowest)
            && param.highest.is_none_or(|highest| *number <= highest)
    };
    match (&param.default, param.many, param.kind) {
        (_, true, ParamKind::Text) => wrong("is a list of texts, which is not possible"),
        (Value::Text(text), false, ParamKind::Text) => {
            let bytes_max = param.highest.and_then(|highest| usize::try_from(highest).ok());
            let fits = text.len() <= bytes_max.unwrap_or(TEXT_BYTES_MAX).min(TEXT_BYTES_MAX);
            if fits { Ok(()) } else { wrong("has a default that is too long") }
        }
        (Value::Numbers(numbers), true, _) => {
            let ascending = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            let fits = numbers.iter().all(within) && numbers.len() <= NAME_BYTES_MAX;
            match (ascending, fits) {
                (true, true) => Ok(()),
                (false, _) => wrong("has defaults that do not ascend"),
                (true, false) => wrong("has a default out of its bounds"),
            }
        }
        (Value::Number(number), false, ParamKind::Toggle) if !matches!(number, 0 | 1) => {
            wrong("is a toggle whose default is neither 0 nor 1")
        }
        (Value::Number(number), false, kind) if kind != ParamKind::Text => {
            if within(number) {
                Ok(())
            } else {
                wrong("has a default out of its bounds")
            }
        }
        _ => wrong("has a default of another type than its kind"),
    }
}

fn version(version: &str) -> Result<(), String> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default().split('.');
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain =
        version.len() <= NAME_BYTES_MAX && version.bytes().all(|byte| byte.is_ascii_graphic());
    if plain && numbers.clone().count() == 3 && numbers.clone().all(number) {
        return Ok(());
    }
    Err(format!("its version is {}, expected one such as 1.2.3", shown(version)))
}

fn name(what: &str, name: &str, style: &str, allowed: fn(u8) -> bool) -> Result<(), String> {
    let letters = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    if letters && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!("{what} is {}, expected {style} of at most {NAME_BYTES_MAX} letters", shown(name)))
}

fn one_line(owner: &str, help: &str) -> Result<(), String> {
    if help.len() <= HELP_BYTES_MAX && !help.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("the help of `{owner}` is not one line of at most {HELP_BYTES_MAX} bytes"))
}

/// Text of a stranger, shortened and with its control characters escaped.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    format!("{start:?}")
}
