"""The command line: the whole system in one process, and both transports."""

import json
import re
import subprocess
from collections import Counter

from programs import BIN, CHAIN_ID, Program, eventually, free_port

SERVICES = ["grpc", "rest", "control-plane-admin", "gateway", "gateway-admin", "exporter-admin", "recommender-admin"]


def tyrctl(*words, directory=None):
    """Exit code, data and talk of one command."""
    command = [BIN / "tyrctl", *(str(word) for word in words)]
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60)
    return run.returncode, run.stdout, run.stderr


def decoded(*words):
    code, data, talk = tyrctl("-o", "json", *words)
    assert code == 0, talk
    return json.loads(data)


def up(directory, *words):
    """The words of `tyrctl up` on free ports, with its data in a folder."""
    ports = [word for name in SERVICES for word in (f"--{name}-listen", f"127.0.0.1:{free_port()}")]
    return ["up", "--data-dir", directory / "data", *ports, *words]


def test_the_demo_shows_a_balanced_answer_and_ends(tmp_path):
    shown = decoded(*up(tmp_path, "--demo", "--once"))
    answers = shown["trial"]["answers"]
    assert all(answer["status"] == 200 and answer["answer"].startswith("0x") for answer in answers)
    served = Counter(answer["node"] for answer in answers)
    assert served == {"alpha": 5, "beta": 3, "gamma": 2}
    assert {upstream["name"]: upstream["served"] for upstream in shown["trial"]["upstreams"]} == served


def test_the_commands_that_the_demo_suggests_work(tmp_path):
    demo = Program("demo", [BIN / "tyrctl", *up(tmp_path, "--demo")], tmp_path).start()
    try:
        eventually(lambda: "Try next" in demo.tail(60) and "/metrics" in demo.tail(3), seconds=30)
        text = demo.log.read_text()
        suggested = text.partition("Try next")[2].replace("\\\n", " ")
        commands = [line.strip() for line in suggested.splitlines()[1:] if re.match(r"\s+(curl|\S*tyrctl)\s", line)]
        assert len(commands) >= 4, suggested
        for command in commands:
            run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30)
            assert run.returncode == 0, (command, run.stderr)
            assert run.stdout.strip() or "update" in command, command
    finally:
        code = demo.stop()
    assert code == 0


def test_a_second_demo_starts_from_what_the_first_left(tmp_path):
    words = up(tmp_path, "--demo", "--once")
    first, second = decoded(*words), decoded(*words)
    ids = [[upstream["id"] for upstream in shown["trial"]["upstreams"]] for shown in (first, second)]
    assert ids[0] == ids[1]
    assert all(answer["status"] == 200 for answer in second["trial"]["answers"])


def test_given_endpoints_are_balanced(tmp_path, nodes):
    urls = [word for node in nodes for word in ("--upstream", node.url)]
    shown = decoded(*up(tmp_path, "--once", *urls))
    assert [answer["status"] for answer in shown["trial"]["answers"]] == [200] * 10
    assert len(shown["trial"]["upstreams"]) == 3


def test_both_transports_list_the_same_networks(stack):
    grpc = ["--server", f"http://127.0.0.1:{stack.control_plane.grpc}"]
    rest = ["--transport", "rest", "--rest-server", f"http://127.0.0.1:{stack.control_plane.rest}"]
    for words in (grpc, rest):
        (network,) = decoded(*words, "network", "list")
        assert (network["name"], network["chain_id"]) == ("development", CHAIN_ID)


def test_a_resource_is_created_read_changed_and_deleted(stack):
    at = ["--server", f"http://127.0.0.1:{stack.control_plane.grpc}"]
    options = ["--name", "cli", "--blockchain", "ethereum", "--chain-id", "10"]
    assert tyrctl(*at, "network", "create", *options)[0] == 0
    assert decoded(*at, "network", "get", "cli")["chain_id"] == 10
    assert tyrctl(*at, "network", "update", "cli", "--chain-id", "11")[0] == 0
    assert decoded(*at, "network", "get", "cli")["chain_id"] == 11
    code, _, talk = tyrctl(*at, "network", "create", *options)
    assert code == 1 and "cli" in talk
    assert tyrctl(*at, "network", "delete", "cli")[0] == 0
    assert tyrctl(*at, "network", "get", "cli")[0] == 1


def test_status_shows_the_gateway_at_the_newest_revision(stack):
    status = decoded("--server", f"http://127.0.0.1:{stack.control_plane.grpc}", "status", "--wait")
    (gateway,) = [node for node in status["nodes"] if node["role"] == "gateway"]
    assert gateway["id"] == "gateway"
    assert gateway["revision"] == status["head"]["revision"]


def test_a_control_plane_that_is_away_has_its_own_exit_code():
    code, data, talk = tyrctl("--server", f"http://127.0.0.1:{free_port()}", "network", "list")
    assert (code, data) == (3, "")
    assert talk.startswith("error: ")
