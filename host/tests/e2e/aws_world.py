"""The world of EC2: moto serves it, and what each series must be is computed from the seeds.

Runs with the Python that moto is installed in: `aws_world.py PORT NOW PRICES SECRETS EXPECTED`, NOW in seconds since 1970, PRICES the
collector's list of on-demand prices (its only shared input), SECRETS those of Secrets Manager as a JSON object, EXPECTED the file
that is written when the server is ready.
"""

import csv
import datetime
import json
import pathlib
import signal
import sys

import boto3
import botocore.config
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.server import ThreadedMotoServer

REGION = "us-east-1"
HOUR_S = 3600

# Type, number, spot or not, hours since launch, state, CPU of the last hour (percent, oldest first; none is no data).
# moto refuses p3 as AWS refuses retired types; g6f has a part of a GPU; inf2 and trn1 have none.
FLEET = [
    ("m5.2xlarge", 7, False, 400.0, "running", [3.0] * 12),
    ("m5.2xlarge", 2, False, 30.0, "running", [3.0] * 11 + [10.0]),
    ("m5.2xlarge", 3, False, 50.0, "stopped", []),
    ("g5.12xlarge", 4, True, 5.5, "running", [95.0] * 12),
    ("g6.12xlarge", 3, False, 80.0, "running", [9.9] * 12),
    ("p4d.24xlarge", 1, False, 1.0, "running", [0.5] * 12),
    ("inf2.xlarge", 2, True, 0.5, "running", [0.1] * 6),
    ("trn1.2xlarge", 1, False, 2.0, "running", []),
    ("c5.large", 1200, False, 12.0, "running", [50.0] * 12),
    ("t3.micro", 5, True, 20.0, "terminated", []),
]
VOLUMES = [(100, 40), (500, 3), (16, 1)]
ATTACHED_FIRST = 30


def launch(backend, ec2, now_s):
    """Starts the fleet; gives the ids of each row."""
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    launched = []
    for kind, number, is_spot, hours, state, _ in FLEET:
        spot = {"InstanceMarketOptions": {"MarketType": "spot"}} if is_spot else {}
        answer = ec2.run_instances(ImageId=image, InstanceType=kind, MinCount=number, MaxCount=number, **spot)
        ids = [row["InstanceId"] for row in answer["Instances"]]
        if state == "stopped":
            ec2.stop_instances(InstanceIds=ids)
        if state == "terminated":
            ec2.terminate_instances(InstanceIds=ids)
        launched_at = datetime.datetime.fromtimestamp(now_s - hours * HOUR_S, datetime.timezone.utc)
        for instance_id in ids:
            # moto writes the time of the call; a fleet has a past.
            backend.get_instance(instance_id).launch_time = launched_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        launched.append(ids)
    return launched


def measure(cloudwatch, launched, now_s):
    """Writes the CPU of the last hour, a point every five minutes."""
    for (_, _, _, _, _, averages), ids in zip(FLEET, launched):
        rows = [
            {
                "MetricName": "CPUUtilization", "Dimensions": [{"Name": "InstanceId", "Value": instance_id}], "Unit": "Percent",
                "Timestamp": datetime.datetime.fromtimestamp(now_s - 300 * (len(averages) - n) + 1, datetime.timezone.utc),
                "Value": average,
            }
            for instance_id in ids
            for n, average in enumerate(averages)
        ]
        for start in range(0, len(rows), 500):
            cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=rows[start : start + 500])


def make_volumes(ec2, launched):
    """Volumes beside those that instances bring along, and snapshots of some."""
    volumes = [
        ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=size)["VolumeId"] for size, number in VOLUMES for _ in range(number)
    ]
    for volume, instance in zip(volumes[:ATTACHED_FIRST], launched[0] * ATTACHED_FIRST):
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=f"/dev/sd{volume[-2:]}")
    for volume in volumes[:5]:
        ec2.create_snapshot(VolumeId=volume)


