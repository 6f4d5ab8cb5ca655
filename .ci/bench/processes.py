"""Processes of a measurement: started, waited for, accounted, and ended by their own ids."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

STARTED = []


def free_port():
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A child process, on one core or on all."""

    def __init__(self, command, core=None, folder=Path("."), env=None):
        self.command = [str(word) for word in command]
        pin = [] if core is None else ["taskset", "-c", str(core)]
        with (folder / "stderr.log").open("ab") as log:
            self.child = subprocess.Popen(
                [*pin, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=env,
                text=True,
            )
        self.log = folder / "stderr.log"
        STARTED.append(self)

    def line(self):
        """The next line of JSON that it tells."""
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.command[0]} ended with {self.child.wait()}: {self.complaint()}")
        return json.loads(line)

    def listens(self, port, seconds=15):
        """Waits until it listens."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended with {self.child.returncode}: {self.complaint()}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            except OSError:
                time.sleep(0.03)
        raise RuntimeError(f"{self.command[0]} does not listen: {self.complaint()}")

    def complaint(self):
        return self.log.read_text(errors="replace")[-400:]

    def pids(self):
        """The ids of the process and of all it started."""
        children = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                parent = parent_of(entry)
                children.setdefault(parent, []).append(int(entry.name))
        found, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu_seconds(self):
        """Processor time of all its threads, user and system."""
        total = 0
        for pid in self.pids():
            for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                total += int(stat.read_text().split()[0])
        return total / 1e9

    def peak_kib(self):
        """The most memory that it and all it started have held so far."""
        peaks = 0
        for pid in self.pids():
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            peaks += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        return peaks

    def stop(self, seconds=10):
        """Asks it to end, and ends it with all it started when it does not."""
        pids = self.pids()
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in pids:
                    kill(pid)
                self.child.wait()
        self.child.stdout.close()
        STARTED.remove(self)


def parent_of(entry):
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def stop_all():
    """Ends what is left."""
    for process in list(STARTED):
        process.stop(1)


def busy_seconds():
    """Processor time that the whole machine has spent."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
