"""Pods on loopback that do what they are told, and remember what they were asked."""

import asyncio
import dataclasses
import json
import socket
import struct


@dataclasses.dataclass
class Seen:
    """A request as a pod had it."""

    service: str
    pod: str
    method: str
    target: str
    headers: list
    body: bytes


class Upstreams:
    """All pods. What a service is told next is answered by whichever of its pods is asked next; what nobody was told is 200."""

    def __init__(self):
        self.scripts = {}
        self.seen = []
        self.servers = []

    async def listen(self, service, pod, address, port):
        async def serve(reader, writer):
            try:
                while await self.request(service, pod, reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
                pass
            finally:
                writer.close()

        self.servers.append(await asyncio.start_server(serve, address, port))

    def tell(self, scripts):
        """What each service does with its next requests: a status, or a mapping with `status`, `headers`, `body`, `delay`; or `reset`, `close`."""
        self.scripts = {service: list(steps) for service, steps in scripts.items()}
        self.seen = []

    def next(self, service):
        steps = self.scripts.get(service, [])
        # the last one stays
        return (steps.pop(0) if len(steps) > 1 else steps[0]) if steps else 200

    async def request(self, service, pod, reader, writer):
        head = await head_of(reader)
        if head is None:
            return False
        line, headers = head
        method, target, _ = line.split(" ", 2)
        if "expect" in dict(headers):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await body_of(reader, headers)
        self.seen.append(Seen(service, pod, method, target, headers, body))
        step = self.next(service)
        if step in ("reset", "close"):
            end(writer, step)
            return False
        step = step if isinstance(step, dict) else {"status": step}
        await asyncio.sleep(step.get("delay", 0))
        own = step.get("headers", {})
        text = step.get("body", json.dumps({"service": service, "pod": pod}))
        status = step.get("status", 200)
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(text.encode())}", f"x-pod: {pod}"]
        lines += [f"{name}: {value}" for name, value in own.items()]
        payload = b"" if method == "HEAD" else text.encode()
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        await writer.drain()
        return "close" not in own.values()

    def close(self):
        for server in self.servers:
            server.close()


def end(writer, how):
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()


async def head_of(reader):
    """First line and headers, names in lower case; none: the connection ended before."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    line, *rest = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = [it.split(":", 1) for it in rest]
    return line, [(name.strip().lower(), value.strip()) for name, value in pairs]


async def body_of(reader, headers, to_end=False):
    known = dict(headers)
    if known.get("transfer-encoding", "").lower() == "chunked":
        whole = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            whole += await reader.readexactly(size)
            await reader.readline()
        while (await reader.readline()).strip():
            pass
        return whole
    if "content-length" in known:
        return await reader.readexactly(int(known["content-length"]))
    return await reader.read() if to_end else b""
