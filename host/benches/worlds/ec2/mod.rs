//! EC2 and CloudWatch by their query protocols: forms in, XML out.
//!
//! [`fleet`] says what there is, [`xml`] writes it, [`figures`] counts it.

mod figures;
mod fleet;
mod xml;

use std::sync::Arc;

use super::server::{Answer, Pairs, Request, Upstream, page};
use super::world::World;
use fleet::Fleet;

/// What EC2 gives at most in a page, whatever is asked.
const PAGE: usize = 1000;

/// A large fleet.
pub fn world() -> World {
    let fleet = Fleet::large();
    let holds = vec![
        (fleet.instances.len(), "instances"),
        (fleet.types.len(), "types"),
        (fleet::VOLUMES, "volumes"),
        (fleet::SNAPSHOTS, "snapshots"),
        (fleet.types.len() * fleet::ZONES.len() * fleet::PRODUCTS.len(), "spot prices"),
    ];
    World {
        collector: "ec2",
        holds,
        plan: |address| format!("[ec2]\nregion = 'us-east-1'\nendpoint_url = 'http://{address}'\n"),
        environment: &[
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ],
        is_remembered: false,
        figures: figures::of(&fleet),
        upstream: Arc::new(Server::new(fleet)),
    }
}

struct Server {
    fleet: Fleet,
    instances: Vec<String>,
    volumes: Vec<String>,
    snapshots: Vec<String>,
    spot_prices: Vec<String>,
}

impl Server {
    fn new(fleet: Fleet) -> Server {
        Server {
            instances: fleet.instances.iter().map(|instance| xml::instance(&fleet, instance)).collect(),
            volumes: (0..fleet::VOLUMES).map(xml::volume).collect(),
            snapshots: (0..fleet::SNAPSHOTS).map(xml::snapshot).collect(),
            spot_prices: xml::spot_prices(&fleet),
            fleet,
        }
    }

    /// Types of these names.
    fn types(&self, form: &Pairs) -> Vec<String> {
        let named: Vec<&str> =
            form.iter().filter(|(key, _)| key.starts_with("InstanceType.")).map(|(_, name)| name).collect();
        self.fleet.types.iter().filter(|kind| named.contains(&kind.name.as_str())).map(xml::instance_type).collect()
    }
}

impl Upstream for Server {
    fn answer(&self, request: &Request) -> Option<Answer> {
        let form = Pairs::read(&request.body);
        let action = form.get("Action")?;
        Some(Answer::of(
            "text/xml",
            match action {
                "DescribeInstances" => listing(action, "reservationSet", &self.instances, &form),
                "DescribeVolumes" => listing(action, "volumeSet", &self.volumes, &form),
                "DescribeSnapshots" => listing(action, "snapshotSet", &self.snapshots, &form),
                "DescribeSpotPriceHistory" => listing(action, "spotPriceHistorySet", &self.spot_prices, &form),
                "DescribeInstanceTypes" => listing(action, "instanceTypeSet", &self.types(&form), &form),
                "GetMetricData" => xml::metric_data(&form, &self.fleet),
                _ => return None,
            },
        ))
    }
}

/// A page of a list.
fn listing(action: &str, set: &str, items: &[String], form: &Pairs) -> String {
    let start = form.number("NextToken").unwrap_or(0);
    let (items, next) = page(items, start, form.number("MaxResults").unwrap_or(PAGE).min(PAGE));
    let token = next.map(|next| format!("<nextToken>{next}</nextToken>")).unwrap_or_default();
    let items = items.concat();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
         <requestId>59dbff89-35bd-4eac-99ed-be587EXAMPLE</requestId><{set}>{items}</{set}>{token}</{action}Response>"
    )
}
