"""health_fom: needs no server. It reads what the collectors before it emitted, and its figures follow from what those must be."""

import parts
from github import GitHub


def falls(best, worst):
    """A figure that is 1 up to `best` and falls to 0 at `worst`."""
    return lambda value: min(max(1 - (value - best) / (worst - best), 0.0), 1.0)


# Figure, its input, its formula.
CI = (
    ("tests_passing", "github.ci.tests_passing_on_main", lambda value: 1.0 if value > 0 else 0.0),
    ("failing_workflows", "github.ci.failed_workflows_7d", falls(0, 5)),
    ("hotfix_count", "github.commits.hotfix", falls(0, 10)),
    ("revert_count", "github.commits.reverts", falls(0, 2)),
    ("duration_p90", "github.ci.duration_p90_minutes", falls(3, 10)),
    ("stale_prs", "github.prs.stale_count_14d", falls(0, 50)),
    ("pr_cycle_time", "github.prs.cycle_time_hours", falls(24, 72)),
)
# Of these nothing is emitted here: each is a gap that names its input.
TRAINING = (
    ("run_success", "wandb.runs.completed_7d"),
    ("run_failures", "wandb.runs.failed_7d"),
    ("best_accuracy", "wandb.metrics.best_accuracy"),
    ("avg_accuracy", "wandb.metrics.avg_accuracy_7d"),
    ("latest_loss", "wandb.metrics.latest_loss"),
    ("gpu_utilization", "wandb.training.gpu_utilization_avg"),
    ("duration", "wandb.training.avg_duration_hours"),
)


class HealthFom(parts.Part):
    """The collector health_fom, after github in the same cycle."""

    name = "health_fom"
    collector = "health_fom"
    prefix = "health."

    def __init__(self, _folder, _now, others):
        self.github = next((part for part in others if isinstance(part, GitHub)), None)
        if self.github is None:
            raise parts.Missing("it reads what github emits")

    def plan(self):
        """Its right to what others emitted."""
        return f'\n[last_values]\ncollectors = ["{self.collector}"]\n'

    def expected(self):
        """The formulas over what github's series must be."""
        inputs = self.github.expected()
        return {f"health.ci.{figure}.fom": {"value": formula(inputs[series]["value"])} for figure, series, formula in CI}

    def gaps(self):
        """Those of training: there is no wandb."""
        return {f"health.training.{figure}.fom": series for figure, series in TRAINING}
