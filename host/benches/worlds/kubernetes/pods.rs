//! Pods as the API lists them: some 7 KB each, a third of it about who changed which field.

use serde_json::{Value, json};

use super::cluster::{Amounts, Cluster, Fate, Owner, Pod, deployment_name, replica_set_name, uid};
use super::metadata::{fields, keyed, managed, merge, owner};
use super::{List, Listed};
use crate::time::minutes_ago;

const REGISTRY: &str = "602401143452.dkr.ecr.us-east-1.amazonaws.com/research";
const DIGEST: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const TAG: &str = "2025.10.23-4f1c0b7e";

/// `/api/v1/pods`
pub fn list(cluster: &Cluster) -> List {
    let objects = cluster.pods.iter().map(|pod| write(cluster, pod).to_string()).collect();
    ("/api/v1/pods", Listed { kind: "PodList", version: "v1", objects, is_paged: true })
}

/// Those of its containers that stay. A pod that serves has an init container before them.
pub fn containers(pod: &Pod) -> &'static [&'static str] {
    if pod.is_of_job() { &["main"] } else { &["app", "proxy"] }
}

fn init_containers(pod: &Pod) -> &'static [&'static str] {
    if pod.is_of_job() { &[] } else { &["migrate"] }
}

fn write(cluster: &Cluster, pod: &Pod) -> Value {
    json!({"metadata": write_metadata(cluster, pod), "spec": write_spec(pod), "status": write_status(pod)})
}

fn write_metadata(cluster: &Cluster, pod: &Pod) -> Value {
    let name = pod.name(cluster);
    let (labels, owners) = match pod.owner {
        Owner::Deployment(deployment) => {
            let (app, set) = (deployment_name(deployment), replica_set_name(deployment));
            (
                json!({"app": app, "pod-template-hash": "7d9c5b6f48"}),
                owner("apps/v1", "ReplicaSet", &set, &uid(6, deployment)),
            )
        }
        Owner::Job(job) => {
            let job = &cluster.jobs[job];
            let labels = json!({
                "batch.kubernetes.io/controller-uid": job.uid(),
                "batch.kubernetes.io/job-name": job.name(),
                "controller-uid": job.uid(),
                "job-name": job.name(),
            });
            (labels, owner("batch/v1", "Job", &job.name(), &job.uid()))
        }
    };
    let created = pod.minutes + 10;
    json!({
        "name": name,
        "generateName": name.get(..name.len() - 5),
        "namespace": pod.namespace(),
        "uid": pod.uid(),
        "resourceVersion": (81_000_000 + pod.number).to_string(),
        "creationTimestamp": minutes_ago(created),
        "labels": labels,
        "ownerReferences": owners,
        "annotations": {"prometheus.io/port": "9090", "prometheus.io/scrape": "true"},
        "managedFields": [
            managed("kube-controller-manager", "v1", None, created, &managed_spec(pod)),
            managed("kubelet", "v1", Some("status"), pod.minutes, &managed_status()),
        ],
    })
}

fn managed_spec(pod: &Pod) -> Value {
    let of_container = [
        "args",
        "env",
        "image",
        "imagePullPolicy",
        "name",
        "resources",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "volumeMounts",
    ];
    let of_containers = |names: &[&str]| merge(names.iter().map(|name| keyed("name", name, &of_container)));
    let mut spec = fields(&[
        "dnsPolicy",
        "enableServiceLinks",
        "nodeSelector",
        "restartPolicy",
        "schedulerName",
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "terminationGracePeriodSeconds",
    ]);
    spec["f:containers"] = of_containers(containers(pod));
    spec["f:initContainers"] = of_containers(init_containers(pod));
    spec["f:volumes"] = keyed("name", "scratch", &["name", "emptyDir"]);
    json!({
        "f:metadata": {
            "f:annotations": fields(&["prometheus.io/port", "prometheus.io/scrape"]),
            "f:generateName": {},
            "f:labels": fields(&["app", "controller-uid", "job-name"]),
            "f:ownerReferences": keyed("uid", &pod.uid(), &[]),
        },
        "f:spec": spec,
    })
}

fn managed_status() -> Value {
    let conditions = ["ContainersReady", "Initialized", "PodReadyToStartContainers", "Ready"];
    let of_condition = ["lastProbeTime", "lastTransitionTime", "message", "reason", "status", "type"];
    let mut status = fields(&["containerStatuses", "hostIP", "hostIPs", "initContainerStatuses", "phase", "podIP"]);
    status["f:conditions"] = merge(conditions.map(|condition| keyed("type", condition, &of_condition)));
    status["f:podIPs"] = keyed("ip", "10.42.7.118", &["ip"]);
    json!({"f:status": status})
}

fn write_spec(pod: &Pod) -> Value {
    let requests = if pod.is_of_job() { [("1", "2Gi"), ("", "")] } else { [("250m", "256Mi"), ("100m", "128Mi")] };
    let written = containers(pod).iter().zip(requests).map(|(name, requests)| write_container(name, requests));
    let written: Vec<Value> = written.collect();
    let init = init_containers(pod).iter().map(|name| write_container(name, ("100m", "128Mi")));
    let tolerated = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    let tolerate = |key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let namespace = json!({"apiVersion": "v1", "fieldPath": "metadata.namespace"});
    let mut spec = json!({
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "20Gi"}},
            {"name": "config", "configMap": {"name": "runtime-config", "defaultMode": 420}},
            {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
            ]}},
        ],
        "containers": written,
        "restartPolicy": if pod.is_of_job() { "Never" } else { "Always" },
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "runner",
        "serviceAccount": "runner",
        "securityContext": {"runAsNonRoot": true, "runAsUser": 10_001, "fsGroup": 10_001},
        "schedulerName": "default-scheduler",
        "priority": 0,
        "enableServiceLinks": true,
        "preemptionPolicy": "PreemptLowerPriority",
        "nodeSelector": {"karpenter.sh/nodepool": "general", "kubernetes.io/arch": "amd64"},
        "tolerations": tolerated.map(tolerate),
    });
    if !pod.is_of_job() {
        spec["initContainers"] = init.collect::<Vec<_>>().into();
    }
    if let Some(node) = pod.node() {
        spec["nodeName"] = node.into();
    }
    spec
}

