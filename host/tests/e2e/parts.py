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
