"""The part of `Registry` that moves aliases."""

from __future__ import annotations

from collections.abc import Iterator

from registrar.connection import AnyModelRef, AnyVersionRef, Calls, new_request_id, pages
from registrar.convert.results import move_from_proto, version_from_proto
from registrar.convert.values import model_ref_to_proto, version_ref_to_proto
from registrar.reference import VersionRef
from registrar.types import AliasMove, ModelVersion
from registrar.v1 import model_version_service_pb2 as pb


class AliasCalls(Calls):
    """Aliases: set, delete, history."""

    def set_alias(
        self,
        name: AnyModelRef,
        alias: str,
        version: int | AnyVersionRef,
        *,
        expected: int | None = None,
        comment: str = "",
        request_id: str | None = None,
    ) -> ModelVersion:
        """Point an alias at a version, in one step: no reader sees it absent.

        `expected` is the number it must point at now, 0 for "must not exist". Errors: NotFound; Aborted when it points
        elsewhere than expected; InvalidArgument for reserved names (stages, `latest`, `v1`).
        """
        model = self._connection.model_ref(name)
        ref = VersionRef(model, version=version) if isinstance(version, int) else self._connection.version_ref(version)
        request = pb.SetAliasRequest(
            request_id=request_id or new_request_id(),
            ref=version_ref_to_proto(ref),
            alias=alias,
            expected_version=expected,
            comment=comment,
        )
        response = self._connection.unary(self._connection.versions.SetAlias, request)
        self._connection.sequence.advance(response.event_sequence)
        return version_from_proto(response.model_version)

    def delete_alias(
        self,
        name: AnyModelRef,
        alias: str,
        *,
        expected: int | None = None,
        comment: str = "",
        request_id: str | None = None,
    ) -> int:
        """Remove an alias; answers the number it pointed at. Errors: NotFound; Aborted, see `set_alias`."""
        request = pb.DeleteAliasRequest(
            request_id=request_id or new_request_id(),
            model=model_ref_to_proto(self._connection.model_ref(name)),
            alias=alias,
            expected_version=expected,
            comment=comment,
        )
        response = self._connection.unary(self._connection.versions.DeleteAlias, request)
        self._connection.sequence.advance(response.event_sequence)
        return response.previous_version

    def alias_history(self, name: AnyModelRef, *, alias: str = "", page_size: int = 0) -> Iterator[AliasMove]:
        """The moves of a model's aliases, or of one, the newest first; pages are fetched as they are consumed."""
        request = pb.ListAliasHistoryRequest(
            model=model_ref_to_proto(self._connection.model_ref(name)), alias=alias, page_size=page_size
        )

        def fetch(token: str) -> tuple[list[AliasMove], str]:
            request.page_token = token
            response = self._connection.unary(self._connection.versions.ListAliasHistory, request)
            return [move_from_proto(move) for move in response.moves], response.next_page_token

        return pages(fetch)
