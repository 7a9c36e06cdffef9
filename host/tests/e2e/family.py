"""Runs a command and, when told to end, ends everything that came out of it, however it detached or renamed itself.

`family.py COMMAND…`. Linux: as a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) it inherits the orphans of its descendants, so
all of them can be found by their parents in /proc. Ends when the command does, or at SIGTERM.
"""

import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36


def parents():
    """The parent of every process: {pid: pid}."""
    found = {}
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything within its parentheses: state, parent, …
            found[int(file.parent.name)] = int(file.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    return found


def descendants(pid):
    """Everything that came out of a process and still runs, or is not yet reaped."""
    of, found, frontier = parents(), set(), {pid}
    while frontier:
        frontier = {child for child, parent in of.items() if parent in frontier} - found
        found |= frontier
    return found


def end_all():
    """Kills all descendants, again until none is left: they may be making new ones."""
    while left := descendants(os.getpid()):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            continue
        time.sleep(0.02)


def main():
    """See above."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Ctrl-C reaches the whole group at once; whoever started this says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.call(sys.argv[1:])
    finally:
        end_all()


if __name__ == "__main__":
    sys.exit(main())
