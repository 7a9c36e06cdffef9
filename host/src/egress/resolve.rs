//! Names to addresses: looked up once in a cycle, every address checked, nothing else connected to.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::policy::{AddressClass, Allowed};

/// Looks a name up. A function, so that a test can be the name server.
pub type Lookup = Arc<dyn Fn(String) -> Looking + Send + Sync>;
type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's own resolver, behind the plan's fixed addresses.
pub fn system_lookup(hosts: BTreeMap<String, Vec<IpAddr>>) -> Lookup {
    let hosts = Arc::new(hosts);
    Arc::new(move |name: String| {
        let fixed = hosts.get(&name).cloned();
        Box::pin(async move {
            match fixed {
                Some(addresses) => Ok(addresses),
                None => Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()),
            }
        })
    })
}

/// An address that the upstream is not granted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{host} is {address}, a {class} address; to grant it, write allow_addresses = [\"{grant}\"] under [{section}]")]
pub(super) struct Refused {
    host: String,
    address: IpAddr,
    class: AddressClass,
    /// What would grant it: the class, where one can be granted, else the address itself.
    grant: String,
    section: String,
}

/// A name's addresses, or the place that its lookup will put them.
type Looked = Arc<OnceCell<Vec<IpAddr>>>;

/// The resolver of one endpoint: what it has looked up stays for the cycle.
#[derive(Clone)]
pub(super) struct Resolver {
    lookup: Lookup,
    allowed: Arc<Allowed>,
    /// Where a grant would stand, for the message.
    section: Arc<str>,
    known: Arc<Mutex<HashMap<String, Looked>>>,
}

impl Resolver {
    pub fn new(lookup: Lookup, allowed: Allowed, section: &str) -> Resolver {
        Resolver { lookup, allowed: Arc::new(allowed), section: section.into(), known: Arc::default() }
    }

    /// The addresses of a name that may be connected to; at least one.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(host.to_owned()).or_default().clone()
        };
        // A failed lookup is tried again by the next request; an answer stands.
        let all = cell.get_or_try_init(|| (self.lookup)(host.to_owned())).await?;
        let mut refused = None;
        let mut granted = Vec::new();
        for address in all {
            match self.check(host, *address) {
                Ok(()) => granted.push(*address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            _ if !granted.is_empty() => Ok(granted),
            Some(refused) => Err(refused.into()),
            None => Err(format!("{host} has no address").into()),
        }
    }

    /// Decides about one address.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        self.allowed.check(address).map_err(|class| Refused {
            host: host.into(),
            address,
            class,
            grant: match class {
                AddressClass::Public | AddressClass::Reserved => address.to_string(),
                class => class.to_string(),
            },
            section: self.section.to_string(),
        })
    }
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.resolve(name.as_str()).await?;
            // Port 0 becomes the URL's.
            let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn resolver(answers: &'static [&'static [&'static str]], allowed: &str) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let lookup: Lookup = Arc::new(move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            let answer = answers[n.min(answers.len() - 1)].iter().map(|ip| ip.parse().unwrap()).collect();
            Box::pin(async move { Ok(answer) })
        });
        let allowed = Allowed::new(allowed.split_whitespace().map(|rule| rule.parse().unwrap()).collect());
        (Resolver::new(lookup, allowed, "upstream.x"), asked)
    }

    #[tokio::test]
    async fn a_name_that_resolves_elsewhere_the_second_time_is_not_asked_a_second_time() {
        let (resolver, asked) = resolver(&[&["140.82.112.5"], &["169.254.169.254"]], "");
        for _ in 0..2 {
            assert_eq!(resolver.resolve("x").await.unwrap(), ["140.82.112.5".parse::<IpAddr>().unwrap()]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn only_granted_addresses_are_left_and_none_is_an_error_that_names_the_grant() {
        let (mixed, _) = resolver(&[&["10.0.0.1", "140.82.112.5"]], "");
        assert_eq!(mixed.resolve("x").await.unwrap().len(), 1);
        let (private, _) = resolver(&[&["10.0.0.1"]], "loopback");
        let error = private.resolve("db").await.unwrap_err();
        assert!(error.is::<Refused>());
        assert_eq!(
            error.to_string(),
            "db is 10.0.0.1, a private address; to grant it, write allow_addresses = [\"private\"] under [upstream.x]"
        );
        let (none, _) = resolver(&[&[]], "");
        assert!(none.resolve("x").await.unwrap_err().to_string().contains("no address"));
    }
}
