//! Rules of causes, identities, tags and counts.

use std::collections::{BTreeMap, BTreeSet};

use collector_sdk::Timestamp;
use collector_sdk::workloads::Ending;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::causes::{Around, Cause, find_cause};
use super::owners::guess_schedule;
use super::runs::select_window;
use super::tags::{Budget, Group};
use crate::api::pods::{Pod, Row};
use crate::api::{Cluster, Memory};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A pod of a Job in this phase, whose only container has this status.
fn pod(phase: &str, container: &Value) -> Pod {
    let mut container = container.clone();
    container["name"] = json!("main");
    let row = json!({
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2025-10-24T10:00:00Z", "ownerReferences": [{"kind": "Job", "name": "j"}]},
        "status": {"phase": phase, "containerStatuses": [container]},
    });
    *serde_json::from_value::<Row>(row).unwrap().0.unwrap()
}

fn cause(pod: &Pod) -> Option<Cause<'_>> {
    find_cause(pod, Around { deadline: None, pending_since: time("2025-10-24T11:45:00Z") })
}

fn ended(reason: &str, at: Option<&str>) -> Value {
    json!({"terminated": {"exitCode": 137, "reason": reason, "finishedAt": at}})
}

fn waiting(reason: &str) -> Value {
    json!({"waiting": {"reason": reason}})
}

#[test]
fn a_kill_for_memory_keeps_its_identity_when_the_container_starts_anew() {
    for at in [Some("2025-10-24T11:00:00Z"), None] {
        let killed = ended("OOMKilled", at);
        // Dead; waiting to be started anew, which counts no restart yet; running again, which does.
        let sightings = [
            json!({"restartCount": 2, "state": killed}),
            json!({"restartCount": 2, "state": waiting("CrashLoopBackOff"), "lastState": killed}),
            json!({"restartCount": 3, "state": {"running": {}}, "lastState": killed}),
        ];
        let pods = sightings.map(|status| pod("Running", &status));
        let causes = pods.each_ref().map(|pod| cause(pod).unwrap());
        assert!(causes.iter().all(|cause| cause.kind == "OOMKilled" && cause.mark == causes[0].mark), "{causes:?}");
        assert_eq!(causes.map(|cause| cause.life.unwrap().is_previous), [false, true, true]);
    }
}

#[test]
fn of_several_causes_the_first_of_the_order_is_the_one() {
    let both = json!({"state": waiting("CrashLoopBackOff"), "lastState": ended("OOMKilled", None)});
    let kind = |pod: &Pod| cause(pod).map(|cause| cause.kind);
    assert_eq!(kind(&pod("Running", &both)).as_deref(), Some("OOMKilled"));
    let mut evicted = pod("Failed", &json!({"state": ended("Error", None)}));
    evicted.reason = Some("Evicted".into());
    assert_eq!(kind(&evicted).as_deref(), Some("Evicted"));
    // Its own deadline ended it, but why it did not get on is the image.
    let mut late = pod("Failed", &json!({"state": waiting("ErrImagePull")}));
    late.reason = Some("DeadlineExceeded".into());
    assert_eq!(kind(&late).as_deref(), Some("ImagePullBackOff"));
    assert_eq!(
        kind(&pod("Pending", &json!({"state": waiting("CreateContainerError")}))).as_deref(),
        Some("CreateContainerError")
    );
    assert_eq!(kind(&pod("Failed", &json!({"state": ended("Error", None)}))).as_deref(), Some("Error"));
    assert_eq!(kind(&pod("Pending", &json!({"state": waiting("ContainerCreating")}))).as_deref(), Some("Pending"));
    assert_eq!(kind(&pod("Running", &json!({"state": {"running": {}}, "lastState": ended("Error", None)}))), None);
    assert_eq!(kind(&pod("Succeeded", &json!({"state": ended("Completed", None)}))), None);
}

#[test]
fn pulling_an_image_in_vain_is_one_failure_by_turns() {
    let [first, second] =
        ["ErrImagePull", "ImagePullBackOff"].map(|reason| pod("Pending", &json!({"state": waiting(reason)})));
    let (first, second) = (cause(&first).unwrap(), cause(&second).unwrap());
    assert_eq!((&first.kind, &first.mark), (&second.kind, &second.mark));
}

#[test]
fn a_crash_loop_is_one_failure_however_often_it_crashes() {
    let at = |at| pod("Running", &json!({"state": waiting("CrashLoopBackOff"), "lastState": ended("Error", Some(at))}));
    let (early, late) = (at("2025-10-24T11:00:00Z"), at("2025-10-24T11:05:00Z"));
    assert_eq!(cause(&early).unwrap().mark, cause(&late).unwrap().mark);
}

