//! EC2 and CloudWatch, through the crate `host-ec2`; in the demo, a world of fixtures instead.

use host_ec2::{
    Client, Instance, InstanceType, InstanceTypes, Options, Page, Snapshot, SpotPrice, Traffic, Utilization, Volume,
};
use tokio::sync::OnceCell;

use crate::config::Ec2Plan;

pub use host_ec2::{Error as Ec2Error, ErrorKind as Ec2ErrorKind, Observer as Ec2Observer, Traffic as Ec2Traffic};

/// EC2 of the plan. Nobody is connected before something is asked.
#[derive(Debug)]
pub struct Ec2(Source);

#[derive(Debug)]
enum Source {
    Aws { options: Options, client: OnceCell<Result<Client, Ec2Error>> },
    World(Box<Ec2World>),
}

/// Everything that EC2 would answer.
#[derive(Clone, Debug, Default)]
pub struct Ec2World {
    pub region: String,
    pub instances: Vec<Instance>,
    pub volumes: Vec<Volume>,
    pub snapshots: Vec<Snapshot>,
    pub types: Vec<InstanceType>,
    pub spot_prices: Vec<SpotPrice>,
    pub utilizations: Vec<Utilization>,
}

impl Ec2 {
    /// Amazon's, as the plan says.
    pub fn new(plan: &Ec2Plan) -> Ec2 {
        let options = Options {
            region: plan.region.clone(),
            endpoint_url: plan.endpoint_url.clone(),
            timeout: Some(plan.timeout),
        };
        Ec2(Source::Aws { options, client: OnceCell::new() })
    }

    /// A world that stands in for Amazon's.
    pub fn of_world(world: Ec2World) -> Ec2 {
        Ec2(Source::World(Box::new(world)))
    }

    /// The region: `us-east-1`.
    ///
    /// # Errors
    /// As [`Ec2ErrorKind`] says; so with the other calls.
    pub async fn region(&self) -> Result<String, Ec2Error> {
        match &self.0 {
            Source::World(world) => Ok(world.region.clone()),
            Source::Aws { .. } => Ok(self.client().await?.region().to_owned()),
        }
    }

    /// A page of the instances of every state.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn instances(&self, token: Option<String>, traffic: &Traffic) -> Result<Page<Instance>, Ec2Error> {
        match &self.0 {
            Source::World(world) => whole(&world.instances, traffic),
            Source::Aws { .. } => self.client().await?.instances(token, traffic).await,
        }
    }

    /// A page of the volumes.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn volumes(&self, token: Option<String>, traffic: &Traffic) -> Result<Page<Volume>, Ec2Error> {
        match &self.0 {
            Source::World(world) => whole(&world.volumes, traffic),
            Source::Aws { .. } => self.client().await?.volumes(token, traffic).await,
        }
    }

    /// A page of the snapshots that this account owns.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn snapshots(&self, token: Option<String>, traffic: &Traffic) -> Result<Page<Snapshot>, Ec2Error> {
        match &self.0 {
            Source::World(world) => whole(&world.snapshots, traffic),
            Source::Aws { .. } => self.client().await?.snapshots(token, traffic).await,
        }
    }

    /// What types have.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn types(&self, names: &[String], traffic: &Traffic) -> Result<InstanceTypes, Ec2Error> {
        match &self.0 {
            Source::World(world) => {
                traffic.request()?;
                let rows = world.types.iter().filter(|row| names.contains(&row.name)).cloned().collect();
                Ok(InstanceTypes { rows, refused: Vec::new() })
            }
            Source::Aws { .. } => self.client().await?.types(names, traffic).await,
        }
    }

    /// A page of the spot prices in force.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn spot_prices(
        &self,
        types: &[String],
        token: Option<String>,
        traffic: &Traffic,
    ) -> Result<Page<SpotPrice>, Ec2Error> {
        match &self.0 {
            Source::World(world) => {
                traffic.request()?;
                let rows = world.spot_prices.iter().filter(|row| types.contains(&row.instance_type)).cloned();
                Ok(Page { rows: rows.collect(), next_token: None })
            }
            Source::Aws { .. } => self.client().await?.spot_prices(types, token, traffic).await,
        }
    }

    /// CPU utilization in periods of `period_s` seconds.
    ///
    /// # Errors
    /// As [`Ec2::region`].
    pub async fn utilizations(
        &self,
        instance_ids: &[String],
        start_ms: i64,
        end_ms: i64,
        period_s: i32,
        traffic: &Traffic,
    ) -> Result<Vec<Utilization>, Ec2Error> {
        match &self.0 {
            Source::World(world) => {
                traffic.request()?;
                let rows = world.utilizations.iter().filter(|row| instance_ids.contains(&row.instance_id));
                Ok(rows.cloned().collect())
            }
            Source::Aws { .. } => {
                self.client().await?.utilizations(instance_ids, start_ms, end_ms, period_s, traffic).await
            }
        }
    }

    async fn client(&self) -> Result<&Client, Ec2Error> {
        match &self.0 {
            Source::Aws { options, client } => {
                client.get_or_init(|| Client::connect(options)).await.as_ref().map_err(Clone::clone)
            }
            Source::World(_) => Err(Ec2Error::new(Ec2ErrorKind::Broken, "a world has no client")),
        }
    }
}

fn whole<T: Clone>(rows: &[T], traffic: &Traffic) -> Result<Page<T>, Ec2Error> {
    traffic.request()?;
    Ok(Page { rows: rows.to_vec(), next_token: None })
}
