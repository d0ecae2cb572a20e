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
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // A password may hold an `@`, so the last one ends it.
    let authority = match authority.rsplit_once('@') {
        Some((login, host)) => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{user}:{MASK}@{host}")
        }
        None => authority.to_owned(),
    };
    let tail = match tail.split_once("password=") {
        Some((before, after)) => {
            let rest = after.find('&').map_or("", |end| &after[end..]);
            format!("{before}password={MASK}{rest}")
        }
        None => tail.to_owned(),
    };
    format!("{scheme}://{authority}{tail}")
}

/// A URL of which only scheme and host may be seen.
#[must_use]
pub fn masked_path(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return if url.is_empty() { String::new() } else { MASK.to_owned() };
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{MASK}")
}

/// A Kafka property's value, masked when its name says that it is a secret.
#[must_use]
pub fn masked_property<'v>(name: &str, value: &'v str) -> &'v str {
    let secret = ["password", "secret", "key.pem", "token", "oauthbearer.config", "jaas"];
    if secret.iter().any(|word| name.contains(word)) { MASK } else { value }
}
