"""Verified bytes take their place: what is under the key already is kept when it holds, and replaced when not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from registrar_server.adapters.minio_bundles.client import S3Client
from registrar_server.adapters.minio_bundles.incoming import Incoming, Upload
from registrar_server.application.ports.bundle_store import Completion
from registrar_server.domain.errors import Reason, RegistrarError


class VerifiedObjects:
    """Makes objects of bytes whose size and digest were found to hold. Thread-safe."""

    def __init__(self, client: S3Client, hash_object: Callable[[str], tuple[int, str]]) -> None:
        self._client = client
        self._hash_object = hash_object

    def put(self, incoming: Incoming, body: Sequence[memoryview]) -> None:
        """Write a whole object."""
        if not self._client.put(incoming.name, body, only_if_absent=True) and not self._holds(incoming):
            self._client.put(incoming.name, body, only_if_absent=False)

    def complete(self, upload: Upload) -> None:
        """Make the object of all parts of an upload. STORE_UNAVAILABLE when somebody else took them away."""
        incoming = upload.of
        name = incoming.name
        # The condition on completing is honoured by every store tried but, in SeaweedFS, not under a race;
        # and what a refused completion leaves of the upload differs. So look first.
        is_present = self._client.size_of(name) is not None
        if is_present and self._holds(incoming):
            self._client.abort_upload(name, upload.id)
            return
        try:
            done = self._client.complete_upload(name, upload.id, upload.etags, only_if_absent=not is_present)
        except RegistrarError as exc:
            if exc.reason is not Reason.STORE_UNAVAILABLE or not self._holds(incoming):
                raise
            # The answer was lost.
            return
        if done is Completion.DONE:
            return
        if self._holds(incoming):
            # Somebody else was faster, or a retry found its own first try done.
            self._client.abort_upload(name, upload.id)
            return
        if done is Completion.OCCUPIED:
            done = self._client.complete_upload(name, upload.id, upload.etags, only_if_absent=False)
        if done is not Completion.DONE:
            raise RegistrarError(Reason.STORE_UNAVAILABLE, f"{incoming.key}: its parts were replaced on their way")

    def _holds(self, incoming: Incoming) -> bool:
        """Whether the object in the store has the declared size and digest."""
        if self._client.size_of(incoming.name) != incoming.size_bytes:
            return False
        try:
            return self._hash_object(incoming.key) == (incoming.size_bytes, incoming.sha256)
        except RegistrarError as exc:
            if exc.reason is Reason.ARTIFACT_FILE_NOT_FOUND:
                return False
            raise
