#!/usr/bin/env python3
"""Asks the real Traefik and `windtunnel-proxy gateway` the same, of the same manifests, and tells what they do differently.

usage: run.py --traefik TRAEFIK --proxy PROXY [--only NAME]... [--json FILE]

Each file of `cases/` is a set: objects, and what is asked one after the other. Traefik reads the objects with its own Kubernetes providers, from
the API server of `testkit/peers/kube-files`; pods are scripted servers on loopback. Of each request the status, what of the answer can be
compared, and every attempt as the pods saw it are put side by side.

A difference that is known has its reason in the case (`departs:`); one without, and a reason without a difference, make the run fail.
"""

import argparse
import asyncio
import collections
import json
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import yaml

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "peers" / "kube-files"))

import serve  # noqa: E402
from upstreams import Upstreams, body_of, head_of  # noqa: E402

THEIRS, OURS, API = "127.61.0.1", "127.62.0.1", "127.63.0.1:0"
PORTS = {"web": 8000, "websecure": 8443, "more": 8001}
DIALLED = {"web": 80, "websecure": 443, "more": 81}
# each with its pods; `refused` has one where nobody listens, and `none` has none
SERVICES = {"a": 1, "b": 1, "c": 1, "many": 3, "two": 2, "half": 2, "refused": 1, "none": 0}
DEAD = {"refused": [1], "half": [1]}
ARGS = [f"--entryPoints.{name}.address=:{port}" for name, port in PORTS.items()] + [
    "--entryPoints.websecure.http.tls=true",
    "--providers.kubernetescrd=true",
    "--providers.kubernetescrd.allowEmptyServices=true",
    "--providers.kubernetescrd.allowCrossNamespace=true",
    "--providers.kubernetesingress=true",
    "--providers.kubernetesingress.allowEmptyServices=true",
]
# headers whose values are nobody's decision, and those that docs/traefik.md says are told differently
UNTOLD = {"user-agent", "accept-encoding", "date", "content-length", "x-pod", "connection", "transfer-encoding"}
DEPARTING = {"x-forwarded-host", "x-forwarded-server", "x-real-ip", "x-forwarded-port"}
READY = "is-ready.example"


async def main():
    args = arguments()
    problems, compared, departures = [], 0, []
    results = []
    for path in sorted((HERE / "cases").glob("*.yaml")):
        if args.only and path.stem not in args.only:
            continue
        case = yaml.safe_load(path.read_text())
        both = {}
        with tempfile.TemporaryDirectory(prefix="traefik-") as folder:
            manifests = pathlib.Path(folder) / "manifests.yaml"
            objects = base(case) + written(case)
            manifests.write_text(yaml.safe_dump_all(objects, sort_keys=False))
            upstreams = Upstreams()
            await listen(upstreams)
            sides = (("traefik", traefik), ("ours", ours)) if args.traefik else (("ours", ours),)
            for side, start in sides:
                try:
                    async with start(args, case, manifests, pathlib.Path(folder)) as address:
                        both[side] = [await observe(upstreams, address, step) for step in case["asks"]]
                except NotReady as error:
                    problems.append(f"{path.stem}: {side}: {error}")
            upstreams.close()
        if not args.traefik and "ours" in both:
            asked = zip(case["asks"], both["ours"])
            results += [{"name": f"{path.stem}: {step['ask']}", "ours": own} for step, own in asked if own]
        if len(both) < 2:
            continue
        for step, theirs, own in zip(case["asks"], both["traefik"], both["ours"]):
            if theirs is None:
                continue
            compared += 1
            what = differences(theirs, own, step)
            name = f"{path.stem}: {step.get('name') or step['ask']}"
            reason = step.get("departs")
            results.append({"name": name, "traefik": theirs, "ours": own, "differs": what, "departs": reason})
            if what and reason:
                departures.append(f"{name}: {reason}")
            elif what:
                problems.append("\n    ".join([name, *what]))
            elif reason:
                problems.append(f"{name}: is the same, and need not depart")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1, default=str))
    for line in problems:
        print(f"DIFFERS {line}")
    for line in departures:
        print(f"departs {line}")
    print(f"{compared} compared, {len(departures)} depart for a reason, {len(problems)} differ")
    return 1 if problems else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traefik", help="the program, of the release that docs/traefik.md names; without it, what the proxy does goes to --json")
    parser.add_argument("--proxy", required=True, help="windtunnel-proxy")
    parser.add_argument("--only", action="append", help="a set, by its name")
    parser.add_argument("--json", type=pathlib.Path, help="where all that was seen goes")
    return parser.parse_args()


# What there is.


def address_of(service, nth):
    return f"127.60.{list(SERVICES).index(service) + 1}.{nth}"


