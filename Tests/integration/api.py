"""etcd's v3 API from Python: message classes built from the repository's proto files, and a gRPC client.

The classes are made from descriptors at start, so there is no generated code to keep in step. Calls take
and return raw bytes underneath: a test can send what no correct client would, and see what really came back.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import tempfile
import threading

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from grpc_tools import protoc

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROTO_FOLDER = pathlib.Path(os.environ.get("CAIRN_PROTOS", REPOSITORY / "Sources/EtcdAPI/Protos"))


def _once(function):
    """functools.cache that threads may share: two results of one call would be two incompatible classes."""
    cached, lock = functools.cache(function), threading.RLock()

    @functools.wraps(function)
    def locked(*arguments):
        with lock:
            return cached(*arguments)
    return locked


@_once
def _descriptor_pool() -> descriptor_pool.DescriptorPool:
    files = sorted(str(path.relative_to(PROTO_FOLDER)) for path in PROTO_FOLDER.rglob("*.proto"))
    if not files:
        raise RuntimeError(f"no .proto files in {PROTO_FOLDER}")
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "descriptors.pb"
        well_known = str(pathlib.Path(protoc.__file__).parent / "_proto")
        arguments = ["protoc", f"-I{PROTO_FOLDER}", f"-I{well_known}", "--include_imports",
                     f"--descriptor_set_out={output}", *files]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc refused the files in {PROTO_FOLDER}")
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    return pool


@_once
def message_class(full_name: str) -> type[Message]:
    return message_factory.GetMessageClass(_descriptor_pool().FindMessageTypeByName(full_name))


def message(name: str, /, **fields) -> Message:
    """`message("PutRequest", key=b"a")`; names without a dot are etcdserverpb's."""
    full_name = name if "." in name else "etcdserverpb." + name
    return message_class(full_name)(**fields)


@dataclasses.dataclass(frozen=True)
class Method:
    """One RPC: how it is called on the wire and which messages it carries."""

    path: str
    request: str
    response: str

    def parse(self, data: bytes) -> Message:
        return message_class(self.response).FromString(data)

    def parse_request(self, data: bytes) -> Message:
        return message_class(self.request).FromString(data)


@_once
def method(service_and_name: str) -> Method:
    """`method("KV/Range")`; services without a dot are etcdserverpb's."""
    service, name = service_and_name.split("/")
    service = service if "." in service else "etcdserverpb." + service
    found = _descriptor_pool().FindServiceByName(service).FindMethodByName(name)
    return Method(f"/{service}/{name}", found.input_type.full_name, found.output_type.full_name)


@dataclasses.dataclass
class Outcome:
    """What a call came to: a response, or a gRPC status. `code` is the status' number, 0 for success."""

    code: int
    text: str
    response: Message | None = None
    raw: bytes = b""

    @property
    def succeeded(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        if self.response is None:
            return f"status {self.code} {self.text!r}"
        return "{ " + text_format.MessageToString(self.response, as_one_line=True) + " }"


class Client:
    """A connection to one member. Threads may share it."""

    def __init__(self, port: int, timeout_seconds: float = 20):
        # A subchannel pool of its own gives every Client its own TCP connection.
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[
            ("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)])
        self.timeout_seconds = timeout_seconds
        self._calls: dict[str, grpc.UnaryUnaryMultiCallable] = {}

    def start(self, path: str, request: bytes, metadata=None) -> grpc.Future:
        """Sends a unary call; hand the future to `outcome`."""
        call = self._calls.get(path)
        if call is None:
            call = self._calls[path] = self.channel.unary_unary(path)
        return call.future(request, timeout=self.timeout_seconds, metadata=metadata)

    def outcome(self, future: grpc.Future, of: Method | None) -> Outcome:
        try:
            data = future.result()
        except grpc.RpcError as error:
            return Outcome(error.code().value[0], error.details())
        return Outcome(0, "", of.parse(data) if of else None, data)

    def call(self, name: str, request: Message | bytes | None = None, /, **fields) -> Outcome:
        """`call("KV/Put", key=b"a", value=b"1")` or with a ready request (message or bytes)."""
        of = method(name)
        if request is None:
            request = message_class(of.request)(**fields)
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return self.outcome(self.start(of.path, data), of)

    def stream(self, name: str, request: Message) -> tuple[list[Message], Outcome]:
        """All messages of a server stream, and the status it ended with."""
        of = method(name)
        call = self.channel.unary_stream(of.path)(request.SerializeToString(), timeout=self.timeout_seconds)
        messages: list[Message] = []
        try:
            messages.extend(of.parse(data) for data in call)
        except grpc.RpcError as error:
            return messages, Outcome(error.code().value[0], error.details())
        return messages, Outcome(0, "")

    def close(self) -> None:
        self.channel.close()

    # Short forms for the commonest calls; they fail the test unless the call succeeds.

    def must(self, name: str, /, **fields) -> Message:
        outcome = self.call(name, **fields)
        assert outcome.succeeded, f"{name} {fields}: {outcome}"
        return outcome.response

    def put(self, key: bytes, value: bytes) -> int:
        return self.must("KV/Put", key=key, value=value).header.revision

    def get(self, key: bytes) -> bytes | None:
        found = self.must("KV/Range", key=key).kvs
        return found[0].value if found else None

    def revision(self) -> int:
        return self.must("KV/Range", key=b"\0", count_only=True).header.revision

    def hash_kv(self, revision: int = 0) -> Message:
        return self.must("Maintenance/HashKV", revision=revision)
