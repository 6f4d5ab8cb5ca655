"""The gateway lives on without its control plane, and the configuration survives a crash."""

from programs import Gateway, eventually
from traffic import Endpoint, Load


def test_the_gateway_serves_on_without_the_control_plane(own_stack):
    own_stack.route("/reads", "weight-round-robin")
    with Load(own_stack.gateway.port, "/reads") as load:
        load.pass_by(100)
        own_stack.control_plane.kill()
        load.pass_by(1000)
    assert load.failures == []


def test_a_gateway_restarts_from_disk_without_the_control_plane(own_stack):
    own_stack.route("/reads", "weight-round-robin")
    own_stack.control_plane.kill()
    own_stack.gateway.stop()
    own_stack.gateway.start()
    assert set(own_stack.endpoint("/reads").markers(12)) == {1, 2, 3}


def test_a_crashed_gateway_restarts_from_disk_without_the_control_plane(own_stack):
    own_stack.route("/reads", "weight-round-robin")
    own_stack.control_plane.kill()
    own_stack.gateway.kill()
    own_stack.gateway.start()
    assert set(own_stack.endpoint("/reads").markers(12)) == {1, 2, 3}


def test_a_crashed_control_plane_keeps_what_it_acknowledged_and_serves_its_gateways_again(own_stack):
    rest = own_stack.rest
    route, upstreams = own_stack.route("/reads", "weight-round-robin")
    kinds = ["/networks", "/rpcs", "/routes", f"/routes/{route}/upstreams"]
    before = [rest.ok("GET", kind) for kind in kinds]
    own_stack.control_plane.kill()
    own_stack.control_plane.start()
    assert [rest.ok("GET", kind) for kind in kinds] == before

    rest.ok("DELETE", f"/routes/{route}/upstreams/{upstreams[1]}")
    eventually(lambda: set(own_stack.endpoint("/reads").markers(12)) == {1, 3}, seconds=30)


def test_every_change_reaches_two_gateways(own_stack):
    second = Gateway(own_stack.directory, own_stack.control_plane, name="second")
    try:
        second.start()
        for turn in range(8):
            path = f"/route-{turn}"
            route = own_stack.rest.route(path, "weight-round-robin")
            own_stack.rest.upstream(route, own_stack.rpcs[turn % 3], 10)
        for turn in range(8):
            for gateway in (own_stack.gateway, second):
                endpoint = Endpoint(gateway.port, f"/route-{turn}")
                assert eventually(endpoint.marker) == turn % 3 + 1
    finally:
        second.stop()


def test_a_gateway_that_was_away_catches_up(own_stack):
    route, upstreams = own_stack.route("/reads", "weight-round-robin")
    own_stack.gateway.stop()
    own_stack.rest.ok("DELETE", f"/routes/{route}/upstreams/{upstreams[0]}")
    own_stack.gateway.start()
    eventually(lambda: set(own_stack.endpoint("/reads").markers(12)) == {2, 3})


def test_services_end_cleanly_when_asked(own_stack):
    own_stack.route("/reads", "weight-round-robin")
    # The control plane has an open stream to the gateway and must end all the same.
    assert own_stack.control_plane.stop() == 0
    assert own_stack.gateway.stop() == 0
