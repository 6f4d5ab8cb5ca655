#!/usr/bin/env python3
"""Counts the instructions that the gateway spends on a request in user space, with valgrind's callgrind.

Each figure is the difference of two runs that differ in the number of requests only, so neither the start nor the
end of the process counts. Counts hardly depend on the machine or on what else it does, unlike times.

    callgrind.py                 all figures, as tables of markdown
    callgrind.py --check         whether cost grows as it should; 1 when it does not
    callgrind.py --profile FILE  where the instructions of a request go, by function
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import Process, stop_all

ROOT = Path(__file__).resolve().parents[2]
# What may not cost more than these shares of one request.
LIMITS = {
    "a call of a batch of 10": 1.0,
    "1,000 routes more": 0.1,
    "27 upstreams more": 0.5,
    "97 upstreams more by p2c": 0.05,
}
P2C = ("--load-balancer", "p2c-peak-ewma")
# Requests of the shorter run, and how many more the longer one has; both end whole periods of refusals.
SHORT, MORE = 200, 1_000
# Of so many requests the stub refuses the last ones.
PERIOD = 20


class Counter:
    """Runs gateways under callgrind."""

    def __init__(self, tool, folder):
        self.tool, self.folder = tool, folder

    def total(self, requests, stub, gateway, load):
        """Instructions of a gateway that serves so many requests, from its start to its end."""
        out = self.folder / "callgrind.out"
        upstream = Process([self.tool, "stub", *stub], folder=self.folder)
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        urls = [word for port in upstream.line()["ports"] for word in ("--upstream", f"http://127.0.0.1:{port}/")]
        # Probes would count, too, and how many there are depends on the time.
        options = ["--health-interval-ms", 3_600_000, "--breaker-failures", 1_000, "--log", "off", *gateway]
        running = Process([*valgrind, self.tool, "gateway", *urls, *options], folder=self.folder)
        try:
            to = f"127.0.0.1:{running.line()['port']}"
            client = [self.tool, "load", "--to", to, "--connections", 1, "--requests", requests, *load]
            asking = Process(client, folder=self.folder)
            report = asking.line()
            asking.stop()
            if report["done"] != requests:
                raise RuntimeError(f"{report['done']} of {requests} answered: {report['errors']}")
        finally:
            running.stop(60)
            upstream.stop()
        for line in out.read_text().splitlines():
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1])
        raise RuntimeError("callgrind counted nothing")

    def per_request(self, stub=(), gateway=(), load=(), more=MORE):
        counts = [self.total(SHORT + extra, stub, gateway, load) for extra in (0, more)]
        found = (counts[1] - counts[0]) / more
        print(f"{' '.join(map(str, [*stub, *gateway, *load])) or 'one request'}: {found:,.0f}", file=sys.stderr)
        return found


def tables(counter):
    """Every figure."""
    one = counter.per_request()
    lines = ["| one request, end to end | instructions |", "|---|---|", f"| 1 call, 1 route, 3 upstreams | {one:,.0f} |", ""]
    lines += ["| calls in a batch | per request | per call |", "|---|---|---|", f"| 1 (no batch) | {one:,.0f} | {one:,.0f} |"]
    for calls in (10, 100):
        whole = counter.per_request(load=("--batch", calls))
        lines.append(f"| {calls} | {whole:,.0f} | {whole / calls:,.0f} |")
    for word, option, values in (("routes", "--routes", (1_000, 10_000)), ("upstreams", "--upstreams", (30, 100))):
        lines += ["", f"| {word} | per request | × |", "|---|---|---|"]
        lines.append(f"| {1 if word == 'routes' else 3} | {one:,.0f} | 1.00 |")
        for value in values:
            found = counter.per_request(gateway=(option, value), more=4 * MORE)
            lines.append(f"| {value:,} | {found:,.0f} | {found / one:.2f} |")
    lines += ["", "| upstreams, chosen by p2c | per request | × |", "|---|---|---|"]
    two = counter.per_request(gateway=P2C)
    lines.append(f"| 3 | {two:,.0f} | 1.00 |")
    for value in (30, 100):
        found = counter.per_request(gateway=(*P2C, "--upstreams", value), more=4 * MORE)
        lines.append(f"| {value} | {found:,.0f} | {found / two:.2f} |")
    lines += ["", "| retries | per request with so many | each retry |", "|---|---|---|", f"| 0 | {one:,.0f} | – |"]
    for retries in (1, 2):
        each = retry_cost(counter, one, retries)
        lines.append(f"| {retries} | {one + retries * each:,.0f} | {each:,.0f} |")
    return "\n".join(lines)


def retry_cost(counter, one, retries):
    """What one more attempt costs, when so many in a row are refused once in a period."""
    stub = ("--fail-every", PERIOD, "--fail-run", retries)
    # Refusals are requests of the stub: each period answers so many fewer requests of the client.
    served = PERIOD - retries
    return (counter.per_request(stub=stub) - one) * served / retries


def check(counter):
    """How the cost of a request grows, against the limits; returns what is broken."""
    one = counter.per_request()
    found = {
        "a call of a batch of 10": counter.per_request(load=("--batch", 10)) / 10,
        "1,000 routes more": counter.per_request(gateway=("--routes", 1_001)) - one,
        "27 upstreams more": counter.per_request(gateway=("--upstreams", 30)) - one,
        "97 upstreams more by p2c": counter.per_request(gateway=(*P2C, "--upstreams", 100))
        - counter.per_request(gateway=P2C),
    }
    print(f"one request: {one:,.0f} instructions")
    for name, limit in LIMITS.items():
        mark = "ok" if found[name] <= limit * one else "too many"
        print(f"{name}: {found[name]:,.0f} instructions, at most {limit * one:,.0f}: {mark}")
    return [name for name, limit in LIMITS.items() if found[name] > limit * one]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "target" / "dist", type=Path, help="folder of tyrscale-bench")
    parser.add_argument("--check", action="store_true", help="whether cost grows as it should")
    parser.add_argument("--profile", type=Path, help="file for the functions that cost most")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("needs valgrind")
    with tempfile.TemporaryDirectory(prefix="tyrscale-callgrind-") as folder:
        counter = Counter(options.bin.resolve() / "tyrscale-bench", Path(folder))
        try:
            if options.check:
                sys.exit(1 if check(counter) else 0)
            if options.profile:
                counter.total(SHORT + MORE, (), (), ())
                command = ["callgrind_annotate", "--threshold=90", "--show-percs=yes", Path(folder) / "callgrind.out"]
                options.profile.write_text(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            else:
                print(tables(counter))
        finally:
            stop_all()


if __name__ == "__main__":
    main()
