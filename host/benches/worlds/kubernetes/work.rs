//! Deployments, jobs, CronJobs and events as the API lists them.

use serde_json::{Value, json};

use super::cluster::{
    CRON_JOBS, Cluster, DEPLOYED, DEPLOYMENTS, EVENTS, Fate, Job, Pod, cron_job_name, deployment_name, namespace,
    node_name, uid,
};
use super::metadata::{fields, keyed, managed, merge, owner};
use super::{List, Listed};
use crate::time::minutes_ago;

const CONTROLLER: &str = "kube-controller-manager";

/// Every tenth CronJob is suspended.
pub fn is_suspended(cron_job: usize) -> bool {
    cron_job.is_multiple_of(10)
}

/// `/apis/apps/v1/deployments`
pub fn list_deployments() -> List {
    let objects = (0..DEPLOYMENTS).map(|number| write_deployment(number).to_string()).collect();
    ("/apis/apps/v1/deployments", Listed { kind: "DeploymentList", version: "apps/v1", objects, is_paged: true })
}

/// `/apis/batch/v1/jobs`
pub fn list_jobs(jobs: &[Job]) -> List {
    let objects = jobs.iter().map(|job| write_job(job).to_string()).collect();
    ("/apis/batch/v1/jobs", Listed { kind: "JobList", version: "batch/v1", objects, is_paged: true })
}

/// `/apis/batch/v1/cronjobs`
pub fn list_cron_jobs() -> List {
    let objects = (0..CRON_JOBS).map(|number| write_cron_job(number).to_string()).collect();
    ("/apis/batch/v1/cronjobs", Listed { kind: "CronJobList", version: "batch/v1", objects, is_paged: true })
}

/// `/api/v1/events`: of the jobs and their pods, and of others as many as are missing.
pub fn list_events(cluster: &Cluster) -> List {
    let of_pods = cluster.pods.iter().filter(|pod| pod.is_of_job()).flat_map(|pod| write_pod_events(cluster, pod));
    let of_jobs = cluster.jobs.iter().flat_map(write_job_events);
    let of_cron_jobs = cluster.jobs.iter().filter_map(write_cron_job_event);
    let of_nodes = (0..).map(write_node_event);
    let all = of_pods.chain(of_jobs).chain(of_cron_jobs).chain(of_nodes).take(EVENTS).enumerate();
    let objects = all.map(|(number, event)| event.write(number).to_string()).collect();
    ("/api/v1/events", Listed { kind: "EventList", version: "v1", objects, is_paged: true })
}

fn write_deployment(number: usize) -> Value {
    let name = deployment_name(number);
    let replicas = if number < DEPLOYED { 50 } else { 0 };
    let status = json!({"replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas});
    let of_spec = ["progressDeadlineSeconds", "replicas", "revisionHistoryLimit", "selector", "strategy", "template"];
    let of_status =
        ["availableReplicas", "conditions", "observedGeneration", "readyReplicas", "replicas", "updatedReplicas"];
    json!({
        "metadata": {
            "name": name, "namespace": namespace(number), "uid": uid(5, number), "resourceVersion": "81442000",
            "generation": 12,
            "creationTimestamp": minutes_ago(200_000), "labels": {"app": name},
            "annotations": {"deployment.kubernetes.io/revision": "12"},
            "managedFields": [
                managed("helm", "apps/v1", None, 9_000, &json!({"f:spec": fields(&of_spec)})),
                managed(CONTROLLER, "apps/v1", Some("status"), 90, &json!({"f:status": fields(&of_status)})),
            ],
        },
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": write_template(&name),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        },
        "status": status,
    })
}

fn write_template(name: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name, "team": "research"}},
        "spec": {
            "containers": [{
                "name": "main",
                "image": "602401143452.dkr.ecr.us-east-1.amazonaws.com/research/main:2025.10.23-4f1c0b7e",
                "command": ["/usr/bin/tini", "--"],
                "args": ["python", "-m", "research.run", "--config", "/etc/research/run.yaml"],
                "env": [
                    {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://otel-collector.monitoring.svc:4317"},
                    {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}},
                ],
                "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/scratch"},
                    {"name": "config", "mountPath": "/etc/research", "readOnly": true},
                ],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "FallbackToLogsOnError",
                "imagePullPolicy": "IfNotPresent",
            }],
            "volumes": [
                {"name": "scratch", "emptyDir": {"sizeLimit": "20Gi"}},
                {"name": "config", "configMap": {"name": "runtime-config", "defaultMode": 420}},
            ],
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "runner",
            "serviceAccount": "runner", "securityContext": {"runAsNonRoot": true}, "schedulerName": "default-scheduler",
        },
    })
}

