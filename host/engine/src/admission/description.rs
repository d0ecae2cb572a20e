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
    usable(description, world, limits).map_err(AdmissionError::BadDescription)?;
    let base = ("fuel-base", description.fuel_base, limits.fuel_base_max);
    let per_item = ("fuel-per-item", description.fuel_per_item, limits.fuel_per_item_max);
    for (what, declared, allowed) in [base, per_item] {
        if declared > allowed {
            return Err(AdmissionError::FuelTooHigh { what, declared, allowed });
        }
    }
    Ok(())
}

fn usable(description: &Description, world: World, limits: &EngineLimits) -> Result<(), String> {
    name("the rule's name", &description.name, "lower-kebab-case", |byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
    })?;
    version(&description.version)?;
    let declarations_max = limits.declarations_max;
    if description.params.len().max(description.reasons.len()) > declarations_max {
        return Err(format!("it declares more than {declarations_max} parameters or reasons"));
    }
    let mut names = BTreeSet::new();
    for param in &description.params {
        check_param(param)?;
        if !names.insert(&param.name) {
            return Err(format!("it declares the parameter `{}` twice", param.name));
        }
    }
    check_reasons(&description.reasons)?;
    if description.reasons.is_empty() && world != World::Notification {
        return Err("it declares no reason, so it could not answer anything".to_owned());
    }
    Ok(())
}

fn check_reasons(reasons: &[Reason]) -> Result<(), String> {
    let (mut names, mut codes) = (BTreeSet::new(), BTreeSet::new());
    for reason in reasons {
        name("a reason's name", &reason.name, "UPPER_SNAKE_CASE", |byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
        })?;
        one_line(&reason.name, &reason.help)?;
        if !codes.insert(reason.code) || !names.insert(&reason.name) {
            return Err(format!("it declares the reason {} `{}` twice", reason.code, reason.name));
        }
    }
    Ok(())
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