async def listen(upstreams):
    for service, count in SERVICES.items():
        for nth in range(1, count + 1):
            if nth not in DEAD.get(service, []):
                await upstreams.listen(service, f"{service}-{nth}", address_of(service, nth), 8080)


def base(case):
    """Traefik itself, services and their pods, and a route by which it is known that rules are in force."""
    labels = {"app": "traefik"}
    container = {"name": "traefik", "image": "traefik:v3.7.9", "args": ARGS + case.get("args", [])}
    own = {"name": "traefik", "namespace": "edge"}
    yield_all = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("default", "edge")
    ]
    yield_all += [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": own,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": own,
            "spec": {
                "selector": labels,
                "ports": [{"name": name, "port": DIALLED[name], "targetPort": port} for name, port in PORTS.items()],
            },
        },
    ]
    for service, count in SERVICES.items():
        ports = [{"name": "web", "port": 80, "targetPort": 8080}]
        found = {"metadata": {"name": service}, "spec": {"selector": {"app": service}, "ports": ports}}
        yield_all.append({"apiVersion": "v1", "kind": "Service", **found})
        endpoints = [
            {"addresses": [address_of(service, nth)], "conditions": {"ready": True}} for nth in range(1, count + 1)
        ]
        labels = {"kubernetes.io/service-name": service}
        yield_all.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"{service}-1", "labels": labels},
                "addressType": "IPv4",
                "ports": [{"name": "web", "port": 8080, "protocol": "TCP"}],
                "endpoints": endpoints,
            }
        )
    route = {"kind": "Rule", "match": f"Host(`{READY}`)", "priority": 100000, "services": [{"name": "a", "port": 80}]}
    spec = {"entryPoints": ["web"], "routes": [route]}
    metadata = {"name": "is-ready"}
    yield_all.append({"apiVersion": "traefik.io/v1alpha1", "kind": "IngressRoute", "metadata": metadata, "spec": spec})
    return yield_all


