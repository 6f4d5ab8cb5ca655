"""The gRPC interface with tools of other languages: buf, and grpcio of Python."""

import json
import subprocess

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from programs import CHAIN_ID, HERE

SERVICES = {
    f"tyrscale.v1.{name}Service"
    for name in ("Configuration", "Discovery", "Network", "Plugin", "Recommendation", "RecommendationRun", "Route", "Rpc", "Status", "Upstream")
}


def buf_curl(stack, *words):
    """What `buf curl` prints; the schema comes by reflection."""
    command = [HERE / "node_modules" / ".bin" / "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture
def channel(stack):
    with grpc.insecure_channel(f"127.0.0.1:{stack.control_plane.grpc}") as channel:
        yield channel


def test_buf_lists_the_services_by_reflection(stack):
    listed = buf_curl(stack, "--list-services", f"http://127.0.0.1:{stack.control_plane.grpc}").split()
    assert SERVICES <= set(listed)


def test_buf_lists_the_networks(stack):
    url = f"http://127.0.0.1:{stack.control_plane.grpc}/tyrscale.v1.NetworkService/ListNetworks"
    (network,) = json.loads(buf_curl(stack, "-d", "{}", url))["networks"]
    assert (network["name"], network["blockchain"], network["chainId"]) == ("development", "ethereum", str(CHAIN_ID))


def test_python_lists_and_calls_by_reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICES <= set(database.get_services())
    method = DescriptorPool(database).FindMethodByName("tyrscale.v1.NetworkService.ListNetworks")
    request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(
        "/tyrscale.v1.NetworkService/ListNetworks",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    (network,) = call(request(), timeout=10).networks
    assert network.name == "development" and network.chain_id == CHAIN_ID
    # Each resource tells the revision at which it last changed, and an etag to write against.
    assert network.meta.modify_revision > 0 and network.meta.etag


def test_a_broken_rule_names_its_field(channel):
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindMethodByName("tyrscale.v1.NetworkService.CreateNetwork")
    request = GetMessageClass(method.input_type)()
    request.network.name = "no blanks"
    request.network.blockchain = "ethereum"
    request.network.chain_id = 1
    call = channel.unary_unary(
        "/tyrscale.v1.NetworkService/CreateNetwork", request_serializer=lambda message: message.SerializeToString()
    )
    with pytest.raises(grpc.RpcError) as refused:
        call(request, timeout=10)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "name" in refused.value.details()


def test_the_health_service_says_serving(channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