#[test]
fn a_pod_that_ended_after_its_jobs_time_was_up_ran_out_of_time() {
    let killed = pod("Failed", &json!({"state": ended("Error", Some("2025-10-24T11:00:02Z"))}));
    let find = |deadline| {
        find_cause(&killed, Around { deadline: Some(time(deadline)), pending_since: Timestamp::MIN }).unwrap()
    };
    assert_eq!(find("2025-10-24T11:00:00Z").kind, "DeadlineExceeded");
    assert_eq!(find("2025-10-24T11:00:03Z").kind, "Error");
    assert_eq!(find("2025-10-24T11:00:00Z").mark, find("2025-10-24T11:00:03Z").mark);
}

#[test]
fn a_jobs_name_tells_its_cron_job_as_datadog_reads_it() {
    for (job, schedule) in [
        ("sync-29355060", Some("sync")),
        ("sync-2025-1700", Some("sync-2025")),
        ("sync-1234567890", Some("sync")),
        ("sync-12345678901", None),
        ("sync-123", None),
        ("sync", None),
        ("-12345", None),
        ("sync-2935506o", None),
    ] {
        assert_eq!(guess_schedule(job), schedule, "{job}");
    }
}

#[test]
fn a_window_is_closed_at_its_old_end_and_holds_each_run_once() {
    let run = |id: &str, ended: &str| {
        let event = json!({"involvedObject": {"kind": "Job", "name": "j", "namespace": "n", "uid": id}, "reason": "Completed", "lastTimestamp": ended});
        let row: crate::api::events::Row = serde_json::from_value(event).unwrap();
        let cluster = Cluster { pods: Ok(vec![]), jobs: Ok(vec![]), cron_jobs: Ok(vec![]) };
        let memory = Memory::default();
        let owners = super::Owners::of(&cluster, &memory);
        super::runs::find_ended(&cluster, &[row.0.unwrap()], &memory, &owners).remove(0).into_owned()
    };
    let ended = [run("a", "2025-10-23T12:00:00Z"), run("b", "2025-10-23T11:59:59Z"), run("c", "2025-10-24T12:00:05Z")];
    let remembered = [run("a", "2025-10-23T12:00:00Z"), run("d", "2025-10-24T00:00:00Z")];
    let window = select_window(ended.iter().chain(&remembered), time("2025-10-23T12:00:00Z"));
    assert_eq!(window.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(), ["a", "c", "d"]);
    assert!(window.iter().all(|run| run.ending == Ending::Succeeded));
}

proptest! {
    #[test]
    fn there_are_never_more_tags_than_the_budget_has_room_for(
        jobs in prop::collection::btree_map(("[a-e]{1,2}", prop::option::of("[a-d]{1,2}")), 0_usize..9, 0..120),
        max in 0_usize..12,
    ) {
        let jobs: BTreeMap<Group, usize> =
            jobs.into_iter().map(|((namespace, schedule), jobs)| (Group::new(&namespace, schedule.as_deref()), jobs)).collect();
        let budget = Budget::of(&jobs, max);
        let tags: BTreeSet<Vec<String>> = jobs.keys().map(|group| budget.find_tags(group).list()).collect();
        prop_assert!(tags.len() <= 3 * max + 4, "{} for {max}", tags.len());
        let own = tags.iter().filter(|tags| !["kube_cronjob:none", "kube_cronjob:other"].contains(&tags[1].as_str())).count();
        prop_assert!(own <= max);
    }

    #[test]
    fn no_name_makes_a_tag_that_the_host_refuses(namespace in ".{0,150}", schedule in ".{0,150}") {
        let group = Group::new(&namespace, Some(&schedule));
        for tag in Budget::default().find_tags(&group).list() {
            let (_, value) = tag.split_once(':').unwrap();
            prop_assert!(tag.len() <= 200 && !value.is_empty() && !value.contains(|c: char| c == ',' || c.is_control()));
        }
    }

    #[test]
    fn whatever_a_pod_looks_like_its_cause_has_an_identity(
        phase in "Pending|Running|Succeeded|Failed|Odd",
        restarts in any::<i64>(),
        state in 0_usize..6,
        last in 0_usize..6,
        code in any::<i32>(),
    ) {
        let states = [
            json!(null), json!({"running": {}}), waiting("CrashLoopBackOff"), waiting("InvalidImageName"),
            json!({"terminated": {"exitCode": code}}), ended("OOMKilled", Some("2025-10-24T11:00:00Z")),
        ];
        let pod = pod(&phase, &json!({"restartCount": restarts, "state": states[state], "lastState": states[last]}));
        let found = cause(&pod);
        prop_assert!(found.as_ref().is_none_or(|cause| !cause.mark.is_empty() && !cause.kind.is_empty()));
        prop_assert!(phase != "Failed" || found.is_some(), "a failed pod is a failure");
        prop_assert!(phase != "Succeeded" || found.is_none_or(|cause| cause.kind == "OOMKilled"));
    }
}
