//! The sections `[kubernetes]` and `[ec2]`, validated.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::file::{Ec2Section, File, KubernetesSection};
use super::network::base_url;
use super::{ConfigError, Environment};

/// The longest that one answer may take, where nothing is written.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The cluster that collectors read.
#[derive(Clone, Debug)]
pub struct KubernetesPlan {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    /// An API server that wants no credentials, instead of a kubeconfig or a service account.
    pub server: Option<Url>,
    pub timeout: Duration,
}

/// Region and account of EC2; what is not here comes by the AWS SDK's chain.
#[derive(Clone, Debug)]
pub struct Ec2Plan {
    pub region: Option<String>,
    pub endpoint_url: Option<String>,
    pub timeout: Duration,
}

impl Default for KubernetesPlan {
    fn default() -> KubernetesPlan {
        KubernetesPlan { kubeconfig: None, context: None, server: None, timeout: TIMEOUT }
    }
}

impl Default for Ec2Plan {
    fn default() -> Ec2Plan {
        Ec2Plan { region: None, endpoint_url: None, timeout: TIMEOUT }
    }
}

pub(super) fn kubernetes(file: &File, environment: Environment<'_>) -> Result<KubernetesPlan, ConfigError> {
    let KubernetesSection { collectors: _, kubeconfig, context, server, timeout } = &file.kubernetes;
    let server = server.as_ref().and_then(|text| text.read(environment));
    Ok(KubernetesPlan {
        kubeconfig: kubeconfig.clone(),
        context: context.clone(),
        server: server.map(|text| base_url("[kubernetes]", "server", &text)).transpose()?,
        timeout: timeout.map_or(TIMEOUT, |wall| wall.0),
    })
}

pub(super) fn ec2(file: &File, environment: Environment<'_>) -> Ec2Plan {
    let Ec2Section { collectors: _, region, endpoint_url, timeout } = &file.ec2;
    Ec2Plan {
        region: region.as_ref().and_then(|text| text.read(environment)),
        endpoint_url: endpoint_url.as_ref().and_then(|text| text.read(environment)),
        timeout: timeout.map_or(TIMEOUT, |wall| wall.0),
    }
}
