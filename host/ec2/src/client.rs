//! Amazon's own SDK.

use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::primitives::DateTime;

use crate::from_sdk;
use crate::{
    Error, ErrorKind, Instance, InstanceType, InstanceTypes, Options, Page, Snapshot, SpotPrice, Traffic, Utilization,
    Volume,
};

/// Instances, snapshots and prices of a page: the most that EC2 gives.
const PAGE: i32 = 1000;
/// Volumes of a page: the most that EC2 gives of them.
const VOLUMES_OF_PAGE: i32 = 500;

/// One region of one account.
#[derive(Clone, Debug)]
pub struct Client {
    ec2: aws_sdk_ec2::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
    region: String,
}

impl Client {
    /// Finds region and credentials; asks nothing of EC2 yet.
    ///
    /// # Errors
    /// `credential` where there is no region.
    pub async fn connect(options: &Options) -> Result<Client, Error> {
        let (config, region) = config(options).await?;
        Ok(Client {
            ec2: aws_sdk_ec2::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            region,
        })
    }

    /// The region: `us-east-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// A page of DescribeInstances: every state.
    ///
    /// # Errors
    /// As [`Error`] says; so with the other calls.
    pub async fn instances(&self, next_token: Option<String>, traffic: &Traffic) -> Result<Page<Instance>, Error> {
        let ask = self.ec2.describe_instances().max_results(PAGE).set_next_token(next_token);
        let answer = ask
            .customize()
            .interceptor(traffic.clone())
            .send()
            .await
            .map_err(|e| Error::of("DescribeInstances", &e))?;
        let reservations = answer.reservations.unwrap_or_default().into_iter();
        let rows = reservations.flat_map(|r| r.instances.unwrap_or_default()).map(Instance::from).collect();
        Ok(Page { rows, next_token: answer.next_token })
    }

    /// A page of DescribeVolumes.
    ///
    /// # Errors
    /// As [`Client::instances`].
    pub async fn volumes(&self, next_token: Option<String>, traffic: &Traffic) -> Result<Page<Volume>, Error> {
        let ask = self.ec2.describe_volumes().max_results(VOLUMES_OF_PAGE).set_next_token(next_token);
        let answer =
            ask.customize().interceptor(traffic.clone()).send().await.map_err(|e| Error::of("DescribeVolumes", &e))?;
        let rows = answer.volumes.unwrap_or_default().into_iter().map(Volume::from).collect();
        Ok(Page { rows, next_token: answer.next_token })
    }

    /// A page of DescribeSnapshots: those of this account.
    ///
    /// # Errors
    /// As [`Client::instances`].
    pub async fn snapshots(&self, next_token: Option<String>, traffic: &Traffic) -> Result<Page<Snapshot>, Error> {
        let ask = self.ec2.describe_snapshots().owner_ids("self").max_results(PAGE).set_next_token(next_token);
        let answer = ask
            .customize()
            .interceptor(traffic.clone())
            .send()
            .await
            .map_err(|e| Error::of("DescribeSnapshots", &e))?;
        let rows = answer.snapshots.unwrap_or_default().into_iter().map(Snapshot::from).collect();
        Ok(Page { rows, next_token: answer.next_token })
    }

    /// DescribeInstanceTypes. One refused name fails the whole request, so the rest is asked for again without it.
    ///
    /// # Errors
    /// As [`Client::instances`].
    pub async fn types(&self, names: &[String], traffic: &Traffic) -> Result<InstanceTypes, Error> {
        let mut all = InstanceTypes::default();
        let mut left = vec![names.to_vec()];
        while let Some(names) = left.pop() {
            if names.is_empty() {
                continue;
            }
            let types = names.iter().map(|name| name.as_str().into()).collect();
            let ask = self.ec2.describe_instance_types().set_instance_types(Some(types));
            match ask.customize().interceptor(traffic.clone()).send().await {
                Ok(answer) => {
                    all.rows.extend(answer.instance_types.unwrap_or_default().into_iter().map(InstanceType::from))
                }
                Err(e) if e.code() == Some("InvalidInstanceType") => {
                    left.extend(without_refused(names, e.message().unwrap_or_default(), &mut all.refused));
                }
                Err(e) => return Err(Error::of("DescribeInstanceTypes", &e)),
            }
        }
        Ok(all)
    }

    /// A page of DescribeSpotPriceHistory: what is in force now, whenever it was set.
    ///
    /// # Errors
    /// As [`Client::instances`].
    pub async fn spot_prices(
        &self,
        types: &[String],
        next_token: Option<String>,
        traffic: &Traffic,
    ) -> Result<Page<SpotPrice>, Error> {
        let now = DateTime::from(SystemTime::now());
        let types = types.iter().map(|name| name.as_str().into()).collect();
        let ask = self.ec2.describe_spot_price_history().set_instance_types(Some(types)).start_time(now).end_time(now);
        let ask = ask.max_results(PAGE).set_next_token(next_token);
        let answer = ask.customize().interceptor(traffic.clone()).send().await;
        let answer = answer.map_err(|e| Error::of("DescribeSpotPriceHistory", &e))?;
        let rows = answer.spot_price_history.unwrap_or_default().into_iter().filter_map(from_sdk::spot_price).collect();
        Ok(Page { rows, next_token: answer.next_token })
    }

