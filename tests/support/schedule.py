"""Which tests need what, which ones share a worker, and which begin first: all by their path.

The suite waits more than it computes, so `make test` runs it in twice as many processes as there
are cores. Each takes one unit after the other: a file, or several that must not run at the same
time because they share something outside (`SHARED`), or one test of a file whose tests are long
and have nothing in common (`SPLIT`). The longest begin first (`FIRST`), else the others would
wait for them in the end.

`make test-fast` leaves out whatever `needs` says something of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["NEEDS", "forbid_processes", "needs", "rank", "unit", "workers"]

NEEDS: Final[Mapping[str, Sequence[str]]] = {
    "browser": ("tests/browser/",),
    "npm": (
        "tests/auth/oidc/test_real_provider.py",
        "tests/clients/",
        "tests/docs/test_docs.py::test_asyncapi_is_valid",
        "tests/end_to_end/test_aimock.py",
        "tests/end_to_end/test_client_library.py",
        "tests/end_to_end/test_conformance.py",
        "tests/end_to_end/test_durable_client.py",
        "tests/end_to_end/test_recipes.py",
        "tests/faults/test_a04_killed_in_mid_delta.py",
        "tests/faults/test_b05_upstream_errors.py",
        "tests/faults/test_b08_agui.py",
        "tests/faults/test_c03_openapi.py",
        "tests/faults/test_c06_agui_client.py",
        "tests/site/test_web_build.py",
    ),
    "process": (
        "tests/auth/test_nodes.py",
        "tests/bench/",
        "tests/cli/",
        "tests/client/test_blocking.py",
        "tests/client/test_following.py",
        "tests/faults/test_a02_memory.py",
        "tests/faults/test_a03_fork_chains.py::test_a_chain_of_ten_thousand",
        "tests/faults/test_a03_fork_chains.py::test_a_task_of_a_hub_among_several",
        "tests/faults/test_a05_generations_end.py::test_an_import_ends_what_its_export_leaves_open",
        "tests/faults/test_a07_backups.py",
        "tests/faults/test_a11_numbers.py::"
        "test_what_was_appended_can_be_read_by_the_client_and_the_command_line",
        "tests/faults/test_a13_drain.py",
        "tests/faults/test_a13_restart.py",
        "tests/faults/test_c07_logs.py",
        "tests/faults/test_c08_imports.py",
        "tests/faults/test_soak.py",
        "tests/connections/test_shared_presence.py",
        "tests/end_to_end/test_cluster.py",
        "tests/end_to_end/test_nodes.py",
        "tests/end_to_end/test_nodes_chat.py",
        "tests/end_to_end/test_nodes_faults.py",
        "tests/end_to_end/test_sentinels.py",
        "tests/end_to_end/test_workers.py",
        "tests/generations/test_branches.py::test_several_hubs_continue_the_same_branches",
        "tests/generations/test_leases.py",
        "tests/generations/test_shared_queues.py",
        "tests/generations/test_shared_runs.py",
        "tests/promises/test_faults.py",
        "tests/promises/test_two_hubs.py",
        "tests/docs/test_deploy.py",
        "tests/stores/redis/test_acknowledgements.py",
        "tests/stores/redis/test_client.py",
        "tests/stores/redis/test_cluster.py",
        "tests/stores/redis/test_connection.py",
        "tests/stores/redis/test_engine.py",
        "tests/stores/redis/test_holds.py",
        "tests/stores/redis/test_permissions.py",
        "tests/stores/redis/test_sentinels.py",
        "tests/stores/redis/test_server.py",
        "tests/stores/redis/test_upgrading.py",
        "tests/site/test_operations.py::test_sentinels_that_do_not_answer",
        "tests/streams/test_mirrors.py",
        "tests/streams/test_shared_appender.py",
        "tests/streams/test_shared_limits.py",
        "tests/streams/test_shared_storm.py",
        "tests/streams/test_shared_writer.py",
        "tests/streams/test_survey.py",
        "tests/stores/test_shared_engine.py",
        "tests/stores/test_shared_queue.py",
        "tests/stores/test_upgrading.py::test_a_move_that_is_killed_is_done_again",
        "tests/stores/test_credentials.py::test_what_was_acknowledged_survives_a_kill",
        "tests/test_imports.py",
        "tests/test_old_names.py",
        "tests/upstreams/test_http_client_leaving.py",
    ),
    "long": (
        "tests/access/test_principals.py",
        "tests/access/test_visible_streams.py",
        "tests/auth/oidc/test_provider.py",
        "tests/auth/test_key_sets.py",
        "tests/auth/test_long_polls.py",
        "tests/auth/test_webhook.py",
        "tests/cases/test_upstream.py",
        "tests/client/test_tokens.py",
        "tests/docs/test_endpoint.py",
        "tests/docs/test_taken.py",
        "tests/domain/test_conversation.py",
        "tests/domain/test_grant_rules.py::test_a_claim_may_be_any_json",
        "tests/faults/test_a08_ownership.py",
        "tests/frames/test_coalesce.py",
        "tests/frames/test_encoder.py",
        "tests/generations/test_conversations.py",
        "tests/generations/test_prompt_queues_property.py",
        "tests/generations/test_read_deadline.py",
        "tests/http/test_turns.py",
        "tests/promises/test_bad_input.py",
        "tests/promises/test_bombs.py",
        "tests/promises/test_strangers.py",
        "tests/promises/test_transports.py",
        "tests/protocols/durable/test_endpoint.py",
        "tests/protocols/openai/test_responses.py",
        "tests/protocols/websocket/test_floods.py",
        "tests/dialects/anthropic/test_reader.py::test_strange_chunks",
        "tests/dialects/gemini/test_reader.py::test_strange_chunks",
        "tests/dialects/test_strange_chunks.py",
        "tests/docs/test_chunks.py",
        "tests/docs/test_docs.py::test_openapi_is_valid",
        "tests/faults/test_a01_wedged_writer.py",
        "tests/faults/test_a04_reset_position",
        "tests/faults/test_a05_generations_end.py",
        "tests/faults/test_a06_epochs_cost.py",
        "tests/faults/test_a07_backups.py",
        "tests/faults/test_a11_numbers.py::test_any_object_is_the_same_over_every_transport",
        "tests/faults/test_a11_numbers.py::test_whatever_is_kept_is_json_to_every_reader",
        "tests/http/test_acceptor.py::test_what_is_left_of_a_bomb_is_not_unpacked",
        "tests/promises/test_promises.py",
        "tests/promises/test_slow_clients.py",
        "tests/protocols/aisdk/test_endpoint.py::test_who_reads_late_is_told_all_of_it_once",
        "tests/protocols/conversation/test_messages.py::"
        "test_whatever_is_sent_is_understood_or_refused",
        "tests/protocols/durable/test_json_messages.py::test_an_array_is_taken_apart_by_one_level",
    ),
}
"""The marker that tests get, and where they are. The page is built with npm.

