//! Secrets from where they live: asked for once, before the plan is made, and kept nowhere but in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use super::{Cluster, Reading};
use crate::clock;
use crate::config::{SecretStore, SecretsPlan, StoredSecret, StoredSecrets, VaultLogin, VaultPlan};
use crate::egress::{Ask, Bounds, Buffer, Endpoint, Meter, Network, NetworkError, Pacing, system_lookup};
use crate::limits::ByteSize;
use crate::model::{Name, Redactor, Secret};
use crate::policy::{Credential, Redirects, Upstream};

/// What a name in a store holds: a text, or keys with texts. An error says why there is nothing.
type Held = Result<Content, String>;

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    Keys(BTreeMap<String, String>),
}

/// All stores together have this long: a cycle without a secret is better than none.
const TIME: Duration = Duration::from_secs(20);

/// Values are at most 64 KiB (AWS) to 1 MiB (Kubernetes, Vault).
const ANSWER_BYTES_MAX: ByteSize = ByteSize::mib(2);

/// Asks all stores that the configuration names, at the same time: AWS in one batched call, Kubernetes and Vault once for each name.
///
/// # Errors
/// Where there is no network at all. What a store says is in the answer, and costs only who needs that secret.
pub async fn ask_stores(plan: &SecretsPlan) -> Result<StoredSecrets, NetworkError> {
    if plan.secrets.is_empty() {
        return Ok(StoredSecrets::Asked(BTreeMap::new()));
    }
    let network = Network::new(system_lookup(plan.network.hosts.clone()), plan.network.ca_file.as_deref())?;
    let deadline = clock::instant() + TIME;
    let names = |store| -> BTreeSet<String> {
        plan.secrets.iter().filter(|secret| secret.store == store).map(|secret| secret.name.clone()).collect()
    };
    let (aws, kubernetes, vault) = futures::join!(
        of_aws(plan, names(SecretStore::Aws), deadline),
        of_cluster(plan, names(SecretStore::Kubernetes), deadline),
        of_vault(plan, names(SecretStore::Vault), &network, deadline),
    );
    let answer = |secret: &StoredSecret| {
        let of_store = match secret.store {
            SecretStore::Aws => &aws,
            SecretStore::Kubernetes => &kubernetes,
            SecretStore::Vault => &vault,
        };
        let held = of_store.get(&secret.name).cloned().unwrap_or_else(|| Err("the store did not answer for it".into()));
        (secret.clone(), held.and_then(|content| content.pick(secret.key.as_deref())))
    };
    Ok(StoredSecrets::Asked(plan.secrets.iter().map(answer).collect()))
}

impl Content {
    /// A JSON object's keys, else the text itself.
    fn of_text(text: String) -> Content {
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(keys)) => {
                Content::Keys(keys.into_iter().map(|(key, value)| (key, plain(value))).collect())
            }
            _ => Content::Text(text),
        }
    }

    fn pick(self, key: Option<&str>) -> Result<Secret, String> {
        match (self, key) {
            (Content::Text(text), None) => Ok(Secret::new(text.trim())),
            (Content::Text(_), Some(_)) => Err("it is no JSON object, and has no keys".into()),
            (Content::Keys(keys), Some(key)) => match keys.get(key) {
                Some(value) => Ok(Secret::new(value.trim())),
                None => Err(format!("it has no such key, but {}", named(&keys))),
            },
            (Content::Keys(keys), None) => match keys.values().next() {
                Some(only) if keys.len() == 1 => Ok(Secret::new(only.trim())),
                _ => Err(format!("it has several keys, {}: write key = … beside it", named(&keys))),
            },
        }
    }
}

fn named(keys: &BTreeMap<String, String>) -> String {
    keys.keys().cloned().collect::<Vec<_>>().join(", ")
}

/// A JSON value as a text: a string without its quotes.
fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

async fn of_aws(plan: &SecretsPlan, names: BTreeSet<String>, deadline: Instant) -> BTreeMap<String, Held> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let options = host_ec2::Options {
        region: plan.aws.region.clone(),
        endpoint_url: plan.aws.endpoint_url.clone(),
        timeout: Some(plan.aws.timeout),
    };
    let asked: Vec<String> = names.iter().cloned().collect();
    let call = tokio::time::timeout_at(deadline.into(), host_ec2::secrets(&options, &asked));
    match call.await {
        Ok(Ok(answers)) => answers.into_iter().map(|(name, answer)| (name, answer.map(Content::of_text))).collect(),
        Ok(Err(e)) => all_failed(names, &e.to_string()),
        Err(_) => all_failed(names, "no answer in time"),
    }
}

fn all_failed(names: BTreeSet<String>, why: &str) -> BTreeMap<String, Held> {
    names.into_iter().map(|name| (name, Err(why.to_owned()))).collect()
}

async fn of_cluster(plan: &SecretsPlan, names: BTreeSet<String>, deadline: Instant) -> BTreeMap<String, Held> {
    let cluster = Cluster::new(&plan.kubernetes);
    let ask = async |name: String| {
        let held = of_cluster_one(&cluster, &name, deadline).await;
        (name, held)
    };
    futures::future::join_all(names.into_iter().map(ask)).await.into_iter().collect()
}

async fn of_cluster_one(cluster: &Cluster, name: &str, deadline: Instant) -> Held {
    let (namespace, secret) = name.split_once('/').ok_or("write it as kubernetes = \"namespace/name\"")?;
    let path = format!(
        "/api/v1/namespaces/{}/secrets/{}",
        crate::policy::encode_segment(namespace),
        crate::policy::encode_segment(secret)
    );
    let reading = Reading { path, query: Vec::new(), agent: "secrets".into() };
    let body = cluster.read(&reading, &bounds(deadline), &Meter::default()).await.map_err(|e| e.to_string())?;
    let answer: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
    let decode = |(key, value): (&String, &Value)| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
        Some((key.clone(), String::from_utf8(bytes).ok()?))
    };
    Ok(Content::Keys(answer["data"].as_object().into_iter().flatten().filter_map(decode).collect()))
}

