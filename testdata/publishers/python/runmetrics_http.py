"""Publish events of agent runs to runmetrics over HTTP, with Python's standard library alone (3.9 or later).

    from runmetrics_http import Publisher

    with Publisher("https://metrics.example.com", key=os.environ["RUNMETRICS_KEY"]) as publisher:
        run = publisher.start_run("summer-sale", "run-1", "draft", agents_expected=1)
        run.agent_started("copywriter")
        ...                                        # the agent works
        run.agent_finished("copywriter", "succeeded", tokens_in=1000, tokens_out=2000,
                           cost_usd=Decimal("0.0591335"), assets_generated=8)
        run.finish_run("completed")

Events are kept until there are 1,000 or 5 MB of them, until flush(), or the end of the with block; then they are posted, and
posted again with the same ids until they are stored: each is counted once. Events that break the contract are never
posted again; NotStored names them, and what could not be stored in time. Threads may share a publisher.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from time import monotonic, sleep
from typing import Any, Callable, Optional, Union
from urllib.parse import quote

MAX_EVENTS, MAX_BYTES = 1000, 5_000_000  # of one request
RETRIED = (0, 408, 429, 502, 503, 504)  # after these the next attempt may do better; 0 is no answer


class NotStored(Exception):
    """Events that are not stored: refused is a list of (event, why), unconfirmed a list of events to publish again."""

    def __init__(self, refused: list[tuple[dict[str, Any], str]], unconfirmed: list[dict[str, Any]], why: str):
        super().__init__(f"{len(refused)} events refused, {len(unconfirmed)} not confirmed: {why}")
        self.refused, self.unconfirmed = refused, unconfirmed


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body, and take the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Publisher:
    """Posts to `url`, the API of runmetrics, for up to `patience` seconds at a time."""

    def __init__(self, url: str, key: Optional[str] = None, *, patience: float = 60, timeout: float = 15):
        self._url, self._patience, self._timeout = url.rstrip("/") + "/api/events", patience, timeout
        self._headers = {"Content-Type": "application/x-ndjson"}
        self._opener = urllib.request.build_opener(NoRedirect)
        if key:
            self._headers["Authorization"] = "Bearer " + key
        self._lock = threading.RLock()
        self._events: list[dict[str, Any]] = []
        self._lines: list[bytes] = []
        self._size = 0

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def start_run(self, campaign_id: str, run_id: str, phase: str, *, agents_expected: Optional[int] = None) -> Run:
        run = Run(self.publish, campaign_id, run_id, phase)
        run.say("run.started", agentsExpected=agents_expected)
        return run

    def publish(self, event: dict[str, Any]) -> None:
        """Takes an event, and posts when there are enough for a request."""
        line = encode(event) + b"\n"
        with self._lock:
            self._events.append(event)
            self._lines.append(line)
            self._size += len(line)
            if len(self._lines) == MAX_EVENTS or self._size > MAX_BYTES - MAX_EVENT:
                self.flush()

    def flush(self) -> None:
        """Returns when everything taken is stored, else raises NotStored."""
        with self._lock:
            events, body = self._events, b"".join(self._lines)
            self._events, self._lines, self._size = [], [], 0
            if not events:
                return
            status, answer = self._post(body)
        verdicts = answer.get("events", [])
        refused = [(events[v["index"]], v["detail"]) for v in verdicts if v["status"] == "refused"]
        if status == 202:
            unconfirmed = []
        elif verdicts:
            unconfirmed = [events[v["index"]] for v in verdicts if v["status"] == "unconfirmed"]
        else:
            unconfirmed = events
        if refused or unconfirmed:
            raise NotStored(refused, unconfirmed, f"{status} {answer.get('detail', '')}".strip())

    def _post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Posts until the answer is final, or the time is over."""
        deadline, delay = monotonic() + self._patience, 0.2
        while True:
            status, wait, answer = self._attempt(body)
            if status not in RETRIED:
                return status, answer
            wait = wait if wait is not None else delay * random.uniform(0.5, 1)
            if monotonic() + wait > deadline:
                return status, answer
            sleep(wait)
            delay = min(delay * 2, 10)

    def _attempt(self, body: bytes) -> tuple[int, Optional[float], dict[str, Any]]:
        headers = {**self._headers, "traceparent": current_traceparent() or ""}
        request = urllib.request.Request(self._url, body, {k: v for k, v in headers.items() if v}, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return response.status, None, json.load(response)
        except urllib.error.HTTPError as e:
            wait = e.headers.get("Retry-After", "")
            try:
                answer = json.load(e)
            except ValueError:
                answer = {"detail": e.reason}
            return e.code, float(wait) if wait.isdecimal() else None, answer
        except (OSError, http.client.HTTPException, ValueError) as e:
            return 0, None, {"detail": str(e)}


# What follows is the same in runmetrics_nats.py.

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
