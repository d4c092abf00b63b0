"""Use the client that was generated from the OpenAPI document: ``generated.py FOLDER URL``.

The folder holds it as the package ``generated``. What it got stands on one line of JSON.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from typing import Any


def main() -> None:
    folder, url = sys.argv[1:]
    sys.path.insert(0, folder)
    client = import_module("generated").Client(base_url=url, raise_on_unexpected_status=True)

    def called(operation: str, /, *arguments: Any, **more: Any) -> Any:
        return import_module(f"generated.api.{operation}").sync(*arguments, client=client, **more)

    models = import_module("generated.models")
    message = {"role": "user", "content": "poem"}
    asked = models.GenerationRequest.from_dict({"prompt": "poem", "stream": "made/here"})
    begun = called("generations.post_v1_generations", body=asked)
    whole = models.CompletionRequest.from_dict({"model": "demo", "messages": [message]})
    completion = called("open_ai.post_v1_chat_completions", body=whole)
    wanted = models.ResponseRequest.from_dict({"model": "demo", "input": "poem"})
    response = called("open_ai.post_v1_responses", body=wanted)
    write = import_module("generated.api.durable_streams.put_v1_stream_name").sync_detailed
    record = models.PutV1StreamNameJsonBody.from_dict({"reading": 1})
    made = write("made/there", client=client, body=record)
    read = import_module("generated.api.durable_streams.get_v1_stream_name").sync_detailed
    missing = called("generations.get_v1_generations_id", "none")
    told = {
        "stream": begun.stream,
        "text": completion.choices[0].message.content,
        "status": response.status.value,
        "made": made.status_code,
        "read": json.loads(read("made/there", client=client).content),
        "missing": missing.error.code,
    }
    sys.stdout.write(json.dumps(told))


main()
