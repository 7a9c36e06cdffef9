//! Where things are reached, as the file says it: URLs, timeouts, names and certificates of every connection.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use url::Url;

use crate::policy::Timeouts;

use super::ConfigError;
use super::file::{File, Text, TimeoutsSection};

/// What holds for every connection.
#[derive(Clone, Debug, Default)]
pub struct NetworkPlan {
    pub ca_file: Option<PathBuf>,
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
}

impl NetworkPlan {
    /// `[network]` of the file.
    pub(super) fn of(file: &File) -> NetworkPlan {
        NetworkPlan { ca_file: file.network.ca_file.clone(), hosts: file.network.hosts.clone() }
    }
}

/// The line to write where a URL is missing.
pub(super) fn url_hint(place: &str, key: &str, text: Option<&Text>) -> String {
    let line = format!("write {key} = \"https://…\" under {place}");
    match text.and_then(Text::variable) {
        Some(variable) => format!("set {variable}, or {line}"),
        None => line,
    }
}

/// A URL that requests' paths can be appended to. `key` is what it is called in the file.
pub(super) fn base_url(place: &str, key: &str, text: &str) -> Result<Url, ConfigError> {
    let url = http_url(place, key, text)?;
    if url.query().is_some() {
        return Err(bad_url(place, key, "holds a query"));
    }
    Ok(url)
}

/// A URL of HTTP; it may hold a query.
pub(super) fn http_url(place: &str, key: &str, text: &str) -> Result<Url, ConfigError> {
    let wrong = |what: &str| bad_url(place, key, what);
    // The text itself is not shown: people put passwords into URLs.
    let url = Url::parse(text).map_err(|e| wrong(&format!("is not a URL: {e}")))?;
    match url.scheme() {
        "http" | "https" => {}
        scheme => return Err(wrong(&format!("has the scheme {scheme}, not http or https"))),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user or password; those belong into a [credential.NAME]"));
    }
    if url.fragment().is_some() {
        return Err(wrong("holds a fragment"));
    }
    Ok(url)
}

fn bad_url(place: &str, key: &str, what: &str) -> ConfigError {
    ConfigError::Hinted {
        place: place.into(),
        what: format!("{key} {what}"),
        hint: format!("write it as in {key} = \"https://api.example.com\""),
    }
}

pub(super) fn timeouts(section: &TimeoutsSection) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: section.connect.map_or(default.connect, |wall| wall.0),
        first_byte: section.first_byte.map_or(default.first_byte, |wall| wall.0),
        between_bytes: section.between_bytes.map_or(default.between_bytes, |wall| wall.0),
        whole: section.whole.map_or(default.whole, |wall| wall.0),
    }
}