fn write_job(job: &Job) -> Value {
    let (name, uid) = (job.name(), job.uid());
    let labels = json!({
        "batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "controller-uid": uid,
        "job-name": name,
    });
    let started = job.minutes + 10;
    let of_spec = [
        "activeDeadlineSeconds",
        "backoffLimit",
        "completionMode",
        "completions",
        "manualSelector",
        "parallelism",
        "podReplacementPolicy",
        "suspend",
        "template",
        "ttlSecondsAfterFinished",
    ];
    let of_status =
        ["completionTime", "conditions", "ready", "startTime", "succeeded", "terminating", "uncountedTerminatedPods"];
    let of_container =
        ["image", "imagePullPolicy", "name", "resources", "env", "terminationMessagePath", "volumeMounts"];
    let spec = merge([fields(&of_spec), json!({"f:containers": keyed("name", "main", &of_container)})]);
    let mut metadata = json!({
        "name": name, "namespace": job.namespace(), "uid": uid, "resourceVersion": "81442111", "generation": 1,
        "creationTimestamp": minutes_ago(started), "labels": labels,
        "annotations": {"batch.kubernetes.io/cronjob-scheduled-timestamp": minutes_ago(started)},
        "managedFields": [
            managed(CONTROLLER, "batch/v1", None, started, &json!({"f:spec": spec})),
            managed(CONTROLLER, "batch/v1", Some("status"), job.minutes, &json!({"f:status": fields(&of_status)})),
        ],
    });
    if let Some(cron_job) = job.cron_job {
        metadata["ownerReferences"] =
            owner("batch/v1", "CronJob", &cron_job_name(cron_job), &super::cluster::uid(3, cron_job));
    }
    json!({
        "metadata": metadata,
        "spec": {
            "parallelism": 1, "completions": 1, "backoffLimit": 0,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
            "template": write_template(&name), "completionMode": "NonIndexed", "suspend": false,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
        "status": write_job_status(job),
    })
}

fn write_job_status(job: &Job) -> Value {
    let (start, at) = (minutes_ago(job.minutes + 10), minutes_ago(job.minutes));
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "lastProbeTime": at, "lastTransitionTime": at, "reason": reason,
            "message": message,
        })
    };
    match job.ended_well() {
        Some(true) => {
            let message = "Reached expected number of succeeded pods";
            let kinds = ["SuccessCriteriaMet", "Complete"].map(|kind| condition(kind, "CompletionsReached", message));
            json!({"conditions": kinds, "startTime": start, "completionTime": at, "succeeded": 1, "ready": 0})
        }
        Some(false) => {
            let message = "Job has reached the specified backoff limit";
            let kinds = ["FailureTarget", "Failed"].map(|kind| condition(kind, "BackoffLimitExceeded", message));
            json!({"conditions": kinds, "startTime": start, "failed": 1, "ready": 0, "uncountedTerminatedPods": {}})
        }
        None => json!({"startTime": start, "active": 1, "ready": 1, "terminating": 0, "uncountedTerminatedPods": {}}),
    }
}

fn write_cron_job(number: usize) -> Value {
    let name = cron_job_name(number);
    let of_spec = [
        "concurrencyPolicy",
        "failedJobsHistoryLimit",
        "jobTemplate",
        "schedule",
        "successfulJobsHistoryLimit",
        "suspend",
    ];
    json!({
        "metadata": {
            "name": name, "namespace": namespace(number), "uid": uid(3, number), "resourceVersion": "81442222",
            "generation": 4,
            "creationTimestamp": minutes_ago(200_000), "labels": {"app": name},
            "managedFields": [managed("helm", "batch/v1", None, 9_000, &json!({"f:spec": fields(&of_spec)}))],
        },
        "spec": {
            "schedule": "*/15 * * * *", "concurrencyPolicy": "Allow", "suspend": is_suspended(number),
            "jobTemplate": {"metadata": {}, "spec": {"backoffLimit": 0, "template": write_template(&name)}},
            "successfulJobsHistoryLimit": 50, "failedJobsHistoryLimit": 50,
        },
        "status": {"lastScheduleTime": minutes_ago(15), "lastSuccessfulTime": minutes_ago(60)},
    })
}

/// An event, but for what all events have.
struct Event {
    kind: &'static str,
    version: &'static str,
    namespace: String,
    name: String,
    uid: String,
    reason: &'static str,
    message: String,
    component: &'static str,
    node: Option<String>,
    is_warning: bool,
    minutes: usize,
}

