"""What the name of a model means here: an upstream, and the model to ask it for.

A name is that of an upstream, or ``UPSTREAM/model``, or the model an upstream is configured
with; an upstream that is configured without one, if it is the default, takes any that it may
have: a provider says itself which it has, the demo has no other than its own.
"""

from __future__ import annotations

from hub.domain.errors import NotFound
from hub.hub import Hub

__all__ = ["resolve"]


def resolve(hub: Hub, model: str) -> tuple[str, str | None]:
    """The upstream that a model's name means, and the model to ask it for.

    Raises:
        NotFound: ``model_not_found``.
    """
    if model in hub.upstreams:
        return model, None
    name, _, rest = model.partition("/")
    if rest and name in hub.upstreams and hub.upstreams[name].knows(rest):
        return name, rest
    for upstream in hub.upstreams.values():
        if upstream.model == model:
            return upstream.name, None
    default = hub.upstream()
    if default.model is None and model and default.knows(model):
        return default.name, model
    raise NotFound(
        f'no model is called "{model[:100]}": GET /v1/models lists them',
        code="model_not_found",
        param="model",
    )
