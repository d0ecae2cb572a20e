//! Secrets: read from files, never shown.

use super::{Config, ConfigErrors};

const MASK: &str = "***";

/// Fills values from the files that `*_file` keys name.
pub(super) fn read_files(config: &mut Config, errors: &mut ConfigErrors) {
    let Config { ledger, redis, kafka, slack, email, .. } = config;
    let fixed = [
        ("ledger.url_file".to_owned(), &ledger.url_file, &mut ledger.url),
        ("redis.url_file".to_owned(), &redis.url_file, &mut redis.url),
        ("email.url_file".to_owned(), &email.url_file, &mut email.url),
    ];
    let routes = slack.routes.iter_mut().map(|(name, route)| {
        (format!("slack.routes.{name}.url_file"), &route.url_file, &mut route.url)
    });
    for (key, file, value) in fixed.into_iter().chain(routes) {
        if let Some(text) = read(&key, file, errors) {
            *value = text;
        }
    }
    for (name, file) in &kafka.property_files {
        if let Some(text) = read(&format!("kafka.property_files.{name}"), file, errors) {
            kafka.properties.insert(name.clone(), text);
        }
    }
}

fn read(key: &str, file: &str, errors: &mut ConfigErrors) -> Option<String> {
    if file.is_empty() {
        return None;
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Some(text.trim_end().to_owned()),
        Err(error) => {
            errors.add(key, format!("the file {file:?} cannot be read: {error}"));
            None
        }
    }
}

/// A URL without its password.
#[must_use]
pub fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = masked_parameters(rest);
    // A password may hold an `@`, so the last one ends it.
    let Some((login, place)) = rest.rsplit_once('@') else { return format!("{scheme}://{rest}") };
    if login.contains(['/', '?']) {
        // Perhaps characters of a password that were not escaped.
        return format!("{scheme}://{MASK}@{place}");
    }
    let user = login.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:{MASK}@{place}")
}

/// With the values of all parameters masked whose names end in `password`.
fn masked_parameters(rest: &str) -> String {
    let Some((path, parameters)) = rest.split_once('?') else { return rest.to_owned() };
    let masked = parameters.split('&').map(|parameter| match parameter.split_once("password=") {
        Some((before, _)) => format!("{before}password={MASK}"),
        None => parameter.to_owned(),
    });
    format!("{path}?{}", masked.collect::<Vec<_>>().join("&"))
}

/// A URL of which only scheme and host may be seen.
#[must_use]
pub fn masked_path(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.is_empty() { String::new() } else { MASK.to_owned() };
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if !host.contains('@') && rest.contains('@') {
        // What looks like the host may be the beginning of a login.
        return format!("{scheme}://{MASK}");
    }
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{MASK}")
}

/// A Kafka property's value, masked when its name says that it is a secret.
#[must_use]
pub fn masked_property<'v>(name: &str, value: &'v str) -> &'v str {
    let secret = [
        "password",
        "passphrase",
        "secret",
        "key.pem",
        "token",
        "oauthbearer.config",
        "jaas",
        // A command may hold a password.
        "kinit.cmd",
    ];
    if secret.iter().any(|word| name.contains(word)) { MASK } else { value }
}
