"""The upstreams of a hub by their names, its default one, and which of them has a model."""

from __future__ import annotations

from collections.abc import Mapping

from hub.domain.errors import NotFound, UpstreamNotFound
from hub.upstreams.upstream import Upstream

__all__ = ["Upstreams", "no_model"]


class Upstreams(dict[str, Upstream]):
    """The configured upstreams; ``default`` is the name of the one for requests that name none."""

    def __init__(self, upstreams: Mapping[str, Upstream], default: str) -> None:
        super().__init__(upstreams)
        self.default = default

    def find(self, name: str | None = None) -> Upstream:
        """An upstream by its configured name; ``None`` for the default.

        Raises:
            UpstreamNotFound: there is none.
        """
        found = self.get(name or self.default)
        if found is None:
            there = ", ".join(sorted(self))
            called = (name or "")[:100]
            raise UpstreamNotFound(f'no upstream is called "{called}"; there are: {there}')
        return found

    def resolve(self, model: str) -> tuple[str, str | None]:
        """The upstream for a model's name, and the model to ask it for.

        The name may be that of an upstream, ``UPSTREAM/model``, or the configured model of an
        upstream. A default upstream without a configured model takes any other name that it may
        have: providers know themselves which models they have, the demo has only its own.

        Raises:
            NotFound: ``model_not_found``.
        """
        if model in self:
            return model, None
        name, _, rest = model.partition("/")
        if rest and name in self and self[name].knows(rest):
            return name, rest
        for upstream in self.values():
            if upstream.model == model:
                return upstream.name, None
        default = self.find()
        if default.model is None and model and default.knows(model):
            return default.name, model
        raise no_model(model)


def no_model(model: str) -> NotFound:
    """The error for a model that does not exist, or that somebody may not ask."""
    return NotFound(
        f'no model is called "{model[:100]}": GET /v1/models lists them',
        code="model_not_found",
        param="model",
    )
