"""Programs under test and the real ones around them, each ended by its own process id."""

import json
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = Path(os.environ.get("TYRSCALE_BIN", ROOT / "target" / "release")).resolve()

CHAIN_ID = 31337
# Its balance differs from node to node, so an answer tells which node gave it.
MARKER = "0x" + "aa" * 20

STARTED = []


def npm_binary(scope, name):
    """The program inside an npm package of prebuilt binaries, without its Node.js wrapper."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    return HERE / "node_modules" / scope / f"{name}-linux-{machine}" / "bin" / name


def free_port():
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(check, seconds=15, interval=0.05):
    """The first true value of `check`, or its last refusal after that many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        refusal = None
        try:
            if value := check():
                return value
        except (AssertionError, LookupError, OSError, ValueError) as error:
            refusal = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s") from refusal
        time.sleep(interval)


class Program:
    """A child process with its log in a file."""

    def __init__(self, name, command, directory):
        self.name, self.command, self.directory = name, [str(word) for word in command], directory
        self.log = directory / f"{name}.log"
        self.child = None

    def start(self):
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        if self not in STARTED:
            STARTED.append(self)
        return self

    def running(self):
        return self.child is not None and self.child.poll() is None

    def stop(self, seconds=20):
        """Asks it to end and returns its exit code; kills it when it does not obey."""
        if self.running():
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.returncode

    def kill(self):
        """Ends it at once, as a crash would."""
        if self.running():
            self.child.kill()
            self.child.wait()

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Anvil(Program):
    """An EVM node with a block each second."""

    def __init__(self, name, directory, marker):
        self.port, self.marker = free_port(), marker
        self.url = f"http://127.0.0.1:{self.port}"
        options = ["--host", "127.0.0.1", "--port", self.port, "--chain-id", CHAIN_ID, "--block-time", 1]
        options += ["--silent", "--prune-history", 100, "-j", 1]
        super().__init__(name, [npm_binary("@foundry-rs", "anvil"), *options], directory)

    def ready(self):
        """Waits for it, marks it, and mines: a node at height 0 counts as unhealthy."""
        eventually(lambda: self.call("eth_chainId") == hex(CHAIN_ID))
        self.call("anvil_setBalance", MARKER, hex(self.marker))
        self.call("anvil_mine", "0x2")
        return self

    def call(self, method, *params):
        """The result of a call, past the gateway."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["result"]


class ControlPlane(Program):
    """tyrscale-control-plane; keeps its ports and its data over restarts."""

    def __init__(self, directory):
        self.grpc, self.rest, self.admin = free_port(), free_port(), free_port()
        options = ["--data-dir", directory / "control-plane"]
        options += ["--grpc-listen", f"127.0.0.1:{self.grpc}", "--rest-listen", f"127.0.0.1:{self.rest}"]
        options += ["--admin-listen", f"127.0.0.1:{self.admin}"]
        super().__init__("control-plane", [BIN / "tyrscale-control-plane", *options], directory)

    def start(self):
        super().start()
        eventually(lambda: ready(self.admin))
        return self


class Gateway(Program):
    """tyrscale-gateway; keeps its ports and its data over restarts."""

    def __init__(self, directory, control_plane, name="gateway"):
        self.port, self.admin = free_port(), free_port()
        options = ["--data-dir", directory / name, "--node-id", name]
        options += ["--listen", f"127.0.0.1:{self.port}", "--admin-listen", f"127.0.0.1:{self.admin}"]
        options += ["--control-plane", f"http://127.0.0.1:{control_plane.grpc}"]
        super().__init__(name, [BIN / "tyrscale-gateway", *options], directory)

    def start(self):
        super().start()
        eventually(lambda: ready(self.admin))
        return self


class Follower(Program):
    """tyrscale-exporter or tyrscale-recommender."""

    def __init__(self, directory, control_plane, service, name, *options):
        self.admin = free_port()
        words = ["--node-id", name, "--admin", f"127.0.0.1:{self.admin}", "--data-dir", directory / name]
        words += ["--control-plane", f"http://127.0.0.1:{control_plane.grpc}", *options]
        super().__init__(name, [BIN / f"tyrscale-{service}", *words], directory)

    def start(self):
        super().start()
        eventually(lambda: ready(self.admin))
        return self


class Prometheus(Program):
    """Prometheus that scrapes admin ports once a second."""

    def __init__(self, directory, ports):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        targets = [f"127.0.0.1:{port}" for port in ports]
        job = {"job_name": "tyrscale", "static_configs": [{"targets": targets}]}
        scrape = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config = directory / "prometheus.yml"
        # JSON is YAML.
        config.write_text(json.dumps({"global": scrape, "scrape_configs": [job]}))
        options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'prometheus'}"]
        options.append(f"--web.listen-address=127.0.0.1:{self.port}")
        super().__init__("prometheus", [os.environ.get("PROMETHEUS", "prometheus"), *options], directory)

    def start(self):
        super().start()
        eventually(lambda: urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200)
        return self


def ready(admin_port):
    """Whether the admin endpoint of a service says so."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/readyz", timeout=5) as answer:
        return answer.status == 200
