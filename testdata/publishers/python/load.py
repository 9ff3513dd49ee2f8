"""Publishes 1,000 executions of 100 runs with a recipe, and compares what the API says then with figures of its own.

    load.py http API          with RUNMETRICS_KEY, if it is set
    load.py nats NATS API     prints "cut me" three times on the way, for a test that cuts connections
    load.py runkeys FILE      compares the run keys of the recipes with testdata/runkey.json
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any, Iterator, NamedTuple, Optional, Union

CAMPAIGNS = ("python.load 1/🚀", "python * load > é%2F")
PHASE = "2.3 / é"
RUNS, EXECUTIONS = 100, 1000
EACH = EXECUTIONS // RUNS


class Execution(NamedTuple):
    agent: str
    attempt: int
    status: str
    latency_ms: Union[int, float]
    tokens_in: int
    tokens_out: int
    assets: int
    cost: Union[Decimal, float, str, None]


def runs() -> Iterator[tuple[str, str, list[Execution], str]]:
    """The load: campaign, run, executions in order, outcome. It is the same each time."""
    dice = random.Random(20261126)
    for n in range(RUNS):
        executions: list[Execution] = []
        agents = 0
        while len(executions) < EACH:
            agents += 1
            agent = dice.choice(("copy.writer", "art director", "a/b/c", "🚀 лаунч", "x" * 125)) + str(agents)
            attempts = min(dice.choice((1, 1, 1, 2, 3)), EACH - len(executions))
            for attempt in range(1, attempts + 1):
                last = dice.choice(("succeeded", "succeeded", "succeeded", "failed", "cancelled"))
                executions.append(Execution(
                    agent, attempt, last if attempt == attempts else "failed",
                    dice.choice((dice.randrange(90_000), dice.randrange(90_000) + 0.5, dice.random() * 1000)),
                    dice.randrange(50_000), dice.randrange(9_000), dice.randrange(9), cost(dice)))
        yield CAMPAIGNS[n % 2], f"run {n}/{n % 7}.🚀", executions, dice.choice(("completed", "completed", "failed"))


def cost(dice: random.Random) -> Union[Decimal, float, str, None]:
    return dice.choice((Decimal(dice.randrange(10**9)) / 10**9, 0.1 + 0.2, 0.059133500000000006, dice.random() / 1e6,
                        str(dice.randrange(1000)), Decimal("1E-9"), dice.random(), dice.random(), None))


def figures(executions: list[Execution], outcome: str) -> dict[str, Any]:
    """What the record of a run must say, worked out here from the definitions in the README."""
    final = {e.agent: e for e in executions}  # attempts are in order
    of = {status: sum(e.status == status for e in final.values()) for status in ("succeeded", "failed", "cancelled")}
    latencies = sorted(rounded(e.latency_ms) for e in final.values() if e.status != "cancelled")
    costs = [Decimal(str(e.cost)).quantize(Decimal("1e-9"), ROUND_HALF_EVEN) for e in executions if e.cost is not None]
    counted = len(final) - of["cancelled"]
    rate = Decimal(100 * of["succeeded"]) / counted if counted else None
    return {
        "status": outcome, "source": "events", "executions": len(executions), "agentsTotal": len(final),
        "agentsSuccessful": of["succeeded"], "agentsFailed": of["failed"], "agentsCancelled": of["cancelled"],
        "agentsExpected": len(final), "assetsGenerated": sum(e.assets for e in final.values()),
        "tokensIn": sum(e.tokens_in for e in executions), "tokensOut": sum(e.tokens_out for e in executions),
        "costUSD": sum(costs, Decimal()), "costComplete": len(costs) == len(executions),
        "latencyAvgMs": rounded(Decimal(sum(latencies)) / len(latencies)) if latencies else None,
        "latencyP50Ms": nearest_rank(latencies, 50), "latencyP95Ms": nearest_rank(latencies, 95),
        "latencyP99Ms": nearest_rank(latencies, 99), "latencyMaxMs": latencies[-1] if latencies else None,
        "successRate": rate if rate is None else rate.quantize(Decimal("0.01"), ROUND_HALF_UP),
    }


def rounded(number: Union[int, float, Decimal]) -> int:
    return int(Decimal(str(number)).quantize(Decimal(1), ROUND_HALF_UP))


def nearest_rank(ordered: list[int], percent: int) -> Optional[int]:
    return ordered[(percent * len(ordered) + 99) // 100 - 1] if ordered else None


def published(e: Execution) -> dict[str, Any]:
    """The execution as the recipes take it. Attempts that were started are counted by the run."""
    return {"status": e.status, "latency_ms": e.latency_ms, "tokens_in": e.tokens_in, "tokens_out": e.tokens_out,
            "assets_generated": e.assets, "cost_usd": e.cost, "model": "m", "error": "naïve \0 " * 999}


def by_http(api: str) -> None:
    import runmetrics_http

    sent: list[dict[str, Any]] = []

    class Publisher(runmetrics_http.Publisher):
        def publish(self, event: dict[str, Any]) -> None:
            sent.append(event)
            super().publish(event)

    with Publisher(api, os.environ.get("RUNMETRICS_KEY")) as publisher:
        for campaign, name, executions, outcome in runs():
            run = publisher.start_run(campaign, name, PHASE, agents_expected=len({e.agent for e in executions}))
            for e in executions:
                run.agent_started(e.agent)
                run.agent_finished(e.agent, **published(e))
            run.finish_run(outcome)
        for event in random.Random(1).sample(sent, 300):
            publisher.publish(event)
    wrong = {**sent[2], "id": "wrong", "latencyMs": -1}
    publisher.publish(sent[2])
    publisher.publish(wrong)
    try:
        publisher.flush()
        raise AssertionError("a wrong event was taken")
    except runmetrics_http.NotStored as e:
        assert [refused for refused, _ in e.refused] == [wrong] and not e.unconfirmed, e
        print(e, e.refused[0][1])


async def by_nats(server: str, api: str) -> None:
    import runmetrics_nats

    sent: list[dict[str, Any]] = []

    class Publisher(runmetrics_nats.Publisher):
        async def publish(self, event: dict[str, Any]) -> None:
            sent.append(event)
            await super().publish(event)

    began = time.monotonic()
    async with await Publisher.connect(server, max_in_flight=200) as publisher:
        for n, (campaign, name, executions, outcome) in enumerate(runs()):
            if n in (20, 50, 80):
                print("cut me", flush=True)
            run = await publisher.start_run(campaign, name, PHASE, agents_expected=len({e.agent for e in executions}))
            for e in executions:
                await run.agent_started(e.agent)
                await run.agent_finished(e.agent, **published(e))
            await run.finish_run(outcome)
        for event in random.Random(1).sample(sent, 300):
            await publisher.publish(event)
        await publisher.flush()
        print(f"{len(sent)} messages in {time.monotonic() - began:.2f} s")
        # Without a message id the stream takes it again; counted it is once.
        connection = await publisher._connection()
        for event in sent[:50]:
            await connection.jetstream().publish(runmetrics_nats.subject_of(event), runmetrics_nats.encode(event))


def compare(api: str) -> None:
    """Waits until the API has everything, and wants each record as computed."""
    from runmetrics_http import run_key

    want: dict[str, dict[str, Any]] = {}
    for campaign, name, executions, outcome in runs():
        want[str(run_key(campaign, name, PHASE))] = {"campaignId": campaign, "runId": name, **figures(executions, outcome)}
    deadline = time.monotonic() + 60
    while True:
        got = {record["runKey"]: record for campaign in CAMPAIGNS for record in read(api, "metrics", campaign)}
        closed = sum(r["executions"] for r in got.values()) == EXECUTIONS and all(r["finishedAt"] for r in got.values())
        if closed or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert got.keys() == want.keys(), (len(got), len(want))
    faults = [(want[key]["runId"], field, got[key][field], value) for key in want for field, value in want[key].items()
              if got[key][field] != value]
    letters = [letter for campaign in CAMPAIGNS for letter in read(api, "deadLetters", campaign)]
    assert not faults and not letters, (len(faults), faults[:5], letters[:5])
    totals: dict[str, Any] = defaultdict(int)
    for record in got.values():
        for field in ("executions", "agentsTotal", "tokensIn", "tokensOut", "costUSD"):
            totals[field] += record[field]
    print(f"{len(got)} runs are as computed: {dict(totals)}")


def read(api: str, what: str, campaign: str) -> Any:
    path = {"metrics": "/api/metrics/campaign", "deadLetters": "/api/deadletters"}[what]
    query = urllib.parse.urlencode({"campaignId": campaign, "limit": 500})
    with urllib.request.urlopen(f"{api}{path}?{query}", timeout=15) as response:
        return json.loads(response.read(), parse_float=Decimal)[what]


def compare_run_keys(file: str) -> None:
    import runmetrics_http

    with open(file, encoding="utf-8") as f:
        vectors = json.load(f)
    for v in vectors:
        got = str(runmetrics_http.run_key(v["campaignId"], v["runId"], v["phase"]))
        assert got == v["runKey"], (v, got)
    print(f"{len(vectors)} run keys are equal")


if __name__ == "__main__":
    how, *rest = sys.argv[1:]
    if how == "runkeys":
        compare_run_keys(*rest)
    else:
        by_http(*rest) if how == "http" else asyncio.run(by_nats(*rest))
        compare(rest[-1])