impl Event {
    fn write(self, number: usize) -> Value {
        let Event { kind, version, namespace, name, uid, reason, message, component, node, is_warning, minutes } = self;
        let at = minutes_ago(minutes);
        let managed_fields = fields(&[
            "count",
            "firstTimestamp",
            "involvedObject",
            "lastTimestamp",
            "message",
            "reason",
            "reportingComponent",
            "reportingInstance",
            "source",
            "type",
        ]);
        json!({
            "metadata": {
                "name": format!("{name}.{:016x}", 0x1871_f2c0_0000_0000_u64 + number as u64), "namespace": namespace,
                "uid": super::cluster::uid(4, number), "resourceVersion": (82_000_000 + number).to_string(),
                "creationTimestamp": at,
                "managedFields": [managed(component, "v1", None, minutes, &managed_fields)],
            },
            "involvedObject": {
                "kind": kind, "namespace": namespace, "name": name, "uid": uid, "apiVersion": version,
                "resourceVersion": "81441999",
                "fieldPath": "spec.containers{main}",
            },
            "reason": reason, "message": message, "source": {"component": component, "host": node},
            "firstTimestamp": at,
            "lastTimestamp": at, "count": 1, "type": if is_warning { "Warning" } else { "Normal" }, "eventTime": null,
            "reportingComponent": component, "reportingInstance": node,
        })
    }
}

/// Five, the last of which says how the pod fares.
fn write_pod_events(cluster: &Cluster, pod: &Pod) -> Vec<Event> {
    let (namespace, name) = (pod.namespace(), pod.name(cluster));
    let node = pod.node().unwrap_or_default();
    let event = |reason, message: String, is_warning| Event {
        kind: "Pod",
        version: "v1",
        namespace: namespace.clone(),
        name: name.clone(),
        uid: pod.uid(),
        reason,
        message,
        component: if reason.ends_with("cheduled") || reason.ends_with("cheduling") {
            "default-scheduler"
        } else {
            "kubelet"
        },
        node: pod.node(),
        is_warning,
        minutes: pod.minutes,
    };
    let image = "602401143452.dkr.ecr.us-east-1.amazonaws.com/research/main:2025.10.23-4f1c0b7e";
    let (reason, message) = match pod.fate {
        Fate::Runs | Fate::Succeeded => ("Started", "Started container main".to_owned()),
        Fate::Crashes | Fate::Failed => {
            ("BackOff", format!("Back-off restarting failed container main in pod {name}_{namespace}"))
        }
        Fate::OutOfMemory => ("OOMKilling", "Memory cgroup out of memory: Killed process 3381 (python)".to_owned()),
        Fate::Evicted => ("Evicted", "The node was low on resource: ephemeral-storage.".to_owned()),
        Fate::Unscheduled => ("FailedScheduling", "0/100 nodes are available: 100 Insufficient cpu.".to_owned()),
        Fate::WithoutImage => ("Failed", format!("Failed to pull image \"{image}\": not found")),
    };
    vec![
        event("Scheduled", format!("Successfully assigned {namespace}/{name} to {node}"), false),
        event("Pulling", format!("Pulling image \"{image}\""), false),
        event("Pulled", format!("Successfully pulled image \"{image}\" in 3.481s (3.481s including waiting)"), false),
        event("Created", "Created container: main".to_owned(), false),
        event(reason, message, reason != "Started"),
    ]
}

/// That its pod was made, and how it ended.
fn write_job_events(job: &Job) -> Vec<Event> {
    let event = |reason, message: String| Event {
        kind: "Job",
        version: "batch/v1",
        namespace: job.namespace(),
        name: job.name(),
        uid: job.uid(),
        reason,
        message,
        component: "job-controller",
        node: None,
        is_warning: false,
        minutes: job.minutes,
    };
    let made = event("SuccessfulCreate", format!("Created pod: {}-x7k2p", job.name()));
    let end = job.ended_well().map(|is_well| match is_well {
        true => event("Completed", "Job completed".to_owned()),
        false => event("BackoffLimitExceeded", "Job has reached the specified backoff limit".to_owned()),
    });
    [made].into_iter().chain(end).collect()
}

/// That a job of a CronJob has ended.
fn write_cron_job_event(job: &Job) -> Option<Event> {
    let cron_job = job.cron_job?;
    let status = if job.ended_well()? { "Complete" } else { "Failed" };
    Some(Event {
        kind: "CronJob",
        version: "batch/v1",
        namespace: job.namespace(),
        name: cron_job_name(cron_job),
        uid: super::cluster::uid(3, cron_job),
        reason: "SawCompletedJob",
        message: format!("Saw completed job: {}, condition: {status}", job.name()),
        component: "cronjob-controller",
        node: None,
        is_warning: false,
        minutes: job.minutes,
    })
}

fn write_node_event(number: usize) -> Event {
    let node = node_name(number % super::cluster::NODES);
    Event {
        kind: "Node",
        version: "v1",
        namespace: "default".into(),
        name: node.clone(),
        uid: node.clone(),
        reason: "Unconsolidatable",
        message: "Can't remove without creating 3 candidates".into(),
        component: "karpenter",
        node: Some(node),
        is_warning: false,
        minutes: number % 60,
    }
}
