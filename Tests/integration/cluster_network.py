"""TCP proxies between members, in a process of its own: each direction of each pair can be cut, slowed or made lossy.

A member has one peer URL for all others, so who speaks on a connection is told by the process that owns its other end
(/proc/net/tcp and /proc/PID/fd), whatever is spoken. A link (A, B) carries all bytes that A sends to B, on connections
of either's making. A cut link holds bytes and ends back, as a network does that loses packets: neither side is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import random
import subprocess
import sys

CHUNK_BYTES = 65536
OWNER_TRIES = 25
OUTSIDER = ""  # whoever dials and is no member: a test


class Network:
    """The side of the test: orders are in force when a method returns."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, start_new_session=True)

    def _order(self, **order) -> dict:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the proxies' process has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def add(self, member: str, listen: int, target: int) -> None:
        """Connections to `listen` go on to `target`, where the member itself listens."""
        self._order(do="add", member=member, listen=listen, target=target)

    def drop(self, member: str) -> None:
        self._order(do="drop", member=member)

    def process(self, member: str, pid: int) -> None:
        self._order(do="process", member=member, pid=pid)

    def cut(self, sender: str, receiver: str) -> None:
        self._order(do="cut", sender=sender, receiver=receiver)

    def slow(self, sender: str, receiver: str, seconds: float, loss: float = 0) -> None:
        """Each piece takes up to twice so long, half at least; `loss` of the pieces end their connection."""
        self._order(do="slow", sender=sender, receiver=receiver, seconds=seconds, loss=loss)

    def heal(self, resume: bool = True) -> None:
        """All links as at first. What was held is delivered late, or its connections are reset."""
        self._order(do="heal", resume=resume)

    def pieces_held(self) -> int:
        return self._order(do="held")["held"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Link:
    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.seconds = 0.0
        self.loss = 0.0
        self.held: set[asyncio.StreamWriter] = set()  # connections whose bytes wait

    def heal(self, resume: bool) -> None:
        if not resume:
            for writer in self.held:
                writer.transport.abort()
        self.seconds = self.loss = 0.0
        self.is_open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction of a connection to its end; raises where the connection is to be reset."""
        while True:
            piece = await reader.read(CHUNK_BYTES)
            if self.seconds:
                await asyncio.sleep(self.seconds * random.uniform(0.5, 2))
            if self.loss and random.random() < self.loss:
                raise ConnectionError("lost on purpose")
            if not self.is_open.is_set():
                self.held.add(writer)
                try:
                    await self.is_open.wait()
                finally:
                    self.held.discard(writer)
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()


class Proxies:
    """The side of the process."""

    def __init__(self) -> None:
        self.links: dict[tuple[str, str], Link] = {}
        self.servers: dict[str, asyncio.Server] = {}
        self.pids: dict[str, int] = {}
        self.tasks: set[asyncio.Task] = set()

    def link(self, sender: str, receiver: str) -> Link:
        return self.links.setdefault((sender, receiver), Link())

    async def obey(self, order: dict) -> dict:
        do = order.pop("do")
        if do == "add":
            await self.add(**order)
        elif do == "drop":
            server = self.servers.pop(order["member"])
            server.close()
        elif do == "process":
            self.pids[order["member"]] = order["pid"]
        elif do == "cut":
            self.link(**order).is_open.clear()
        elif do == "slow":
            link = self.link(order["sender"], order["receiver"])
            link.seconds, link.loss = order["seconds"], order["loss"]
        elif do == "heal":
            for link in self.links.values():
                link.heal(order["resume"])
        elif do == "held":
            return {"held": sum(len(link.held) for link in self.links.values())}
        return {}

    async def add(self, member: str, listen: int, target: int) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self.connect(member, target, listen, reader, writer))
            self.tasks.add(task)  # asyncio itself keeps no task alive
            task.add_done_callback(self.tasks.discard)

        self.servers[member] = await asyncio.start_server(accept, "127.0.0.1", listen)

    async def connect(self, member: str, target: int, listen: int, reader: asyncio.StreamReader,
                      writer: asyncio.StreamWriter) -> None:
        sides = [writer]
        pumps: list[asyncio.Task] = []
        try:
            dialler = await self.owner(writer.get_extra_info("peername")[1], listen)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
            sides.append(far_writer)
            pumps = [asyncio.ensure_future(self.link(dialler, member).carry(reader, far_writer)),
                     asyncio.ensure_future(self.link(member, dialler).carry(far_reader, writer))]
            await asyncio.gather(*pumps)
        except OSError:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            for side in sides:
                side.transport.abort()

    async def owner(self, port: int, listen: int) -> str:
        """Which member's process made the connection. A process may be told of after it has dialled."""
        for _ in range(OWNER_TRIES):
            inode = inode_of(port, listen)
            for member, pid in self.pids.items():
                if inode and has_socket(pid, inode):
                    return member
            if inode == 0 or has_socket(os.getppid(), inode):
                break
            await asyncio.sleep(0.01)
        return OUTSIDER


def inode_of(port: int, remote_port: int) -> int:
    ends = f":{port:04X}", f":{remote_port:04X}"
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
            return int(fields[9])
    return 0


def has_socket(pid: int, inode: int) -> bool:
    name = f"socket:[{inode}]"
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(entry.path) == name:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


async def main() -> None:
    proxies = Proxies()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        try:
            answer = await proxies.obey(json.loads(line))
        except Exception as error:  # noqa: BLE001 (the test hears of it)
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    os._exit(0)  # connections that are held stay held: nobody is there to be told


if __name__ == "__main__":
    asyncio.run(main())
