"""Clients of the gateway and of the REST interface."""

import json
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException

from programs import MARKER

READ = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "eth_getBalance", "params": [MARKER, "latest"]}).encode()


class Endpoint:
    """A path of the gateway as one client sees it, over one connection that is kept."""

    def __init__(self, port, path, host="127.0.0.1"):
        self.port, self.path, self.host = port, path, host
        self.connection = HTTPConnection("127.0.0.1", port, timeout=15)

    def post(self, body):
        """Status and bytes of the answer."""
        headers = {"Content-Type": "application/json", "Host": self.host}
        try:
            self.connection.request("POST", self.path, body, headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            self.connection.close()
            raise

    def call(self, method, *params):
        """The result of a call."""
        status, body = self.post(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
        assert status == 200, (status, body)
        return json.loads(body)["result"]

    def marker(self):
        """Which node answers a read."""
        return int(self.call("eth_getBalance", MARKER, "latest"), 16)

    def markers(self, reads):
        """Which nodes answer that many reads, and how often each."""
        return Counter(self.marker() for _ in range(reads))


class Load:
    """Readers that ask without a pause inside a `with` block; bounded in count and time."""

    def __init__(self, port, path, readers=4, limit=50_000, seconds=60):
        self.endpoints = [Endpoint(port, path) for _ in range(readers)]
        self.limit, self.seconds = limit // readers, seconds
        self.answers, self.failures = Counter(), []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.read, args=[endpoint]) for endpoint in self.endpoints]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join()

    def read(self, endpoint):
        deadline = time.monotonic() + self.seconds
        for _ in range(self.limit):
            if self.ending.is_set() or time.monotonic() > deadline:
                return
            try:
                status, body = endpoint.post(READ)
                answer = json.loads(body)
                if status == 200 and answer.get("id") == 7 and "result" in answer:
                    self.answers[int(answer["result"], 16)] += 1
                else:
                    self.failures.append((status, body[:300]))
            except (OSError, HTTPException, ValueError) as error:
                self.failures.append(error)

    def pass_by(self, reads, seconds=15):
        """Waits until that many further reads were answered or failed."""
        target = self.done() + reads
        deadline = time.monotonic() + seconds
        while self.done() < target:
            assert time.monotonic() < deadline, f"{self.done()} of {target} reads; failures {self.failures[:3]}"
            time.sleep(0.01)

    def done(self):
        return sum(self.answers.values()) + len(self.failures)


class Rest:
    """The REST interface at /api/v1."""

    def __init__(self, port):
        self.port = port

    def send(self, method, path, body=None):
        """Status and decoded body of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ok(self, method, path, body=None):
        """The data of a successful answer."""
        status, answer = self.send(method, path, body)
        assert status in (200, 201) and answer["status"] == status and answer["code"] == 0, answer
        return answer.get("data")

    def network(self, name, chain_id):
        self.ok("POST", "/networks", {"name": name, "chain_id": chain_id, "blockchain": "ethereum"})

    def rpc(self, url, network):
        body = {"url": url, "type": "private", "provider": "anvil", "network_name": network}
        return self.ok("POST", "/rpcs", body | {"collectors": ["eth_block_number"]})["uuid"]

    def route(self, path, strategy, host="127.0.0.1", **more):
        body = {"host": host, "path": path, "load_balancer_strategy": strategy, **more}
        return self.ok("POST", "/routes", body)["uuid"]

    def upstream(self, route, rpc, weight, uuid=None):
        body = {"rpc_uuid": rpc, "weight": weight} | ({"uuid": uuid} if uuid else {})
        return self.ok("PUT", f"/routes/{route}/upstreams", body)["uuid"]