fn write_container(name: &str, (cpu, memory): (&str, &str)) -> Value {
    let field = |field: &str| json!({"fieldRef": {"apiVersion": "v1", "fieldPath": field}});
    json!({
        "name": name,
        "image": format!("{REGISTRY}/{name}:{TAG}"),
        "args": ["python", "-m", "research.run", "--config", "/etc/research/run.yaml"],
        "env": [
            {"name": "POD_NAME", "valueFrom": field("metadata.name")},
            {"name": "NODE_IP", "valueFrom": field("status.hostIP")},
            {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
        ],
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "config", "mountPath": "/etc/research", "readOnly": true},
            {"name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "imagePullPolicy": "IfNotPresent",
    })
}

fn write_status(pod: &Pod) -> Value {
    let at = minutes_ago(pod.minutes);
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": at,
        })
    };
    if pod.fate == Fate::Unscheduled {
        let mut condition = condition("PodScheduled", "False");
        condition["reason"] = "Unschedulable".into();
        condition["message"] = "0/100 nodes are available: 3 node(s) had untolerated taint \
             {node.kubernetes.io/unreachable: }, 97 Insufficient cpu. preemption: 0/100 nodes are available."
            .into();
        return json!({"phase": "Pending", "conditions": [condition], "qosClass": "Burstable"});
    }
    let is_ready = if pod.fate == Fate::Runs { "True" } else { "False" };
    let write = |(n, name): (usize, &&str)| {
        // What happens to a pod happens to its first container.
        let beside = || json!({"running": {"startedAt": at}});
        let (state, restarts) = if n == 0 { (write_state(pod), pod.restarts) } else { (beside(), 0) };
        write_container_status(pod, name, state, restarts)
    };
    let init = init_containers(pod).iter().map(|name| {
        let done = json!({"terminated": write_end(pod.minutes + 8, 0, "Completed")});
        write_container_status(pod, name, done, 0)
    });
    let mut status = json!({
        "phase": pod.phase(),
        "conditions": [
            condition("PodReadyToStartContainers", "True"),
            condition("Initialized", "True"),
            condition("Ready", is_ready),
            condition("ContainersReady", is_ready),
            condition("PodScheduled", "True"),
        ],
        "hostIP": "10.42.7.17",
        "hostIPs": [{"ip": "10.42.7.17"}],
        "podIP": "10.42.7.118",
        "podIPs": [{"ip": "10.42.7.118"}],
        "startTime": minutes_ago(pod.minutes + 9),
        "initContainerStatuses": init.collect::<Vec<_>>(),
        "containerStatuses": containers(pod).iter().enumerate().map(write).collect::<Vec<_>>(),
        "qosClass": "Burstable",
    });
    if pod.fate == Fate::Evicted {
        status["reason"] = "Evicted".into();
        status["message"] = "The node was low on resource: ephemeral-storage. Threshold quantity: 2Gi.".into();
    }
    status
}

fn write_container_status(pod: &Pod, name: &str, state: Value, restarts: usize) -> Value {
    let last = if restarts > 0 { json!({"terminated": write_end(pod.minutes + 2, 1, "Error")}) } else { json!({}) };
    let is_running = state.get("running").is_some();
    json!({
        "name": name,
        "state": state,
        "lastState": last,
        "ready": is_running,
        "restartCount": restarts,
        "image": format!("{REGISTRY}/{name}:{TAG}"),
        "imageID": format!("{REGISTRY}/{name}@{DIGEST}"),
        "containerID": format!("containerd://{:064x}", pod.number),
        "started": is_running,
    })
}

/// Of the first container.
fn write_state(pod: &Pod) -> Value {
    let ended = |code, reason| json!({"terminated": write_end(pod.minutes, code, reason)});
    let waiting = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
    match pod.fate {
        Fate::Runs | Fate::Unscheduled => json!({"running": {"startedAt": minutes_ago(pod.minutes)}}),
        Fate::Crashes => waiting("CrashLoopBackOff", "back-off 5m0s restarting failed container=main"),
        Fate::Succeeded => ended(0, "Completed"),
        Fate::Failed => ended(1, "Error"),
        Fate::OutOfMemory => ended(137, "OOMKilled"),
        Fate::Evicted => ended(137, "ContainerStatusUnknown"),
        Fate::WithoutImage => {
            waiting("ImagePullBackOff", "Back-off pulling image: failed to resolve reference: not found")
        }
    }
}

fn write_end(minutes: usize, code: u8, reason: &str) -> Value {
    json!({
        "exitCode": code,
        "reason": reason,
        "startedAt": minutes_ago(minutes + 1),
        "finishedAt": minutes_ago(minutes),
        "containerID": "containerd://2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    })
}

/// What the pod uses, by container: all of it by the first.
pub fn split_usage(pod: &Pod) -> Vec<(&'static str, Amounts)> {
    let of = |n: usize| if n == 0 { pod.used() } else { Amounts { cpu_milli: 0, memory_mib: 0 } };
    containers(pod).iter().enumerate().map(|(n, name)| (*name, of(n))).collect()
}
