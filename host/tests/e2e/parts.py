"""What every real part needs: a cache to be installed into once, a port, a process ended by its id, a word to the reader."""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "collector-host/e2e"
DEBIAN_SOURCES = pathlib.Path("/etc/apt/sources.list.d/debian.sources")

# Unpacks one package of Debian sid into a folder, without installing it.
UNPACK_FROM_SID = r"""
set -euo pipefail
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$tmp/parts" "$2"
awk 'BEGIN { RS = ""; ORS = "\n\n" } !/security/ { sub(/Suites:[^\n]*/, "Suites: sid"); print }' "$3" >"$tmp/parts/sid.sources"
sid() { apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$tmp/parts" -o Dir::State::lists="$tmp/lists" \
    -o Dir::Cache="$tmp/cache" -o APT::Sandbox::User="$(id -un)" "$@"; }
sid update
(cd "$tmp" && sid download "$1")
dpkg -x "$tmp"/*.deb "$2"
"""


class Missing(Exception):
    """A part cannot be had on this machine; the text says why."""


class Broken(Exception):
    """A part that is here did not do what it must: a failure, not a part that is missing."""


def say(text):
    """A line for the reader, at once."""
    print(text, flush=True)


@contextlib.contextmanager
def step(text):
    """Says what is being done, then how long it took."""
    sys.stdout.write(f"  {text} … ")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("no")
        raise
    say(f"{time.monotonic() - began:.1f} s")


def program(name):
    """The path of a program, or Missing."""
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is not on this machine")
    return path


def install(name, contents, commands):
    """The folder CACHE/name, after `commands(folder)` have been run in it; once for the same `contents`, a text that names
    what is installed with its versions."""
    folder = CACHE / name
    mark = folder / ".installed"
    if mark.is_file() and mark.read_text() == contents:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with step(f"installing {contents} into {folder} (once)"):
        for command in commands(folder):
            done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                raise Missing(f"`{' '.join(map(str, command))}` failed:\n{tail(done.stdout)}")
    mark.write_text(contents)
    return folder


def of_debian(package, path):
    """A program of a package of Debian sid, unpacked into CACHE once; None where that cannot be had."""
    if not (shutil.which("apt-get") and DEBIAN_SOURCES.is_file()):
        return None
    command = ["bash", "-c", UNPACK_FROM_SID, "unpack", package, ".", DEBIAN_SOURCES]
    try:
        return install(package, f"{package} of Debian sid", lambda _: [command]) / path
    except Missing as e:
        say(f"  {e}")
        return None


def build_with_go(module, version, package=""):
    """A program out of a Go module, or out of a folder of it, built into CACHE once; its path."""
    go, name = program("go"), (package or module).rpartition("/")[2]

    def commands(_folder):
        # `go install` would ask for the list of versions, which not every proxy has.
        yield ["rm", "-f", "go.mod", "go.sum"]
        yield [go, "mod", "init", "e2e"]
        yield [go, "mod", "edit", f"-require={module}@{version}"]
        yield [go, "build", "-mod=mod", "-o", name, f"{module}/{package}".rstrip("/")]

    return install(f"{name}-go", f"{module}@{version}", commands) / name


def tail(text, lines=15):
    """The last lines of an output."""
    return "\n".join(f"    {line[:300]}" for line in text.strip().splitlines()[-lines:])


def free_port():
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, timeout_s=10):
    """The body of a GET; urllib's errors."""
    with urllib.request.urlopen(url, timeout=timeout_s) as answer:
        return answer.read().decode()


class Server:
    """A process that serves on loopback, its output in `log`."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )

    def wait_until_up(self, url, within_s):
        """Returns when `url` answers, be it with an error; Broken when the process ends before, or the time is over."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Broken(f"it ended with {self.process.returncode}:\n{tail(self.log.read_text())}")
            try:
                fetch(url, timeout_s=2)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                pass
            time.sleep(0.1)
        raise Broken(f"{url} does not answer within {within_s} s:\n{tail(self.log.read_text())}")

    def wait_for_file(self, file, within_s):
        """Returns when `file` is there; Broken as above."""
        until = time.monotonic() + within_s
        while not file.is_file():
            if self.process.poll() is not None:
                raise Broken(f"it ended with {self.process.returncode}:\n{tail(self.log.read_text())}")
            if time.monotonic() > until:
                raise Broken(f"{file.name} is not there within {within_s} s:\n{tail(self.log.read_text())}")
            time.sleep(0.1)

    def stop(self):
        """Ends the process."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Part:
    """Something real that a collector asks. A class for each, made with (folder, now, others), where `others` are the parts that
    run already; it says what is not as here, `expected` always."""

    # As the reader and `--only` call it; the collector that asks it, and how that one's series begin.
    name = collector = prefix = ""
    # The credential that must be seen nowhere, where there is one.
    token = None
    # Whether `expected` has every series of the collector.
    is_complete = True

    def stop(self):
        """Ends what it started; twice does no harm."""

    def plan(self):
        """Its part of host.toml."""
        return ""

    def environment(self):
        """The host's environment variables, credentials among them."""
        return {}

    def expected(self):
        """What each series must be: {name_of(point): {"value": number}}. With "grows" it grows by a second each second; "within"
        is how far off it may be, as a share of it (1e-9)."""
        raise NotImplementedError

    def gaps(self):
        """The series that must be gaps, each with a word that the reason must have: {series: text}."""
        return {}

    def may_be_a_gap(self, _series):
        """Whether this part cannot give a series."""
        return False

    def problems(self):
        """What else was wrong in the first cycle, a line each."""
        return []

    def further_cycles(self, checks, host, now):
        """Cycles of its own, with something amiss."""


def name_of(point):
    """Series and the tags that its collector gave it: `a.b{c:d}`."""
    plans = ("env", "source", "region", "cluster", "kube_cluster_name")
    tags = sorted(tag for tag in point["tags"] if tag.partition(":")[0] not in plans)
    return point["series"] + (f"{{{','.join(tags)}}}" if tags else "")


def check_values(checks, part, points, lost=(), elapsed_s=0):
    """The series of a collector have the values that the world behind it gives them; those that begin as one of `lost` are not there."""
    expected = {series: meant for series, meant in part.expected().items() if not series.startswith(tuple(lost))}
    got = {name_of(point): point["value"] for point in points if point["series"].startswith(part.prefix)}
    for series, meant in expected.items():
        value, slack = got.get(series), elapsed_s if meant.get("grows") else 0
        allowed = abs(meant["value"]) * meant.get("within", 1e-9)
        low, high = meant["value"] - allowed, meant["value"] + allowed + slack
        holds = value is not None and low <= value <= high
        checks.expect(holds, f"{series}: expected {meant['value']}{' and growing' if slack else ''}, got {value}")
    for series in got.keys() - expected.keys():
        if part.is_complete or series.startswith(tuple(lost)):
            checks.expect(False, f"{series}: {got[series]}, and nothing is known of it")
