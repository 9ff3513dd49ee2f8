"""Publish events of agent runs to runmetrics over NATS, with nats-py (2.9 or later, Python 3.9 or later).

    from runmetrics_nats import Publisher

    async with await Publisher.connect("nats://127.0.0.1:4222") as publisher:
        run = await publisher.start_run("summer-sale", "run-1", "draft", agents_expected=1)
        await run.agent_started("copywriter")
        ...                                        # the agent works
        await run.agent_finished("copywriter", "succeeded", tokens_in=1000, tokens_out=2000,
                                 cost_usd=Decimal("0.0591335"), assets_generated=8)
        await run.finish_run("completed")

publish() takes an event and returns; behind it the same bytes are sent with the same message id until the stream has stored
them, through lost connections and restarted servers, and counted once. While 1,000 events wait for that, publish() waits,
too. flush(), and the end of the block, return when all are stored; NotStored has those that are not, to be published
again later. A process that is told to stop should leave the block: let SIGTERM cancel the task that is in it.
Await every method: without it nothing is published.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from time import monotonic
from typing import Any, Callable, Optional, Union
from urllib.parse import quote

import nats
import nats.errors
import nats.js.errors

# What the stream will never take, however often it is sent.
REFUSALS = (nats.errors.MaxPayloadError, nats.errors.BadSubjectError, nats.js.errors.BadRequestError)


class NotStored(Exception):
    """Events that the stream did not confirm: a list of (event, why)."""

    def __init__(self, events: list[tuple[dict[str, Any], str]]):
        super().__init__(f"{len(events)} events are not stored, the first: {events[0][1]}")
        self.events = events


class Publisher:
    """Use connect() to make one."""

    def __init__(self, servers: Union[str, list[str]], max_in_flight: int, patience: float, options: dict[str, Any]):
        self._servers, self._patience, self._options = servers, patience, options
        self._room = asyncio.Semaphore(max_in_flight)
        self._connecting = asyncio.Lock()
        self._nats: Any = None
        self._jetstream: Any = None
        self._closing = False
        self._under_way: set[asyncio.Task[None]] = set()
        self._lost: list[tuple[dict[str, Any], str]] = []

    @classmethod
    async def connect(cls, servers: Union[str, list[str]] = "nats://127.0.0.1:4222", *, max_in_flight: int = 1000,
                      patience: float = 110, **options: Any) -> Publisher:
        """Waits until a server takes the connection, also where it refuses the password: that is logged, and may be mended.
        asyncio.wait_for limits it. Patience is for how many seconds an event is tried while there is a connection; time
        without one does not count. Options are those of nats.connect: user, password, user_credentials, tls, error_cb."""
        self = cls(servers, max_in_flight, patience, {"name": "runmetrics publisher", "max_reconnect_attempts": -1,
                                                      "reconnect_time_wait": 1, "inbox_prefix": "_INBOX_publish", **options})
        await self._connection()
        return self

    async def __aenter__(self) -> Publisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start_run(self, campaign_id: str, run_id: str, phase: str, *, agents_expected: Optional[int] = None) -> Run:
        run = Run(self.publish, campaign_id, run_id, phase)
        await run.say("run.started", agentsExpected=agents_expected)
        return run

    async def publish(self, event: dict[str, Any]) -> None:
        """Takes an event, when there is room for it."""
        if self._closing:
            raise RuntimeError("the publisher is closed")
        data, headers = encode(event), {"Nats-Msg-Id": message_id(event)}
        trace = current_traceparent()
        if trace:
            headers["traceparent"] = trace
        await self._room.acquire()
        task = asyncio.ensure_future(self._deliver(event, data, headers))
        self._under_way.add(task)
        task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._room.release()

    async def _deliver(self, event: dict[str, Any], data: bytes, headers: dict[str, str]) -> None:
        """Sends until the stream has confirmed. What it has already it drops by the message id, or later runmetrics by the
        event's id."""
        subject, delay, spent, why = subject_of(event), 0.1, 0.0, "not sent"
        while not self._closing and spent < self._patience:
            began, connected = monotonic(), False
            try:
                connected = (await self._connection()).is_connected
                if connected:  # else the client would keep each attempt, and send them all
                    # A cut may leave the client waiting before its own time-out begins.
                    await asyncio.wait_for(self._jetstream.publish(subject, data, timeout=5, headers=headers), 10)
                    return
                why = "not connected"
            except REFUSALS as e:
                self._lost.append((event, str(e)))
                return
            except asyncio.CancelledError:
                break
            except Exception as e:  # whatever it was, the next attempt may do better
                why = str(e) or type(e).__name__
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, 2)
            spent += monotonic() - began if connected else 0
        self._lost.append((event, why))

    async def _connection(self) -> Any:
        """The connection. nats-py restores one that is cut, but not one that the server ended with an error."""
        async with self._connecting:
            if self._nats is None or self._nats.is_closed:
                self._nats = await nats.connect(self._servers, **self._options)
                self._jetstream = self._nats.jetstream()
            return self._nats

    async def flush(self) -> None:
        """Returns when everything published before is stored, else raises NotStored."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._lost:
            lost, self._lost = self._lost, []
            raise NotStored(lost)

    async def close(self, timeout: float = 30) -> None:
        """Gives what is under way so many seconds, and closes the connection."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout)
        self._closing = True
        for task in self._under_way:
            task.cancel()  # which nats-py may swallow: then the task ends with its attempt
        try:
            await self.flush()
        finally:
            await self._nats.close()