def expect(ec2, prices, now_s):
    """The value of every series; the rows of volumes and snapshots as moto has them, by Amazon's own client."""
    number = {"total": 0, "running": 0, "stopped": 0, "spot": 0, "ondemand": 0, "gpus": 0, "gpu_instances": 0, "cpus": 0, "idle": 0}
    ages, hourly, spot_list, spot_paid = [], 0.0, 0.0, 0.0
    kinds = list({row[0] for row in FLEET})
    types = {row["InstanceType"]: row for row in ec2.describe_instance_types(InstanceTypes=kinds)["InstanceTypes"]}
    paid = {}
    for row in ec2.describe_spot_price_history(InstanceTypes=list(types), StartTime=now_s, EndTime=now_s)["SpotPriceHistory"]:
        paid[row["InstanceType"], row["AvailabilityZone"]] = float(row["SpotPrice"])
    zones = {
        row["InstanceId"]: row["Placement"]["AvailabilityZone"]
        for page in ec2.get_paginator("describe_instances").paginate()
        for reservation in page["Reservations"]
        for row in reservation["Instances"]
    }
    zone = next(iter(set(zones.values())))
    for kind, count, is_spot, hours, state, averages in FLEET:
        gpus = types[kind].get("GpuInfo", {}).get("Gpus", [])
        number["total"] += count
        number["running"] += count * (state == "running")
        number["stopped"] += count * (state == "stopped")
        number["spot" if is_spot else "ondemand"] += count
        number["gpu_instances"] += count * bool(gpus)
        number["gpus"] += count * sum(gpu["Count"] for gpu in gpus)
        number["cpus"] += count * types[kind]["VCpuInfo"]["DefaultVCpus"]
        number["idle"] += count * (state == "running" and hours >= 1 and bool(averages) and max(averages) < 10)
        ages += [hours / 24] * count
        if state != "running":
            continue
        hourly += count * (paid[kind, zone] if is_spot else prices[kind])
        if is_spot:
            spot_list += count * prices[kind]
            spot_paid += count * paid[kind, zone]
    volumes = [row for page in ec2.get_paginator("describe_volumes").paginate() for row in page["Volumes"]]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    attached = sum(bool(row["Attachments"]) for row in volumes)
    return {
        **{f"ec2.instances.{key}": number[key] for key in ("total", "running", "stopped", "spot", "ondemand", "gpu_instances", "idle")},
        "ec2.instances.gpu_count": number["gpus"],
        "ec2.instances.cpu_count": number["cpus"],
        "ec2.instances.avg_age_days": sum(ages) / len(ages),
        "ec2.instances.oldest_age_days": max(ages),
        "ec2.ebs.volumes.total": len(volumes),
        "ec2.ebs.volumes.attached": attached,
        "ec2.ebs.volumes.unattached": len(volumes) - attached,
        "ec2.ebs.volumes.size_gb": sum(row["Size"] for row in volumes),
        "ec2.ebs.snapshots.total": len(snapshots),
        "ec2.ebs.snapshots.size_gb": sum(row["VolumeSize"] for row in snapshots),
        "ec2.cost.running_hourly_estimate": hourly,
        "ec2.cost.monthly_estimate": 730 * hourly,
        "ec2.cost.spot_savings_pct": 100 * (spot_list - spot_paid) / spot_list,
    }


def main():
    """See above."""
    port, now_s, prices_file, secrets, expected_file = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
    ThreadedMotoServer(ip_address="127.0.0.1", port=port).start()
    # moto's server unpacks a compressed request twice.
    plain = botocore.config.Config(disable_request_compression=True)
    access = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": REGION, "config": plain}
    services = ("ec2", "cloudwatch", "secretsmanager")
    ec2, cloudwatch, keeper = (boto3.client(name, endpoint_url=f"http://127.0.0.1:{port}", **access) for name in services)
    launched = launch(ec2_backends[DEFAULT_ACCOUNT_ID][REGION], ec2, now_s)
    measure(cloudwatch, launched, now_s)
    make_volumes(ec2, launched)
    for name, value in json.loads(secrets).items():
        keeper.create_secret(Name=name, SecretString=value)
    lines = [line for line in pathlib.Path(prices_file).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    prices = {row["instance_type"]: float(row["usd_per_hour"]) for row in csv.DictReader(lines) if row["region"] == REGION}
    expected = {series: {"value": value} for series, value in expect(ec2, prices, now_s).items()}
    pathlib.Path(expected_file).write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
    signal.pause()


if __name__ == "__main__":
    main()
