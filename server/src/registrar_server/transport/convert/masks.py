"""Update masks: which fields of a request are to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask

from registrar_server.domain.validation import Checker


class Masked(Protocol):
    """A request with an update mask."""

    @property
    def update_mask(self) -> FieldMask: ...

    def ListFields(self) -> Sequence[tuple[FieldDescriptor, object]]:  # noqa: N802  (protobuf's name)
        """The fields that are set."""


class Mask(frozenset[str]):
    """The fields to write."""

    @classmethod
    def parse(cls, check: Checker, request: Masked, mutable: Sequence[str]) -> Mask:
        """What the mask names; without one, each mutable field that is not empty (AIP-134)."""
        paths = request.update_mask.paths
        for index, path in enumerate(paths):
            if path not in mutable:
                check.fail(
                    f"update_mask.paths[{index}]", f"{path[:64]} cannot be changed; these can: {', '.join(mutable)}"
                )
        if paths:
            return cls(paths)
        filled = cls(field.name for field, _ in request.ListFields() if field.name in mutable)
        if not filled:
            check.fail("update_mask", f"names nothing to change, and no field is filled: {', '.join(mutable)}")
        return filled
