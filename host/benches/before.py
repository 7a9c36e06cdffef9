"""The way it was done before: one spawned Python process for each collector, joined with a timeout, then terminated.

Usage: before.py ADDRESS COLLECTORS TIMEOUT_SECONDS

Runs that many collectors that each ask ADDRESS/wait, and then one that hangs with a child process of its own, as SkyPilot's
client did with its local API server. Prints a line of JSON: how long it took, and how far beyond its timeout the last one lived.
"""

import json
import multiprocessing
import subprocess
import sys
import time
import urllib.request

MARK = "collector-host-bench-grandchild"


def collect(name, address, queue):
    if name == "hangs":
        subprocess.Popen([sys.executable, "-c", f"import time; time.sleep(30)  # {MARK}"])
        while True:
            pass
    with urllib.request.urlopen(f"http://{address}/wait") as answer:
        queue.put({f"{name}.bytes": len(answer.read())})


def run_with_timeout(name, address, timeout):
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=collect, args=(name, address, queue))
    process.start()
    process.join(timeout=timeout)
    if process.is_alive():
        process.terminate()
        process.join(timeout=5)
        if process.is_alive():
            process.kill()
            process.join()
        return None
    return queue.get()


def main():
    address, collectors, timeout = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    multiprocessing.set_start_method("spawn")
    started = time.monotonic()
    for number in range(collectors):
        run_with_timeout(f"wait-{number}", address, timeout)
    began = time.monotonic()
    run_with_timeout("hangs", address, timeout)
    ended = time.monotonic()
    print(json.dumps({"wall_ms": (ended - started) * 1e3, "overshoot_ms": (ended - began - timeout) * 1e3}))


if __name__ == "__main__":
    main()