async fn of_vault(
    plan: &SecretsPlan,
    names: BTreeSet<String>,
    network: &Network,
    deadline: Instant,
) -> BTreeMap<String, Held> {
    if names.is_empty() {
        return BTreeMap::new();
    }
    let vault = match &plan.vault {
        Ok(plan) => Vault::enter(plan, network, deadline).await,
        Err(why) => Err(why.clone()),
    };
    let vault = match vault {
        Ok(vault) => vault,
        Err(why) => return all_failed(names, &why),
    };
    let ask = async |name: String| {
        let held = vault.read(&name).await;
        (name, held)
    };
    futures::future::join_all(names.into_iter().map(ask)).await.into_iter().collect()
}

/// Vault, as somebody who may read in it.
struct Vault {
    endpoint: Endpoint,
    headers: Vec<(String, String)>,
    deadline: Instant,
}

impl Vault {
    /// Logs in, where that is needed.
    async fn enter(plan: &VaultPlan, network: &Network, deadline: Instant) -> Result<Vault, String> {
        let namespace = plan.namespace.iter().map(|namespace| ("X-Vault-Namespace".to_owned(), namespace.clone()));
        let headers = namespace.chain([("X-Vault-Request".to_owned(), "true".to_owned())]).collect();
        // What is sent is taken out of what comes back, be it in a header or, at the door, in a body.
        let with = |token: Option<&Secret>, sent: &Secret| {
            let upstream = Upstream {
                name: Name::lossy("vault"),
                base_url: plan.address.clone(),
                credential: token
                    .map(|token| Credential::Header { name: "X-Vault-Token".into(), secret: token.clone() }),
                allowed: plan.allowed.clone(),
                redirects: Redirects::default(),
                timeouts: plan.timeouts,
                is_conditional: false,
            };
            Endpoint::new(upstream, network.clone(), Redactor::new([(None, sent)])).of_section("secrets.vault")
        };
        let (role, mount, file) = match &plan.login {
            VaultLogin::Token(token) => return Ok(Vault { endpoint: with(Some(token), token), headers, deadline }),
            VaultLogin::Kubernetes { role, mount, token } => (role, mount, token),
        };
        let jwt = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let jwt = Secret::new(jwt.trim());
        let outside = Vault { endpoint: with(None, &jwt), headers: headers.clone(), deadline };
        let body = serde_json::json!({ "role": role, "jwt": jwt.reveal() }).to_string();
        let answer = outside.ask("POST", &format!("auth/{mount}/login"), body).await?;
        let token = Secret::new(answer["auth"]["client_token"].as_str().ok_or("the login gave no token")?);
        Ok(Vault { endpoint: with(Some(&token), &token), headers, deadline })
    }

    /// What a path holds: version 2 of the store has it one level deeper than version 1.
    async fn read(&self, path: &str) -> Held {
        let answer = self.ask("GET", path, String::new()).await?;
        let data = &answer["data"];
        let is_second = data["data"].is_object() && data["metadata"].is_object();
        let keys = if is_second { &data["data"] } else { data };
        let keys = keys.as_object().ok_or("it holds nothing")?;
        Ok(Content::Keys(keys.iter().map(|(key, value)| (key.clone(), plain(value.clone()))).collect()))
    }

    async fn ask(&self, method: &str, path: &str, body: String) -> Result<Value, String> {
        let ask = Ask {
            method: method.into(),
            path: format!("/v1/{}", path.trim_matches('/')),
            headers: self.headers.clone(),
            body: body.into(),
            agent: "secrets".into(),
            ..Ask::default()
        };
        let sent = self.endpoint.send(&ask, &bounds(self.deadline), &Meter::default(), Pacing::PATIENT).await;
        let answer = sent.map_err(|failure| failure.message)?;
        let parsed: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            200 => Ok(parsed),
            404 => Err("Vault has nothing there (404)".into()),
            status => Err(format!("Vault answered {status}{}", errors(&parsed))),
        }
    }
}

/// What Vault says of itself: `{"errors": ["permission denied"]}`.
fn errors(parsed: &Value) -> String {
    let texts = parsed["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let text: String = texts.collect::<Vec<_>>().join("; ").chars().take(200).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

fn bounds(deadline: Instant) -> Bounds {
    Bounds {
        deadline,
        body_bytes_max: ANSWER_BYTES_MAX.0,
        header_bytes_max: ANSWER_BYTES_MAX.0,
        buffer: Buffer::new(ANSWER_BYTES_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_picked_or_the_reason_names_the_keys_that_there_are() {
        let json = || Content::of_text(r#"{"A": "hunter2", "B": 7}"#.into());
        assert_eq!(json().pick(Some("A")).unwrap().reveal(), "hunter2");
        assert_eq!(json().pick(Some("B")).unwrap().reveal(), "7");
        assert_eq!(json().pick(Some("C")).unwrap_err(), "it has no such key, but A, B");
        assert_eq!(json().pick(None).unwrap_err(), "it has several keys, A, B: write key = … beside it");
        assert_eq!(Content::of_text("plain\n".into()).pick(None).unwrap().reveal(), "plain");
        assert!(Content::of_text("plain".into()).pick(Some("A")).is_err());
        assert_eq!(Content::of_text(r#"{"A": "x"}"#.into()).pick(None).unwrap().reveal(), "x");
    }
}
