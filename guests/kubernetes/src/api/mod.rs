//! What the cluster is asked: three lists, each of which may be refused without harm to the others.
//!
//! [`rows`] keeps of each object what a figure asks for.

mod rows;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use collector_sdk::kubernetes::{self, Query, Resource};
use collector_sdk::{Fault, Reason, settings};
use serde::de::DeserializeOwned;

pub use self::rows::{Container, ContainerStatus, Deployment, Metadata, Pod, PodUsage, Quantities};

/// The most objects that one page is asked for: 2,000 pods are about 14 MB, and the host takes answers up to 16 MiB.
const PAGE_SIZE_MAX: u32 = 2000;

/// What the operator wrote for this collector. `collector.toml` says what each means.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From 1 to [`PAGE_SIZE_MAX`].
    page_size: u32,
    /// Each once; none means all that there are.
    namespaces: Option<BTreeSet<String>>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// `setting`, where one makes no sense.
    pub fn read() -> Result<Settings, Fault> {
        let page_size = settings::parsed("page_size")?;
        if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(Fault::setting(format!("setting page_size is {page_size}, not from 1 to {PAGE_SIZE_MAX}")));
        }
        let namespaces = settings::get("namespaces").map(|text| read_namespaces(&text)).transpose()?;
        Ok(Settings { page_size, namespaces })
    }
}

fn read_namespaces(text: &str) -> Result<BTreeSet<String>, Fault> {
    let namespaces: BTreeSet<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match namespaces.iter().find(|name| !is_namespace(name)) {
        Some(name) => Err(Fault::setting(format!("setting namespaces names {name:?}, which cannot be a namespace"))),
        None => Ok(namespaces),
    }
}

/// Whether it is a DNS label, as the names of namespaces are.
fn is_namespace(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The pods of every phase.
///
/// # Errors
/// Where the list cannot be had or read to its end.
pub async fn list_pods(settings: &Settings) -> Result<Vec<Pod>, Fault> {
    list(settings, Resource::Pods, |pod: &Pod| &pod.metadata).await
}

/// The deployments.
///
/// # Errors
/// Where the list cannot be had or read to its end.
pub async fn list_deployments(settings: &Settings) -> Result<Vec<Deployment>, Fault> {
    list(settings, Resource::Deployments, |deployment: &Deployment| &deployment.metadata).await
}

/// What the metrics API measured last of the pods that run. It lags behind: some pods are gone since, some not there yet.
///
/// # Errors
/// Where the cluster has no metrics API, or the list cannot be had or read to its end.
pub async fn list_usages(settings: &Settings) -> Result<Vec<PodUsage>, Fault> {
    let usages = list(settings, Resource::PodMetrics, |usage: &PodUsage| &usage.metadata).await;
    usages.map_err(|fault| match fault.reason {
        Reason::NotFound => fault.while_asking("the cluster has no metrics API (metrics.k8s.io)"),
        _ => fault,
    })
}

/// A whole list, of all namespaces or of each that the settings name; an object that comes twice is there once.
async fn list<T: DeserializeOwned>(
    settings: &Settings,
    resource: Resource,
    metadata: impl Fn(&T) -> &Metadata,
) -> Result<Vec<T>, Fault> {
    let everywhere = Query::all(resource).limit(settings.page_size);
    let queries = match &settings.namespaces {
        None => vec![everywhere],
        Some(names) => names.iter().map(|name| everywhere.clone().in_namespace(name)).collect(),
    };
    let mut objects = Vec::new();
    for query in queries {
        // A null among the objects is none of them.
        objects.extend(kubernetes::list::<Option<T>>(query).await?.into_iter().flatten());
    }
    let mut seen = BTreeSet::new();
    objects.retain(|object| metadata(object).identity().is_none_or(|identity| seen.insert(identity)));
    Ok(objects)
}