    /// GetMetricData: `CPUUtilization` of `AWS/EC2`, averages of each period, all pages. At most 500 instances.
    ///
    /// # Errors
    /// As [`Client::instances`].
    pub async fn utilizations(
        &self,
        instance_ids: &[String],
        start_ms: i64,
        end_ms: i64,
        period_s: i32,
        traffic: &Traffic,
    ) -> Result<Vec<Utilization>, Error> {
        let none = |id: &String| Utilization { instance_id: id.clone(), averages: Vec::new() };
        let mut rows: Vec<Utilization> = instance_ids.iter().map(none).collect();
        let queries: Vec<_> = instance_ids.iter().enumerate().map(|(n, id)| cpu_query(n, id, period_s)).collect();
        let all = self
            .cloudwatch
            .get_metric_data()
            .set_metric_data_queries(Some(queries))
            .start_time(DateTime::from_millis(start_ms))
            .end_time(DateTime::from_millis(end_ms));
        let mut token = None;
        loop {
            let ask = all.clone().set_next_token(token).customize().interceptor(traffic.clone());
            let page = ask.send().await.map_err(|e| Error::of("GetMetricData", &e))?;
            for result in page.metric_data_results.unwrap_or_default() {
                let place = result.id.as_deref().and_then(|id| id.strip_prefix('i')?.parse::<usize>().ok());
                if let Some(row) = place.and_then(|place| rows.get_mut(place)) {
                    row.averages.extend(result.values.unwrap_or_default());
                }
            }
            token = page.next_token;
            if token.as_ref().is_none_or(String::is_empty) {
                return Ok(rows);
            }
        }
    }
}

/// Region, credentials and patience, for clients of all services; and the region's name.
pub(crate) async fn config(options: &Options) -> Result<(SdkConfig, String), Error> {
    let region = region(options.region.as_deref()).await?;
    let attempt = options.timeout.unwrap_or(Duration::from_secs(30));
    let timeouts =
        TimeoutConfig::builder().connect_timeout(Duration::from_secs(5)).operation_attempt_timeout(attempt).build();
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .credentials_provider(credentials(region.clone()).await)
        .retry_config(RetryConfig::standard())
        .timeout_config(timeouts);
    let loader = match &options.endpoint_url {
        Some(url) => loader.endpoint_url(url),
        None => loader,
    };
    let config = loader.load().await;
    Ok((config, region.to_string()))
}

/// The region that is written, else the SDK's chain's: environment, profile, instance metadata.
pub(crate) async fn region(written: Option<&str>) -> Result<Region, Error> {
    if let Some(region) = written {
        return Ok(Region::new(region.to_owned()));
    }
    let last = ImdsRegionProvider::builder().imds_client(metadata()).build();
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    let found = chain.or_else(ProfileFileRegionProvider::new()).or_else(last).region().await;
    found.ok_or_else(|| Error::new(ErrorKind::Credential, "no AWS region is set"))
}

/// The SDK's chain of credentials.
pub(crate) async fn credentials(region: Region) -> DefaultCredentialsChain {
    DefaultCredentialsChain::builder().imds_client(metadata()).region(region).build().await
}

/// The metadata service of an instance. Where there is none, as on a laptop, its address swallows packets.
fn metadata() -> imds::Client {
    let timeout = Duration::from_millis(500);
    imds::Client::builder().max_attempts(1).connect_timeout(timeout).read_timeout(timeout).build()
}

/// A query for one instance; its id must begin with a small letter.
fn cpu_query(place: usize, instance_id: &str, period_s: i32) -> MetricDataQuery {
    let instance = Dimension::builder().name("InstanceId").value(instance_id).build();
    let metric = Metric::builder().namespace("AWS/EC2").metric_name("CPUUtilization").dimensions(instance).build();
    let stat = MetricStat::builder().metric(metric).period(period_s).stat("Average").build();
    MetricDataQuery::builder().id(format!("i{place}")).metric_stat(stat).return_data(true).build()
}

/// The names to ask for again: without those that the error's message names, or, where it names none, in two halves.
fn without_refused(mut names: Vec<String>, message: &str, refused: &mut Vec<String>) -> Vec<Vec<String>> {
    let is_named = |name: &String| {
        message.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-')).any(|word| word == name)
    };
    let (bad, good): (Vec<String>, Vec<String>) = names.iter().cloned().partition(is_named);
    if !bad.is_empty() {
        refused.extend(bad);
        return vec![good];
    }
    if names.len() == 1 {
        refused.extend(names);
        return Vec::new();
    }
    let second = names.split_off(names.len() / 2);
    vec![names, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_refused_type_is_left_out_and_the_rest_is_asked_for_again() {
        let mut refused = Vec::new();
        let message = "The following supplied instance types do not exist: [p2.xlarge, p3.2xlarge]";
        let left = without_refused(names(&["g6.xlarge", "p2.xlarge", "p3.2xlarge"]), message, &mut refused);
        assert_eq!((left, refused), (vec![names(&["g6.xlarge"])], names(&["p2.xlarge", "p3.2xlarge"])));
    }

    #[test]
    fn where_the_message_names_none_the_halves_are_asked_for() {
        let mut refused = Vec::new();
        let left = without_refused(names(&["a.x", "b.x", "c.x"]), "no", &mut refused);
        assert_eq!(left, vec![names(&["a.x"]), names(&["b.x", "c.x"])]);
        assert!(without_refused(names(&["a.x"]), "no", &mut refused).is_empty());
        assert_eq!(refused, names(&["a.x"]));
    }
}