def subject_of(event: dict[str, Any]) -> str:
    return f"runs.{token(event['campaignId'])}.{token(event['runId'])}"


def message_id(event: dict[str, Any]) -> str:
    """What JetStream knows a repeated message by, over the whole stream."""
    if re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", event["id"]):
        return event["id"]
    return "/".join(token(event[name]) for name in ("campaignId", "runId", "phase", "id"))


# What follows is the same in runmetrics_http.py.

try:
    from opentelemetry.propagate import inject
except ImportError:
    inject = None

MAX_EVENT = 65536  # bytes


def token(name: str) -> str:
    """The name with every byte outside A-Za-z0-9_- as %XX."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def run_key(campaign_id: str, run_id: str, phase: str) -> uuid.UUID:
    """The identity of a run in the API and in every store."""
    namespace = uuid.UUID("2a44673b-1e04-50f1-806d-cbd4b561aedb")
    return uuid.uuid5(namespace, "/".join(map(token, (campaign_id, run_id, phase))))


def encode(event: dict[str, Any]) -> bytes:
    """The event as it is sent. Money may be Decimal: it becomes a string of decimal digits."""
    data = json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=decimal_text).encode()
    if len(data) > MAX_EVENT:
        raise ValueError(f"the event has {len(data)} bytes, more than 64 KiB")
    return data


def decimal_text(money: Union[Decimal, int, float, str]) -> str:
    """The amount in digits, as it prints: a float of 0.1 is 0.1."""
    try:
        amount = Decimal(str(money))
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ValueError(f"{money!r} is no amount of money")
    return format(amount, "f")


def shortened(text: Optional[str], units: int) -> Optional[str]:
    """The text without U+0000, and not longer than so many UTF-16 code units, in which runmetrics counts."""
    return text and text.replace("\0", "").encode("utf-16-le", "replace")[: 2 * units].decode("utf-16-le", "ignore")


def current_traceparent() -> Optional[str]:
    """The W3C trace context of the caller's span, where OpenTelemetry is installed and there is one."""
    carrier: dict[str, str] = {}
    if inject is not None:
        inject(carrier)
    return carrier.get("traceparent")


class Run:
    """A run of a campaign in one phase. Its methods publish; use the publisher's start_run to make one."""

    def __init__(self, publish: Callable[[dict[str, Any]], Any], campaign_id: str, run_id: str, phase: str):
        self._publish, self._key = publish, {"campaignId": campaign_id, "runId": run_id, "phase": phase}
        self._attempts: dict[str, int] = {}  # by agent, of those started
        self._started: dict[tuple[str, int], float] = {}  # when, by a clock that is never set

    def say(self, event_type: str, event_id: Optional[str] = None, at: Optional[datetime] = None, **fields: Any) -> Any:
        """Publishes an event, of now where no time is given. What is None is left out."""
        at = (at or datetime.now(timezone.utc)).astimezone(timezone.utc)
        event = {"id": event_id or str(uuid.uuid4()), "type": event_type, **self._key,
                 "occurredAt": at.isoformat().replace("+00:00", "Z"), **fields}
        return self._publish({name: value for name, value in event.items() if value is not None})

    def agent_started(self, agent_id: str, *, attempt: Optional[int] = None, agent_name: Optional[str] = None) -> Any:
        """An agent begins. Once more is its next attempt."""
        attempt = attempt or self._attempts.get(agent_id, 0) + 1
        self._attempts[agent_id] = attempt
        self._started[agent_id, attempt] = monotonic()
        return self.say("agent.started", agentId=agent_id, attempt=attempt, agentName=shortened(agent_name, 256))

    def agent_finished(self, agent_id: str, status: str, *, attempt: Optional[int] = None, latency_ms: Optional[float] = None,
                       tokens_in: int = 0, tokens_out: int = 0, cost_usd: Union[Decimal, int, float, str, None] = None,
                       assets_generated: int = 0, agent_name: Optional[str] = None, model: Optional[str] = None,
                       error: Optional[str] = None, event_id: Optional[str] = None, ended_at: Optional[datetime] = None) -> Any:
        """An agent's attempt ends: succeeded, failed or cancelled. A cost that is not known stays None. Said again, also by
        another process, it has the same id and is counted once. Where no agent_started was called, give latency_ms."""
        attempt = attempt or self._attempts.get(agent_id, 1)
        began = self._started.pop((agent_id, attempt), None)
        if latency_ms is None:
            if began is None:
                raise ValueError("latency_ms is needed: this attempt was not started here")
            latency_ms = round((monotonic() - began) * 1000)
        if event_id is None:
            event_id = f"{agent_id}/{attempt}"
            if len(event_id.encode("utf-16-le")) > 2 * 128:
                event_id = str(uuid.uuid5(run_key(*self._key.values()), event_id))
        return self.say("agent.finished", event_id, ended_at, agentId=agent_id, attempt=attempt, status=status,
                        latencyMs=latency_ms, tokensIn=tokens_in, tokensOut=tokens_out, assetsGenerated=assets_generated,
                        costUSD=None if cost_usd is None else decimal_text(cost_usd), agentName=shortened(agent_name, 256),
                        model=shortened(model, 256), error=shortened(error, 2048))

    def finish_run(self, outcome: str = "completed") -> Any:
        """The run is over: completed, failed or cancelled."""
        return self.say("run.finished", outcome=outcome)
