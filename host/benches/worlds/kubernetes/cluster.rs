//! What there is in the cluster, and how it fares. The rest of the world follows from it.

pub const NODES: usize = 100;
pub const DEPLOYMENTS: usize = 60;
/// Deployments that have pods; the others are scaled to zero.
pub const DEPLOYED: usize = 40;
const SERVICE_PODS: usize = 2_000;
pub const JOBS: usize = 10_000;
/// Jobs of which the pod is still there.
const JOB_PODS: usize = 8_000;
pub const CRON_JOBS: usize = 200;
pub const EVENTS: usize = 60_000;
const NAMESPACES: usize = 20;

/// Pods of deployments and of jobs, and the jobs.
pub struct Cluster {
    pub pods: Vec<Pod>,
    pub jobs: Vec<Job>,
}

/// A pod.
pub struct Pod {
    /// Its place among all pods.
    pub number: usize,
    pub owner: Owner,
    pub fate: Fate,
    /// Of its first container.
    pub restarts: usize,
    /// Minutes since it ended, or since it began where it has not.
    pub minutes: usize,
}

/// Whose pod it is.
#[derive(Clone, Copy)]
pub enum Owner {
    Deployment(usize),
    Job(usize),
}

/// A job. It has one pod, which may be gone.
pub struct Job {
    pub number: usize,
    /// The CronJob that made it.
    pub cron_job: Option<usize>,
    pub fate: Fate,
    pub minutes: usize,
}

/// How a pod fares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Runs,
    /// Waits to be started anew, again and again.
    Crashes,
    Succeeded,
    Failed,
    OutOfMemory,
    Evicted,
    /// The scheduler has no place for it.
    Unscheduled,
    WithoutImage,
}

impl Cluster {
    /// A fifth of the pods serve, the others are of jobs; of those half succeeded, a fifth run, a fifth failed.
    pub fn large() -> Cluster {
        let jobs: Vec<Job> = (0..JOBS).map(Job::of).collect();
        let services = (0..SERVICE_PODS).map(Pod::of_service);
        let pods = services.chain(jobs.iter().take(JOB_PODS).map(Pod::of_job)).collect();
        Cluster { pods, jobs }
    }
}

impl Job {
    fn of(number: usize) -> Job {
        let fate = match number % 20 {
            _ if number >= JOB_PODS => [Fate::Failed, Fate::Succeeded][usize::from(!number.is_multiple_of(5))],
            0..10 => Fate::Succeeded,
            10..14 => Fate::Runs,
            14 | 15 => Fate::Failed,
            16 => Fate::OutOfMemory,
            17 => Fate::Evicted,
            18 => Fate::Unscheduled,
            _ if number % 40 == 19 => Fate::WithoutImage,
            _ => Fate::Crashes,
        };
        // Those whose pod is gone ended up to two days ago; the pending ones are old enough to be in trouble.
        let minutes = if number < JOB_PODS { 20 + number % 1_400 } else { 1 + number * 7 % 2_880 };
        let cron_job = (number % 25 != 24).then_some(number % CRON_JOBS);
        Job { number, cron_job, fate, minutes }
    }

    pub fn namespace(&self) -> String {
        namespace(self.number)
    }

    pub fn name(&self) -> String {
        match self.cron_job {
            Some(cron_job) => format!("{}-{}", cron_job_name(cron_job), 29_340_000 + self.number),
            None => format!("by-hand-{}-reindex", self.number),
        }
    }

    pub fn uid(&self) -> String {
        uid(2, self.number)
    }

    /// Whether it has ended, and if so, well.
    pub fn ended_well(&self) -> Option<bool> {
        match self.fate {
            Fate::Succeeded => Some(true),
            Fate::Failed | Fate::OutOfMemory | Fate::Evicted => Some(false),
            Fate::Runs | Fate::Crashes | Fate::Unscheduled | Fate::WithoutImage => None,
        }
    }
}