def written(case):
    """The objects of a case. `middlewares` and `services` are specs by name; of `routes` each is an IngressRoute of its own, from `to`, `through`
    and what else a route has."""
    found = list(case.get("objects", []))

    def add(kind, name, spec):
        found.append({"apiVersion": "traefik.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})

    for name, spec in case.get("middlewares", {}).items():
        add("Middleware", name, spec)
    for name, spec in case.get("services", {}).items():
        add("TraefikService", name, spec)
    for nth, route in enumerate(case.get("routes", [])):
        route = {"kind": "Rule", **route}
        spec = {"entryPoints": route.pop("entry", ["web"])}
        if "to" in route:
            to = route.pop("to")
            route["services"] = [{"name": to, "port": 80} if isinstance(to, str) else to]
        if "through" in route:
            route["middlewares"] = [{"name": name} for name in route.pop("through")]
        for own in ("tls",):
            if own in route:
                spec[own] = route.pop(own)
        spec["routes"] = [route]
        add("IngressRoute", f"route-{nth}", spec)
    return found


# Who is asked.


class NotReady(Exception):
    """A program did not serve in time."""


class Running:
    """A program, until the block ends."""

    def __init__(self, command, address, folder, beside=None):
        self.command, self.address, self.beside = command, address, beside
        self.log = folder / "log"

    async def __aenter__(self):
        self.process = subprocess.Popen(self.command, stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise NotReady(f"ended: {self.log.read_text()[-2000:]}")
            try:
                answer = await ask(self.address, PORTS["web"], f"GET http://{READY}/", {}, b"", 2)
                if answer["status"] == 200:
                    return self.address
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.05)
        self.process.kill()
        raise NotReady(f"does not serve: {self.log.read_text()[-2000:]}")

    async def __aexit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.beside:
            self.beside.shutdown()
            self.beside.server_close()


def traefik(args, case, manifests, folder):
    api = serve.started(API, [manifests])
    endpoint = "http://{}:{}".format(*api.server_address)
    given = [it.replace(".address=:", f".address={THEIRS}:") for it in ARGS + case.get("args", [])]
    given += [f"--providers.{name}.endpoint={endpoint}" for name in ("kubernetescrd", "kubernetesingress")]
    given += ["--providers.providersThrottleDuration=10ms", "--log.level=ERROR"]
    given += ["--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"]
    return Running([args.traefik, *given], THEIRS, folder, api)


def ours(args, case, manifests, folder):
    ports = {str(DIALLED[name]): port for name, port in PORTS.items()}
    listen_map = folder / "listen.json"
    listen_map.write_text(json.dumps({"gateways": {"edge/traefik": {"address": OURS, "ports": ports}}}))
    command = [args.proxy, "gateway", "-f", str(manifests), "--listen-map", str(listen_map), "--concurrency", "1"]
    return Running(command, OURS, folder)


# What is asked, and what comes of it.


async def observe(upstreams, address, step):
    """What comes of a step of a case: `wait` alone, or requests one after the other (`times`) or at once (`together`)."""
    if "wait" in step:
        await asyncio.sleep(step["wait"])
        return None
    upstreams.tell(step.get("pods", {}))
    body = b"x" * step["size"] if "size" in step else step.get("body", "").encode()
    port = PORTS[step.get("entry", "websecure" if "https://" in step["ask"] else "web")]

    async def once():
        headers = step.get("headers", {})
        began = time.monotonic()
        try:
            answer = await ask(address, port, step["ask"], headers, body, step.get("patience", 10))
        except asyncio.TimeoutError:
            answer = {"status": "nothing in time", "headers": [], "body": b""}
        except (OSError, asyncio.IncompleteReadError):
            answer = {"status": "closed", "headers": [], "body": b""}
        answer["seconds"] = time.monotonic() - began
        return answer

    if "together" in step:
        answers = await asyncio.gather(*(once() for _ in range(step["together"])))
    else:
        answers = []
        for _ in range(step.get("times", 1)):
            answers.append(await once())
            await asyncio.sleep(step.get("every", 0))
    # what comes later: copies, probes
    await asyncio.sleep(step.get("after", 0.02))
    return told(answers, upstreams.seen, step)


async def ask(address, port, line, headers, body, patience):
    method, url = line.split(" ", 1)
    scheme, rest = url.split("://", 1)
    host, slash, path = rest.partition("/")
    context = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    name = host.rsplit(":", 1)[0] if context else None
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_connection(
            address, port, ssl=context, server_hostname=name, local_addr=("127.0.0.1", 0)
        )
        try:
            lines = [f"{method} {slash}{path} HTTP/1.1" if slash else f"{method} / HTTP/1.1"]
            given = {"host": host, "connection": "close", **headers}
            if body:
                given["content-length"] = len(body)
            for header, value in given.items():
                for one in value if isinstance(value, list) else [value]:
                    lines.append(f"{header}: {one}")
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            first, answered = await head_of(reader)
            while first.split(" ")[1] == "100":
                first, answered = await head_of(reader)
            content = b"" if method == "HEAD" else await body_of(reader, answered, to_end=True)
        finally:
            writer.close()
    return {"status": int(first.split(" ")[1]), "headers": answered, "body": content}


def told(answers, seen, step):
    """What is put side by side: of one request everything, of many how often each thing came."""
    wanted = step.get("shows", [])
    many = len(answers) > 1
    found = {}
    statuses = collections.Counter(str(it["status"]) for it in answers)
    found["status"] = dict(sorted(statuses.items())) if many else answers[0]["status"]
    if "seconds" in step:
        found["seconds"] = round(sum(it["seconds"] for it in answers), 3)
    if not many:
        first = answers[0]
        from_pod = any(name == "x-pod" for name, _ in first["headers"])
        named = sorted((name, value) for name, value in first["headers"] if name not in UNTOLD)
        found["answer"] = [f"{name}: {value}" for name, value in named]
        if not from_pod or step.get("body_shown"):
            found["body"] = first["body"].decode("latin-1")
        found["attempts"] = [attempt(it, step) for it in seen]
    by = "pod" if step.get("by") == "pod" else "service"
    found["to"] = dict(sorted(collections.Counter(getattr(it, by) for it in seen).items()))
    if "share" in step:
        total = sum(found["to"].values()) or 1
        found["to"] = {name: count / total for name, count in found["to"].items()}
    for name in wanted:
        values = collections.Counter(value for it in answers for own, value in it["headers"] if own == name)
        found[name] = dict(sorted(values.items()))
    return found


def attempt(seen, step):
    hidden = UNTOLD | (set() if step.get("all_headers") else DEPARTING)
    headers = sorted(f"{name}: {value}" for name, value in seen.headers if name not in hidden)
    return {"to": seen.service, "asks": f"{seen.method} {seen.target}", "headers": headers, "bytes": len(seen.body)}


def differences(theirs, own, step):
    """In words; `share` allows so much more or less of each service, `seconds` so much more or less time."""
    found = []
    for field, value in theirs.items():
        other = own.get(field)
        if field == "seconds":
            same = abs(value - other) <= step["seconds"]
        elif field == "to" and "share" in step:
            names = set(value) | set(other)
            same = all(abs(value.get(name, 0) - other.get(name, 0)) <= step["share"] for name in names)
        elif field == "status" and "slack" in step and isinstance(value, dict):
            names = set(value) | set(other)
            same = all(abs(value.get(name, 0) - other.get(name, 0)) <= step["slack"] for name in names)
        elif field in ("to", "attempts") and "slack" in step:
            same = True
        else:
            same = value == other
        if not same:
            found.append(f"{field}: traefik {value}, ours {other}")
    return found


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