A test is long that takes more than a second of CPU or waits for so long, or a file with many that
nearly do.
"""

SHARED: Final[Mapping[str, Sequence[str]]] = {
    # A worker keeps its browser for all of them. A single worker would still be at the tests of
    # the browser when all others are done, so they are four units, each a tenth of the whole.
    "browser that loses its hub": (
        "tests/browser/test_breaks.py",
        "tests/browser/test_eventsource.py",
        "tests/browser/test_ground.py",
        "tests/browser/test_reach.py",
        "tests/browser/test_tabs.py",
    ),
    "browser that shows much": (
        "tests/browser/test_documents.py",
        "tests/browser/test_elements.py",
        "tests/browser/test_formulas.py",
        "tests/browser/test_hostile.py",
        "tests/browser/test_long_answer.py",
    ),
    "browser that signs in": (
        "tests/browser/test_oidc_login.py",
        "tests/browser/test_shares.py",
        "tests/browser/test_sign_in.py",
        "tests/browser/test_tokens.py",
    ),
    "browser": NEEDS["browser"],
    # A worker keeps the processes of the frameworks, which take long to import.
    "frameworks": (
        "tests/clients/test_matrix.py",
        "tests/clients/test_openai_clients.py",
        "tests/faults/test_b05_upstream_errors.py",
    ),
    # They judge the memory or the time that something takes, or load the machine themselves.
    "measuring": (
        "tests/bench/",
        "tests/faults/test_a02_memory.py",
        "tests/faults/test_a06_epochs_cost.py",
        "tests/faults/test_soak.py",
        "tests/promises/test_bombs.py",
        "tests/test_imports.py",
    ),
    # One hub serves all of them.
    "cli": ("tests/cli/", "tests/client/test_blocking.py", "tests/client/test_following.py"),
}

SPLIT: Final[Sequence[str]] = (
    "tests/end_to_end/test_cluster.py",
    "tests/end_to_end/test_sentinels.py",
    "tests/faults/test_a03_fork_chains.py",
    "tests/faults/test_a13_drain.py",
    "tests/faults/test_a13_restart.py",
)

FIRST: Final[Sequence[str]] = (
    *SHARED["browser that loses its hub"],
    *SHARED["frameworks"],
    *SHARED["browser that shows much"],
    # With four browsers at once each would have half a core.
    *NEEDS["npm"],
    *SHARED["browser that signs in"],
    *SHARED["browser"],
    "tests/faults/test_a02_memory.py",
    "tests/faults/test_soak.py",
    *SHARED["measuring"],
    "tests/faults/test_a13",
    "tests/promises/test_faults.py",
    "tests/faults/test_a03_fork_chains.py",
    "tests/faults/test_a07_backups.py",
    *SHARED["cli"],
    "tests/faults/",
    "tests/docs/",
    "tests/promises/",
    "tests/protocols/conversation/",
    "tests/cases/",
)


def needs(nodeid: str) -> list[str]:
    """The markers of a test, or of all tests of a file."""
    return [name for name, places in NEEDS.items() if nodeid.startswith(tuple(places))]


def unit(nodeid: str) -> str:
    """What is given to a worker as a whole."""
    for name, places in SHARED.items():
        if nodeid.startswith(tuple(places)):
            return name
    return nodeid if nodeid.startswith(tuple(SPLIT)) else nodeid.partition("::")[0]


def rank(nodeid: str) -> int:
    """Tests are run from the least of these up."""
    found = (place for place, start in enumerate(FIRST) if nodeid.startswith(start))
    return next(found, len(FIRST))


def workers(*, fast: bool) -> int:
    """How many processes are of use: what is fast waits for nothing."""
    return (1 if fast else 2) * (os.cpu_count() or 1)


def forbid_processes() -> None:
    """From now on, in this process, no other one may be started."""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn"):
            raise AssertionError(f"{event}: this test belongs into {__name__}.NEEDS")

    sys.addaudithook(refuse)