impl Pod {
    fn of_service(number: usize) -> Pod {
        let fate = match number {
            _ if number.is_multiple_of(100) => Fate::Crashes,
            _ if number % 250 == 1 => Fate::Unscheduled,
            _ => Fate::Runs,
        };
        let restarts = match fate {
            Fate::Crashes => 12,
            Fate::Runs if number % 40 == 7 => 8,
            _ => 0,
        };
        Pod { number, owner: Owner::Deployment(number % DEPLOYED), fate, restarts, minutes: 4_000 + number }
    }

    fn of_job(job: &Job) -> Pod {
        let restarts = match job.fate {
            Fate::Crashes => 6 + job.number % 10,
            Fate::Runs if job.number.is_multiple_of(3) => 2,
            _ => 0,
        };
        let number = SERVICE_PODS + job.number;
        Pod { number, owner: Owner::Job(job.number), fate: job.fate, restarts, minutes: job.minutes }
    }

    pub fn is_of_job(&self) -> bool {
        matches!(self.owner, Owner::Job(_))
    }

    pub fn namespace(&self) -> String {
        match self.owner {
            Owner::Deployment(deployment) => namespace(deployment),
            Owner::Job(job) => namespace(job),
        }
    }

    pub fn name(&self, cluster: &Cluster) -> String {
        match self.owner {
            Owner::Deployment(deployment) => format!("{}-{}", replica_set_name(deployment), letters(self.number)),
            Owner::Job(job) => format!("{}-{}", cluster.jobs[job].name(), letters(self.number)),
        }
    }

    pub fn uid(&self) -> String {
        uid(1, self.number)
    }

    /// None where the scheduler has none for it.
    pub fn node(&self) -> Option<String> {
        // What fares alike is not on the same few nodes.
        (self.fate != Fate::Unscheduled).then(|| node_name((self.number + self.number / 20) % NODES))
    }

    pub fn phase(&self) -> &'static str {
        match self.fate {
            Fate::Runs | Fate::Crashes => "Running",
            Fate::Succeeded => "Succeeded",
            Fate::Failed | Fate::OutOfMemory | Fate::Evicted => "Failed",
            Fate::Unscheduled | Fate::WithoutImage => "Pending",
        }
    }

    /// What the scheduler reserves for it.
    pub fn reserved(&self) -> Amounts {
        if self.is_of_job() {
            Amounts { cpu_milli: 1_000, memory_mib: 2_048 }
        } else {
            Amounts { cpu_milli: 250 + 100, memory_mib: 256 + 128 }
        }
    }

    /// What it uses: now and then next to nothing.
    pub fn used(&self) -> Amounts {
        Amounts { cpu_milli: self.number % 400, memory_mib: self.number * 3 % 500 }
    }
}

/// CPU and memory.
pub struct Amounts {
    pub cpu_milli: usize,
    pub memory_mib: usize,
}

pub fn namespace(number: usize) -> String {
    format!("team-{:02}", number % NAMESPACES)
}

pub fn node_name(number: usize) -> String {
    format!("ip-10-42-{number}-17.us-east-1.compute.internal")
}

pub fn cron_job_name(number: usize) -> String {
    format!("nightly-feature-refresh-{}", letters(number))
}

pub fn deployment_name(number: usize) -> String {
    format!("checkout-service-{}", letters(number))
}

pub fn replica_set_name(number: usize) -> String {
    format!("{}-7d9c5b6f48", deployment_name(number))
}

/// Of an object of a kind.
pub fn uid(kind: usize, number: usize) -> String {
    format!("{kind:08x}-7d1f-4e02-9a55-{number:012x}")
}

/// Five letters, as Kubernetes ends names.
fn letters(number: usize) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";
    let place = |of: u32| LETTERS[number / LETTERS.len().pow(of) % LETTERS.len()] as char;
    (0..5).rev().map(place).collect()
}
