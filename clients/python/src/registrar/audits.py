"""The part of `Registry` that reads the audit, and has it verified."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from os import PathLike
from pathlib import Path

import grpc

from registrar.audit.export import write_export, write_whole
from registrar.audit.verification import AuditProgress, check_tenant, held_against
from registrar.audit_types import AuditEvent, AuditHead, AuditVerdict, EvidenceFile
from registrar.calls import audit as calls
from registrar.context import AnyVersionRef
from registrar.convert.audit import verdict_from_proto
from registrar.convert.values import version_ref_to_proto
from registrar.errors import Internal
from registrar.methods import Calls, listing, unary
from registrar.retry import Patience
from registrar.rpc_errors import error_from_rpc
from registrar.v1.audit_service_pb2 import ExportEvidenceRequest, ExportEvidenceResponse, VerifyAuditRequest

_PAGE_SIZE = 1_000


class AuditCalls(Calls):
    """The audit: entries, head, proofs, whether it is as it was written, and all of it in a file."""

    audit_events = listing(calls.audit_events)
    audit_head = unary(calls.audit_head)
    audit_key = unary(calls.audit_key)
    audit_proof = unary(calls.audit_proof)

    def verify_audit(
        self, *, kept: AuditHead | None = None, tenant: str = "", progress: AuditProgress | None = None
    ) -> AuditVerdict:
        """Have the registry read a whole audit and compute every hash anew; what it found.

        `kept` is a head from before: then the registry must also prove that the audit begins with it, and that proof is
        checked here. Begins again from the start when the connection breaks. Who does not trust the registry exports the
        audit and verifies the file. Errors: PermissionDenied; DataLoss when a part of a proof is gone; InvalidArgument when
        the head is another tenant's.
        """
        connection = self._connection
        patience = Patience(connection.timeout_seconds, sleep=connection.pause)
        request = VerifyAuditRequest(tenant=tenant or connection.tenant)
        verdict = connection.attempts(lambda: self._verify(request, patience, progress), patience)
        if kept is None or not verdict.is_intact:
            return verdict
        check_tenant(kept, verdict.head.tenant)
        return held_against(verdict, kept, begins_with_it=lambda: self._begins_with(verdict.head, kept))

    def export_audit(
        self, path: str | PathLike[str], *, tenant: str = "", progress: AuditProgress | None = None
    ) -> AuditHead:
        """Write an audit into a file as it is now, to be verified by `registrar.audit`; the head at its end.

        The file is there when it is whole, and takes the place of one of that name. What is added meanwhile is not in it.
        It holds what the registry gave, whether or not that is as it was written. Errors: PermissionDenied; OSError.
        """
        head = self.audit_head(tenant=tenant)
        events = self.audit_events(tenant=head.tenant, oldest_first=True, page_size=_PAGE_SIZE)
        write_export(Path(path), head, _contents(events, head, progress))
        return head

    def export_evidence(self, version: AnyVersionRef, path: str | PathLike[str], *, tree_size: int = 0) -> EvidenceFile:
        """Write all that the registry can prove about a version into a tar archive, for `registrar.evidence.verify`.

        As it was after the first `tree_size` entries of the tenant's audit, 0: as it is. The same tree gives the same bytes.
        The file is there when it is whole, and takes the place of one of that name; begins again from the start when the
        connection breaks. Errors: NotFound, also when the version was not there yet; PermissionDenied; DataLoss when an entry
        is not as it was written; OSError.
        """
        connection = self._connection
        patience = Patience(connection.timeout_seconds, sleep=connection.pause)
        ref = version_ref_to_proto(connection.version_ref(version))
        request = ExportEvidenceRequest(ref=ref, tree_size=tree_size)
        return connection.attempts(lambda: self._evidence(request, Path(path), patience), patience)

    def _evidence(self, request: ExportEvidenceRequest, path: Path, patience: Patience) -> EvidenceFile:
        call = self._connection.audit.ExportEvidence(request)
        parts = _EvidenceParts(call, patience.renew)
        try:
            write_whole(path, parts)
        except grpc.RpcError as exc:
            raise error_from_rpc(exc) from exc
        finally:
            call.cancel()
        return EvidenceFile(path, parts.tree_size, parts.size_bytes)

    def _verify(self, request: VerifyAuditRequest, patience: Patience, progress: AuditProgress | None) -> AuditVerdict:
        call = self._connection.audit.VerifyAudit(request)
        try:
            for message in call:
                patience.renew()
                match message.WhichOneof("message"):
                    case "checked_entries":
                        if progress is not None:
                            progress(message.checked_entries)
                    case "verdict":
                        return verdict_from_proto(message.verdict)
                    case None:  # of a later contract
                        continue
        except grpc.RpcError as exc:
            raise error_from_rpc(exc) from exc
        finally:
            call.cancel()
        raise Internal("the verification ended without a verdict", reason="STREAM_CUT")

    def _begins_with(self, head: AuditHead, kept: AuditHead) -> bool:
        if kept.tree_size == 0:
            return True
        proof = self.audit_proof(earlier=kept.tree_size, tree_size=head.tree_size, tenant=head.tenant)
        return (
            proof.is_valid
            and proof.claimed_hash == kept.root_hash
            and (proof.tree_size, proof.root_hash) == (head.tree_size, head.root_hash)
        )


class _EvidenceParts:
    """The bytes of an archive, as they come."""

    def __init__(self, messages: Iterable[ExportEvidenceResponse], on_message: Callable[[], None]) -> None:
        self._messages = messages
        self._on_message = on_message
        self.tree_size = 0
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for message in self._messages:
            self._on_message()
            self.tree_size = message.tree_size or self.tree_size
            self.size_bytes += len(message.data)
            yield message.data


def _contents(events: Iterator[AuditEvent], head: AuditHead, progress: AuditProgress | None) -> Iterator[bytes]:
    for count, event in enumerate(takewhile(lambda event: event.position <= head.tree_size, events), start=1):
        yield event.content
        if progress is not None and (count % _PAGE_SIZE == 0 or event.position == head.tree_size):
            progress(count)
