#!/usr/bin/env python3
"""Measures the gateway beside HAProxy, nginx, Envoy, blutgang and any proxy given, on loopback.

Every proxy forwards to the same three stubs. Pinned: the proxy alone on one core, load and stubs on another;
shared: all on all cores. In each case every proxy runs once per round, in another order each round; medians are
told with the lowest and the highest. CPU is user and system time of all threads of the proxy per request.

Nothing is installed: what is missing is named and left out. HAPROXY, NGINX, ENVOY and BLUTGANG name programs that
are not on the path; --add 'pingora=lb {port} {workers} {upstreams}' adds one that takes its options so.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processes import Process, busy_seconds, stop_all
from proxies import Setup, proxies

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """One thing that is compared."""

    name: str
    title: str
    size: int = 100
    pinned: bool = True
    workers: int = 1
    connections: int = 64
    client_tls: bool = False
    upstream_tls: bool = False
    fixed_rate: bool = True


CASES = [
    Case("100B", "100-byte answers, one worker, pinned"),
    Case("10KB", "10 KB answers, one worker, pinned", size=10_240),
    Case("1MB", "1 MB answers, one worker, pinned", size=1_048_576, connections=16, fixed_rate=False),
    Case("shared", "100-byte answers, two workers, shared cores", pinned=False, workers=2),
    Case("shared-1", "100-byte answers, one worker, shared cores", pinned=False, fixed_rate=False),
    Case("tls-in", "100-byte answers, TLS towards clients, pinned", client_tls=True, fixed_rate=False),
    Case("tls-out", "100-byte answers, HTTPS upstreams, pinned", upstream_tls=True, fixed_rate=False),
]


def log(*words):
    print(*words, file=sys.stderr, flush=True)


class Bench:
    """Runs single measurements."""

    def __init__(self, options, folder):
        self.options, self.folder, self.tool = options, folder, Path(options.bin) / "tyrscale-bench"
        self.certificates = folder / "certificates"
        subprocess.run([self.tool, "certificates", self.certificates], check=True)

    def measure(self, proxy, case, rate=None, options=()):
        """One run of one load through one proxy; the load's report with the proxy's CPU."""
        with_idle = rate == "idle"
        load_core, proxy_core = (0, 1) if case.pinned else (None, None)
        tls = ["--tls", self.certificates]
        stub = Process(
            [self.tool, "stub", "--size", case.size, *(tls if case.upstream_tls else [])], load_core, self.folder
        )
        started = [stub]
        try:
            ports = tuple(stub.line()["ports"])
            setup = Setup(
                upstreams=ports,
                workers=case.workers,
                client_tls=case.client_tls,
                upstream_tls=case.upstream_tls,
                certificates=self.certificates,
                folder=self.folder,
                options=options,
            )
            running = None if proxy is None else proxy.start(setup, proxy_core)
            started += [running] if running else []
            to = ["--to", f"127.0.0.1:{setup.port if running else ports[0]}", *(tls if case.client_tls else [])]
            if with_idle:
                command = ["idle", *to, "--connections", self.options.idle, "--pid", *running.pids()]
                started.append(Process([self.tool, *command], load_core, self.folder))
                return started[-1].line()
            command = ["load", *to, "--connections", case.connections, "--seconds", self.options.seconds]
            command += ["--rate", rate] if rate else []
            return self.account([self.tool, *command], load_core, running)
        finally:
            for process in reversed(started):
                process.stop()

    def account(self, command, core, running):
        """Runs a load; its report with what it cost the proxy and what others did meanwhile."""
        machine, before = busy_seconds(), running.cpu_seconds() if running else 0
        start = time.monotonic()
        load = Process(command, core, self.folder)
        report = load.line()
        elapsed = time.monotonic() - start
        spent = running.cpu_seconds() - before if running else 0
        load.stop()
        report["cpu_us"] = spent / max(report["sent"], 1) * 1e6
        report["core"] = spent / elapsed
        report["machine"] = (busy_seconds() - machine) / elapsed
        report["peak_mib"] = running.peak_kib() / 1024 if running else 0
        report["failed"] = sum(report["errors"].values()) + report["unsent"]
        return report


def rounds(bench, contestants, case, rate=None):
    """All measurements of a case by name of the proxy; the order turns from round to round."""
    found = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(bench.options.rounds):
        turn = names[number % len(names) :] + names[: number % len(names)]
        for name in turn:
            try:
                report = bench.measure(contestants[name], case, rate)
            except (RuntimeError, OSError, ValueError) as error:
                log(f"{case.name} {name}: {error}")
                continue
            found[name].append(report)
            figures = f"{report['rps']:.0f}/s {report['cpu_us']:.1f} µs CPU, {end_of(report)}"
            log(f"{case.name} rate={rate} #{number + 1} {name}: {figures}")
    return {name: reports for name, reports in found.items() if reports}


def end_of(report):
    told = f"p50 {report['p50_us']:.0f} p99 {report['p99_us']:.0f} µs, {report['failed']} failed"
    return f"{told}, {report['machine']:.2f} cores busy"


def median(reports, key):
    return statistics.median(report[key] for report in reports)


def fixed_rate(reports):
    """A rate that whoever has these reports can well serve."""
    return int(median(reports, "rps") * 0.35 / 100) * 100 or 100


def spread(reports, key, digits=1):
    """The median with the lowest and the highest."""
    values = [report[key] for report in reports]
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def table(case, saturated, fixed, rate):
    """The case as a table of markdown, the ratio against HAProxy."""
    lines = [f"### {case.title}", ""]
    columns = ["proxy", "req/s", "CPU µs/request", "× HAProxy"]
    if rate:
        columns += [f"CPU at {rate:,}/s", "p50 µs", "p99 µs", "p99.9 µs"]
    lines += ["| " + " | ".join([*columns, "failed"]) + " |", "|---" * (len(columns) + 1) + "|"]
    yardstick = median(saturated["haproxy"], "cpu_us") if "haproxy" in saturated else None
    for name, reports in saturated.items():
        open_loop = fixed.get(name, [])
        row = [name, spread(reports, "rps", 0)]
        if name == "direct":
            row += ["–", "–"]
        else:
            ratio = f"{median(reports, 'cpu_us') / yardstick:.2f}" if yardstick else "–"
            row += [spread(reports, "cpu_us"), ratio]
        if rate and open_loop:
            row += ["–" if name == "direct" else spread(open_loop, "cpu_us")]
            row += [spread(open_loop, key, 0) for key in ("p50_us", "p99_us", "p999_us")]
        elif rate:
            row += ["–"] * 4
        row.append(str(sum(report["failed"] for report in reports + open_loop)))
        lines.append("| " + " | ".join(row) + " |")
    return [*lines, ""]


def compare(bench, contestants, case):
    """A case, saturated and at a fixed rate."""
    setup = Setup(upstreams=(), client_tls=case.client_tls, upstream_tls=case.upstream_tls)
    able = {name: proxy for name, proxy in contestants.items() if proxy is None or proxy.can(setup)}
    if case.client_tls or case.upstream_tls:
        # The stub speaks only one of them, so a direct run is not the same thing.
        able.pop("direct", None)
    for name in contestants.keys() - able.keys() - {"direct"}:
        log(f"{case.name}: {name} is not set up for it")
    saturated = rounds(bench, able, case)
    fixed, rate = {}, None
    if case.fixed_rate and saturated:
        slowest = min(saturated.values(), key=lambda reports: median(reports, "rps"))
        rate = bench.options.rate or fixed_rate(slowest)
        fixed = rounds(bench, able, case, rate)
    return table(case, saturated, fixed, rate)


def idle_table(bench, contestants):
    """Memory of idle connections."""
    lines = [f"### {bench.options.idle:,} idle connections", ""]
    lines += ["| proxy | RSS before, MiB | with, MiB | KiB per connection |", "|---|---|---|---|"]
    for name, proxy in contestants.items():
        if proxy is None:
            continue
        try:
            held = bench.measure(proxy, Case("idle", "", pinned=False), "idle")
        except (RuntimeError, OSError, ValueError) as error:
            log(f"idle {name}: {error}")
            continue
        before, after = held["rss_kib_before"] / 1024, held["rss_kib_with"] / 1024
        lines.append(f"| {name} | {before:.1f} | {after:.1f} | {held['bytes_per_connection'] / 1024:.1f} |")
        log(lines[-1])
    return [*lines, ""]


def large_table(bench, contestants):
    """Memory of many large answers on their way at once."""
    case = Case("large", "", size=20 * 2**20, pinned=False, connections=50)
    lines = ["### 50 answers of 20 MiB at once", "", "| proxy | most memory held, MiB | answers | failed |", "|---|---|---|---|"]
    for name, proxy in contestants.items():
        if proxy is None:
            continue
        try:
            report = bench.measure(proxy, case)
        except (RuntimeError, OSError, ValueError) as error:
            log(f"large {name}: {error}")
            continue
        lines.append(f"| {name} | {report['peak_mib']:.1f} | {report['done']:,} | {report['failed']} |")
        log(lines[-1])
    return [*lines, ""]


def variants_table(bench, gateway):
    """The gateway against itself: configuration swapped ten times a second, and logs off."""
    case = Case("variants", "")
    rate = bench.options.rate or fixed_rate([bench.measure(gateway, case)])
    variants = {"as it is": (), "ten swaps a second": ("--reload-every-ms", 100), "logs off": ("--log", "off")}
    variants["10,000 routes"] = ("--routes", 10_000)
    found = {name: {"saturated": [], "fixed": []} for name in variants}
    for _ in range(bench.options.rounds):
        for name, options in variants.items():
            found[name]["saturated"].append(bench.measure(gateway, case, None, options))
            found[name]["fixed"].append(bench.measure(gateway, case, rate, options))
            log(f"variant {name}: {found[name]['fixed'][-1]['p99_us']:.0f} µs p99")
    lines = ["### The gateway against itself, 100-byte answers, pinned", ""]
    lines += [f"| | CPU µs/request, saturated | CPU at {rate:,}/s | p50 µs | p99 µs |", "|---|---|---|---|---|"]
    for name, reports in found.items():
        cells = [spread(reports["saturated"], "cpu_us"), spread(reports["fixed"], "cpu_us")]
        cells += [spread(reports["fixed"], key, 0) for key in ("p50_us", "p99_us")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=ROOT / "target" / "dist", help="folder of tyrscale-bench")
    parser.add_argument("--add", action="append", default=[], metavar="NAME=COMMAND", help="one more proxy")
    parser.add_argument("--only", help="names of proxies, with commas between; 'direct' is none")
    names = ",".join([case.name for case in CASES] + ["idle", "large", "variants"])
    parser.add_argument("--cases", default=names, help=f"of {names}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--idle", type=int, default=10_000, help="idle connections")
    parser.add_argument("--rate", type=int, help="requests per second; else 35 %% of the slowest one's throughput")
    parser.add_argument("--out", type=Path, help="file for the tables; else stdout")
    return parser.parse_args()


def main():
    options = arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not shutil.which("taskset") or (os.cpu_count() or 1) < 2:
        sys.exit("needs taskset and two cores")
    gateway = str(Path(options.bin) / "tyrscale-bench")
    wanted = options.only.split(",") if options.only else None
    contestants = {"direct": None} if wanted is None or "direct" in wanted else {}
    for proxy in proxies(gateway, options.add):
        if wanted is not None and proxy.name not in wanted:
            continue
        if missing := proxy.missing():
            log(f"{proxy.name} is left out: {missing}")
        else:
            contestants[proxy.name] = proxy
    cases = options.cases.split(",")
    lines = []
    with tempfile.TemporaryDirectory(prefix="tyrscale-compare-") as folder:
        bench = Bench(options, Path(folder))
        try:
            for case in CASES:
                if case.name in cases:
                    lines += compare(bench, contestants, case)
            if "idle" in cases:
                lines += idle_table(bench, contestants)
            if "large" in cases:
                lines += large_table(bench, contestants)
            if "variants" in cases and "gateway" in contestants:
                lines += variants_table(bench, contestants["gateway"])
        finally:
            stop_all()
    text = "\n".join(lines)
    if options.out:
        options.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
