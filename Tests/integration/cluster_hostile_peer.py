"""A peer that lies: bytes that no member sends, on the paths on which members talk to each other."""

from __future__ import annotations

import http.client
import random
import socket
import threading

from api import message, message_class
from cluster_harness import Cluster, Member

VERSION = "3.7.1"
# What a member says to itself only; from outside they are lies.
LOCAL_KINDS = {0, 1, 10, 11, 12, 19, 20, 21, 22}
PROPOSAL, APPEND, HEARTBEAT, SNAPSHOT = 2, 3, 8, 7
KINDS = range(0, 23)


class HostilePeer:
    """Speaks in the name of one member of a cluster, to another."""

    def __init__(self, cluster: Cluster, name_of: Member, target: Member, source: random.Random):
        self.target, self.source = target, source
        status = target.status()
        self.cluster_id, self.target_id = status.header.cluster_id, status.header.member_id
        self.own_id = cluster.member_id(name_of)
        self.term, self.commit = status.raftTerm, status.raftAppliedIndex
        self.peer_urls = name_of.peer_url

    def headers(self, **changes: str) -> dict[str, str]:
        found = {"X-Server-From": f"{self.own_id:x}", "X-Server-Version": VERSION, "X-Min-Cluster-Version": "3.0.0",
                 "X-Etcd-Cluster-ID": f"{self.cluster_id:x}", "X-Raft-To": f"{self.target_id:x}",
                 "X-PeerURLs": self.peer_urls, "Content-Type": "application/protobuf"}
        found.update({name.replace("_", "-"): value for name, value in changes.items()})
        return found

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
        """The status; 0 where the connection was closed without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.target.peer_port, timeout=20)
        try:
            connection.request(method, path, body, headers or self.headers())
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def raw(self, data: bytes) -> bytes:
        """What comes back for bytes that need not be HTTP."""
        with socket.create_connection(("127.0.0.1", self.target.peer_port), 10) as connection:
            connection.settimeout(10)
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(4096)
            except OSError:
                return b""

    def post(self, body: bytes) -> int:
        return self.request("POST", "/raft", body)

    # Messages that are wrong by themselves.

    def message(self, **fields):
        fields = {"type": HEARTBEAT, "to": self.target_id, "from": self.own_id, "term": self.term, **fields}
        return message("raftpb.Message", **fields)

    def wrong_messages(self) -> dict[str, bytes]:
        def appended(**fields):
            return message("raftpb.Entry", Term=self.term, Index=self.commit + 1, **fields)

        entry = appended(Data=b"\xff garbage \xff")
        configuration = message("raftpb.Entry", Type=1, Data=b"\xff\xff\xff\xff")
        remove_self = message("raftpb.ConfChange", type=1, node_id=self.target_id)
        # As a leader's would be: nothing but the content of its entry is wrong.
        following = {"type": APPEND, "term": self.term, "index": self.commit, "logTerm": self.term, "commit": self.commit}
        far, huge = self.commit + 1_000_000, (1 << 64) - 1
        found = {
            "a proposal of garbage": self.message(type=PROPOSAL, term=0, entries=[message("raftpb.Entry", Data=b"\xff" * 40)]),
            "a proposal of a garbled configuration": self.message(type=PROPOSAL, term=0, entries=[configuration]),
            "a proposal of nothing": self.message(type=PROPOSAL, term=0),
            "an append that counts wrongly": self.message(
                type=APPEND, index=self.commit, logTerm=self.term, commit=self.commit,
                entries=[message("raftpb.Entry", Term=self.term, Index=far)]),
            "an append of a later term than its own": self.message(
                type=APPEND, index=self.commit, logTerm=self.term,
                entries=[message("raftpb.Entry", Term=self.term + 5, Index=self.commit + 1)]),
            "an append at the end of numbers": self.message(type=APPEND, index=huge, logTerm=1, entries=[entry]),
            "an append of garbage": self.message(**following, entries=[entry]),
            "an append of garbage behind a command": self.message(**following, entries=[
                appended(Data=message("InternalRaftRequest", put={"key": b"a"}).SerializeToString()),
                message("raftpb.Entry", Term=self.term, Index=self.commit + 2, Data=b"\x22\x05\x0a")]),
            "an append of a change as a command": self.message(
                **following, entries=[appended(Data=remove_self.SerializeToString())]),
            "an append of a command as a change": self.message(**following, entries=[
                appended(Type=1, Data=message("InternalRaftRequest", put={"key": b"a"}).SerializeToString())]),
            "an append of a change of nobody": self.message(**following, entries=[
                appended(Type=1, Data=message("raftpb.ConfChange", node_id=77, context=b"{").SerializeToString())]),
            "a heartbeat that commits what is not there": self.message(commit=huge),
            "a snapshot without one": self.message(type=SNAPSHOT),
            "for somebody else": self.message(to=12345), "from a stranger": self.message(**{"from": 54321}),
            "of no known kind": self.message() and self._kind(99)}
        found |= {f"local kind {kind}": self._kind(kind) for kind in LOCAL_KINDS}
        return {name: each if isinstance(each, bytes) else each.SerializeToString() for name, each in found.items()}

    @property
    def faults(self) -> list[str]:
        """What the log is to say of them."""
        return ["its kind is for a member's own use", "an entry holds what is no command",
                "an entry holds what is no change of members", "a snapshot without its file"]

    def _kind(self, kind: int) -> bytes:
        """Also kinds that the message class would not take."""
        plain = self.message()
        plain.ClearField("type")
        return b"\x08" + bytes([kind]) + plain.SerializeToString()

    def mutated(self) -> bytes:
        """Bytes of a message with a few changes, until they are none that a member could have sent."""
        while True:
            kind = self.source.choice(KINDS)
            plain = self.message(term=self.source.choice([0, 1, self.term]), index=self.source.choice([0, 1, self.commit]),
                                 logTerm=1, commit=self.source.choice([0, self.commit]), entries=[
                                     message("raftpb.Entry", Term=1, Index=self.commit + 1, Data=self.source.randbytes(20))])
            plain.ClearField("type")
            data = bytearray(b"\x08" + bytes([kind]) + plain.SerializeToString())
            for _ in range(self.source.randrange(1, 6)):
                place = self.source.randrange(len(data))
                change = self.source.random()
                if change < 0.5:
                    data[place] ^= 1 << self.source.randrange(8)
                elif change < 0.75:
                    data[place:place] = self.source.randbytes(self.source.randrange(1, 9))
                else:
                    del data[place:place + self.source.randrange(1, 9)]
                    if not data:
                        data.append(0)
            if not self._could_be_true(bytes(data)):
                return bytes(data)

    def _could_be_true(self, data: bytes) -> bool:
        """Raft believes a member that speaks of its own or a later term, or proposes; a lie of that kind is no lie."""
        try:
            parsed = message_class("raftpb.Message").FromString(data)
        except Exception:  # noqa: BLE001 (protobuf's own class differs between its implementations)
            return False
        is_addressed = parsed.to == self.target_id and getattr(parsed, "from") == self.own_id
        return is_addressed and (parsed.term >= self.term or parsed.term == 0) and parsed.type not in LOCAL_KINDS


class HostileAnswers:
    """A listener in a member's place, which answers each connection with bytes of its choice and waits."""

    def __init__(self, port: int, answers):
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", port))
        self.served = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(2)
            try:
                request = connection.recv(65536)
                connection.sendall(self._answers(request))
                self.served += 1
                while connection.recv(65536):
                    pass
            except OSError:
                pass

    def close(self) -> None:
        # A thread in accept keeps the socket open until it is woken.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
