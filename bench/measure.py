"""Carries out a plan: starts servers and their subscribers, lets each load run in turn.

All servers of a phase are up together and idle while one is measured, so that every round
compares them within a few seconds of each other: a virtual machine's speed drifts by more
than the differences that are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench.peers import Peer
from bench.plan import Load, Phase, Plan
from bench.process import PROJECT, Process
from bench.results import Results, Seen, Window

__all__ = ["Tell", "measure"]

SERVER_CPU, CLIENT_CPU = 0, 1
WARM_SECONDS = 0.3

Tell = Callable[[str], None]
"""Is told what is being done now."""


def measure(plan: Plan, peers: Sequence[Peer], tell: Tell) -> Results:
    """Measure these peers; one that fails is named in the results and left out."""
    results = Results()
    for phase in plan.phases:
        with ExitStack() as stack:
            running = {}
            for peer in peers:
                if peer.name in results.failures:
                    continue
                tell(f"{phase.connections} subscribers: starting {peer.title}")
                try:
                    pair = stack.enter_context(Running(peer))
                    results.memory[peer.name] = pair.connect(plan.baseline, phase.connections)
                    running[peer] = pair
                except RuntimeError as error:
                    results.failures[peer.name] = str(error)
            _rounds(phase, running, results, tell)
    return results


def _rounds(phase: Phase, running: dict[Peer, Running], results: Results, tell: Tell) -> None:
    warm = [replace(load, seconds=WARM_SECONDS) for load in phase.loads[:1]]
    for turn in range(-1, phase.runs):
        for load in warm if turn < 0 else phase.loads:
            for peer, pair in list(running.items()):
                tell(f"{phase.connections} subscribers, {load.name}, run {turn + 1}: {peer.title}")
                try:
                    seen = pair.load(load)
                except RuntimeError as error:
                    results.failures[peer.name] = str(error)
                    del running[peer]
                    continue
                if turn >= 0:
                    wanted = load.rate * load.seconds
                    window = Window(peer.name, load.name, turn, phase.connections, wanted, seen)
                    results.windows.append(window)


class Running:
    """A server and the process that holds its subscribers."""

    def __init__(self, peer: Peer, folder: Path = PROJECT) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(Process(peer.command(), SERVER_CPU, folder))
            listening = server.hear()
            self._client = stack.enter_context(Process.module("bench.client", CLIENT_CPU))
            self._client.tell(wire=peer.wire, pid=server.pid, **listening)
            self._stack = stack.pop_all()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self, baseline: int, count: int) -> float:
        """Subscribe; gives the server's bytes of memory for each subscriber that idles.

        The first ``baseline`` pay what a server pays only once, and are not counted.
        """
        before = self._ask(connect=baseline)["memory"]
        after = self._ask(connect=count)["memory"]
        return (after - before) / (count - baseline)

    def load(self, load: Load) -> Seen:
        """Let one load run to its end."""
        return Seen(**self._ask(**load.asked()))

    def _ask(self, **said: object) -> dict[str, int]:
        self._client.tell(**said)
        answer = self._client.hear()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer
