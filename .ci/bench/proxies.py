"""The proxies that are compared: how each is told to listen, to whom to forward, and with what TLS."""

import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from processes import Process, free_port

TEMPLATES = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Setup:
    """What a proxy is to do."""

    upstreams: tuple
    workers: int = 1
    client_tls: bool = False
    upstream_tls: bool = False
    certificates: Path = None
    folder: Path = None
    options: tuple = ()
    port: int = field(default_factory=free_port)


class Proxy:
    """A program that forwards; the plain case forwards in clear text only."""

    tls = False

    def __init__(self, name, program):
        self.name, self.program = name, program

    def missing(self):
        """What is not there to run it, or None."""
        return None if self.program and shutil.which(self.program) else f"no {self.program or self.name}"

    def can(self, setup):
        return self.tls or not (setup.client_tls or setup.upstream_tls)

    def start(self, setup, core):
        process = Process(self.command(setup), core, setup.folder)
        return process.listens(setup.port)


class Gateway(Proxy):
    """The gateway of this repository, doing its full work."""

    tls = True

    def command(self, setup):
        command = [self.program, "gateway", "--port", setup.port, "--workers", setup.workers, *setup.options]
        scheme = "https" if setup.upstream_tls else "http"
        for port in setup.upstreams:
            command += ["--upstream", f"{scheme}://127.0.0.1:{port}/"]
        command += ["--tls", setup.certificates] if setup.client_tls else []
        return command + (["--authority", setup.certificates] if setup.upstream_tls else [])


class HaProxy(Proxy):
    tls = True

    def command(self, setup):
        verify = f" ssl verify required ca-file {setup.certificates}/authority.pem" if setup.upstream_tls else ""
        servers = [
            f"    server upstream-{number} 127.0.0.1:{port} pool-max-conn 1024{verify}"
            for number, port in enumerate(setup.upstreams)
        ]
        bind = f"ssl crt {setup.certificates}/bundle.pem" if setup.client_tls else ""
        return [self.program, "-db", "-f", fill("haproxy.cfg", setup, HAPROXY_SERVERS=servers, HAPROXY_BIND_TLS=bind)]


class Nginx(Proxy):
    tls = True

    def command(self, setup):
        folder = setup.certificates
        server = [f"ssl_certificate {folder}/certificate.pem;", f"ssl_certificate_key {folder}/key.pem;"]
        upstream = ["proxy_ssl_verify on;", f"proxy_ssl_trusted_certificate {folder}/authority.pem;"]
        upstream += ["proxy_ssl_name localhost;", "proxy_ssl_server_name on;"]
        listen = ["ssl"] * setup.client_tls + ["reuseport"] * (setup.workers > 1) + ["backlog=4096"]
        marks = {
            "NGINX_SERVERS": [f"        server 127.0.0.1:{port};" for port in setup.upstreams],
            "NGINX_LISTEN": " ".join(listen),
            "NGINX_TLS": server if setup.client_tls else [],
            "NGINX_UPSTREAM_TLS": upstream if setup.upstream_tls else [],
            # The folder of its temporary files is its owner's.
            "NGINX_USER": "user root;" if os.geteuid() == 0 else "",
        }
        return [self.program, "-p", setup.folder, "-c", fill("nginx.conf", setup, **marks)]


class Envoy(Proxy):
    def command(self, setup):
        address = "address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }}"
        endpoints = [f"        - endpoint: {{ {address.format(port)} }}" for port in setup.upstreams]
        options = ["--concurrency", setup.workers, "--log-level", "error", "--disable-hot-restart"]
        return [self.program, "-c", fill("envoy.yaml", setup, ENVOY_ENDPOINTS=endpoints), *options]


class Blutgang(Proxy):
    def command(self, setup):
        tables = [
            f'[upstream-{number}]\nurl = "http://127.0.0.1:{port}/"\nmax_consecutive = 1000000000\n'
            "max_per_second = 1000000000"
            for number, port in enumerate(setup.upstreams)
        ]
        return [self.program, "-c", fill("blutgang.toml", setup, BLUTGANG_UPSTREAMS=tables)]


class Given(Proxy):
    """A program that is named on the command line, with {port}, {workers} and {upstreams} to fill in."""

    def __init__(self, text):
        name, _, self.text = text.partition("=")
        super().__init__(name, shlex.split(self.text)[0])

    def command(self, setup):
        upstreams = " ".join(f"127.0.0.1:{port}" for port in setup.upstreams)
        return shlex.split(self.text.format(port=setup.port, workers=setup.workers, upstreams=upstreams))


def fill(name, setup, **marks):
    """Writes a template with its marks filled in; returns the file."""
    marks |= {"PORT": setup.port, "WORKERS": setup.workers, "FOLDER": setup.folder, "COUNT": len(setup.upstreams)}
    marks["SCHEME"] = "https" if setup.upstream_tls else "http"
    text = (TEMPLATES / name).read_text()
    for mark, value in marks.items():
        text = text.replace(f"@{mark}@", "\n".join(value) if isinstance(value, list) else str(value))
    file = setup.folder / name
    file.write_text(text)
    return file


def proxies(gateway, given):
    """All of them, there or not; the gateway first."""
    environment = os.environ.get
    return [
        Gateway("gateway", gateway),
        HaProxy("haproxy", environment("HAPROXY", "haproxy")),
        Nginx("nginx", environment("NGINX", "nginx")),
        Envoy("envoy", environment("ENVOY", "envoy")),
        Blutgang("blutgang", environment("BLUTGANG", "blutgang")),
        *(Given(text) for text in given),
    ]
