"""Register a version, as a worker sees it: commit a PENDING row, wake the background process, wait.

What follows is `registering.py`'s, in the background process. A crash of either side loses and doubles nothing: the
row holds the request id, and MLflow's version carries the row's uid.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from registrar_server.application.artifacts import ById, find_bundle
from registrar_server.application.authorization import Permit, model_not_found
from registrar_server.application.compatibility import NO_ADVICE, Advice, advise
from registrar_server.application.mlmodel import MLMODEL, MLMODEL_BYTES, parse_mlmodel
from registrar_server.application.models import bring_into_being
from registrar_server.application.mutations import Mutation
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.clock import Clock, new_uid
from registrar_server.application.ports.database import (
    Database,
    NewModel,
    NewVersion,
    Origin,
    StoredAnswer,
    Transaction,
)
from registrar_server.application.ports.signals import Signals
from registrar_server.application.quotas import Quota, require_within
from registrar_server.application.requirements import missing_recommended, require_registrable
from registrar_server.application.resolution import find_version, require_tenant
from registrar_server.application.versions import reread
from registrar_server.domain.access import Caller, Right
from registrar_server.domain.bundles import Bundle
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.values import ModelKey, VersionState
from registrar_server.domain.versions import ArtifactLink, Facts, ModelVersion, Notes, content_digest

_POLL_SECONDS = 0.25
"""How often a waiter looks for itself: signals do not cross machines."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The version, whether it was there before, and the event that made it READY (0: it is not yet, or was before).

    None: it was only checked. Advice and recommendations are about what is READY or was checked.
    """

    version: ModelVersion | None
    is_existing: bool = False
    sequence: int = 0
    advice: Advice = NO_ADVICE
    missing_recommended: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RegisterRequest:
    """What RegisterModelVersion asks for: either `artifact_id` or `run_artifact` is set."""

    model: ModelKey
    artifact_id: str
    run_artifact: str
    facts: Facts
    notes: Notes
    is_same_content_reused: bool
    wait_seconds: float
    is_validate_only: bool = False


@dataclass(frozen=True, slots=True)
class _Claimed:
    """What the first transaction came to: an answer that is final, or a version to wait for."""

    answer: bytes | None = None
    version_uid: str = ""


class Registration:
    """Accepts registrations and waits for them."""

    def __init__(self, database: Database, store: BundleStore, clock: Clock, signals: Signals) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._signals = signals

    def register(
        self, mutation: Mutation[Registered], request: RegisterRequest, *, is_alive: Callable[[], bool]
    ) -> bytes:
        """The encoded answer, READY (or PENDING when `wait_seconds` is 0). `is_alive`: the caller still listens."""
        request = self._with_bundle_facts(mutation.caller, request)
        claimed = self._claim(mutation, request)
        if claimed.answer is not None:
            return claimed.answer
        self._signals.wake_background()
        registered = self._wait(claimed.version_uid, request.wait_seconds, is_alive)
        answer = mutation.encode(registered)
        is_ready = registered.version is not None and registered.version.state is VersionState.READY
        if mutation.key is not None and is_ready:
            with self._database.writing() as transaction:
                transaction.requests.answer(mutation.key, answer)
        return answer

    def _with_bundle_facts(self, caller: Caller, request: RegisterRequest) -> RegisterRequest:
        """Take from the bundle's MLmodel file what the caller did not say; the store is asked before any lock."""
        facts = request.facts
        if not request.artifact_id or (facts.signature is not None and facts.flavors):
            return request
        with self._database.reading() as transaction:
            bundle = find_bundle(transaction, _artifact(caller, request))
            file = transaction.bundles.file(bundle.uid, MLMODEL)
        if file is None or file.size_bytes > MLMODEL_BYTES:
            return request
        with self._store.open_reader(f"{bundle.prefix}/{MLMODEL}") as reader:
            flavors, signature = parse_mlmodel(b"".join(reader))
        return replace(
            request, facts=replace(facts, flavors=facts.flavors or flavors, signature=facts.signature or signature)
        )

    def _claim(self, mutation: Mutation[Registered], request: RegisterRequest) -> _Claimed:
        uid = new_uid()
        with self._database.writing() as transaction:
            now = self._clock.now()
            key = None if request.is_validate_only else mutation.key
            if key is not None:
                stored = transaction.requests.claim(key, mutation.body_digest, version_uid=uid, time=now)
                if stored is not None:
                    return self._replay(transaction, mutation, stored)
            model_uid = self._require_model(transaction, mutation, request)
            # Under the model's lock: registrations of a model are worked on in the order of their times.
            now = self._clock.now()
            bundle = self._require_bundle(transaction, mutation.caller, request, model_uid)
            digest = content_digest(bundle.manifest_digest if bundle else "", request.facts)
            existing = transaction.versions.find_content(model_uid, digest) if request.is_same_content_reused else None
            if existing is not None and bundle is not None:
                answer = b"" if request.is_validate_only else mutation.encode(Registered(existing, is_existing=True))
                if key is not None:
                    transaction.requests.answer(key, answer)
                return _Claimed(answer=answer)
            self._require_semantic_version_free(transaction, model_uid, request.facts.semantic_version)
            checked = self._check(transaction, model_uid, request)
            version = NewVersion(
                uid=uid,
                model_uid=model_uid,
                facts=request.facts,
                notes=request.notes,
                artifact=None if bundle is None else ArtifactLink(bundle.uri, bundle.uid, bundle.manifest_digest),
                run_artifact=request.run_artifact,
                content_digest=digest,
                created_by=mutation.caller.actor,
                time=now,
            )
            transaction.versions.insert_pending(version)
            provenance = request.facts.provenance
            parent = find_version(transaction, provenance.parent).uid if provenance.parent else ""
            transaction.lineage.record(Origin(uid, request.model.tenant, parent, provenance, now))
            require_within(transaction, request.model.tenant, Quota.VERSIONS)
            if request.is_validate_only:
                transaction.discard()
                return _Claimed(answer=mutation.encode(checked))
        return _Claimed(version_uid=uid)

    def _check(self, transaction: Transaction, model_uid: str, request: RegisterRequest) -> Registered:
        """Refuse what the schema or the signature forbids; the answer of a call that only checks."""
        model, facts = request.model, request.facts
        is_run_awaited = bool(request.run_artifact)
        require_registrable(transaction, model, model_uid, facts, request.notes, is_run_awaited=is_run_awaited)
        if not request.is_validate_only:
            return Registered(None)
        is_signature_known = facts.signature is not None or not is_run_awaited
        schema = transaction.metadata_schemas.current(model.tenant)
        return Registered(
            None,
            advice=advise(transaction, model_uid, facts.signature) if is_signature_known else NO_ADVICE,
            missing_recommended=schema.missing_recommended(model.name, facts, request.notes),
        )

    def _replay(self, transaction: Transaction, mutation: Mutation[Registered], stored: StoredAnswer) -> _Claimed:
        mutation.require_same_body(stored.body_digest)
        if stored.answer is not None:
            return _Claimed(answer=stored.answer)
        uid = stored.version_uid or ""
        # What failed for a passing reason is tried again now, not when its pause is over.
        transaction.registrations.hasten(uid, self._clock.now())
        return _Claimed(version_uid=uid)

    def _require_model(self, transaction: Transaction, mutation: Mutation[Registered], request: RegisterRequest) -> str:
        key = request.model
        model = transaction.models.lock(key)
        if model is None:
            require_tenant(transaction, key.tenant)
            new = NewModel(new_uid(), key, "", {}, {}, mutation.caller.actor, self._clock.now())
            bring_into_being(transaction, mutation.caller, new, request_id=mutation.request_id)
            model = transaction.models.lock(key)
        if model is None:
            raise model_not_found(key)
        if model.delete_time is not None:
            raise RegistrarError(Reason.MODEL_DELETED, f"model {key.name} is deleted", metadata={"model": key.name})
        return model.uid

    def _require_bundle(
        self, transaction: Transaction, caller: Caller, request: RegisterRequest, model_uid: str
    ) -> Bundle | None:
        if not request.artifact_id:
            return None
        bundle = find_bundle(transaction, _artifact(caller, request))
        if bundle.model_uid != model_uid:
            raise RegistrarError(Reason.ARTIFACT_NOT_FOUND, f"the bundle is not one of model {request.model.name}")
        return bundle

    def _require_semantic_version_free(self, transaction: Transaction, model_uid: str, wanted: str) -> None:
        taken = transaction.versions.has_semantic_version(model_uid, wanted) if wanted else None
        if taken is not None:
            raise RegistrarError(
                Reason.SEMANTIC_VERSION_EXISTS,
                f"version {taken or '(pending)'} has the semantic version {wanted}",
                metadata={"version": str(taken), "semantic_version": wanted},
            )

    def _wait(self, uid: str, wait_seconds: float, is_alive: Callable[[], bool]) -> Registered:
        deadline = time.monotonic() + wait_seconds
        with self._signals.listening(uid) as wait:
            while True:
                registered = self._look(uid, is_pending_enough=not wait_seconds)
                if registered is not None:
                    return registered
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not is_alive():
                    raise _unavailable(Reason.REGISTRATION_PENDING, "the version is accepted and not numbered yet", uid)
                wait(min(remaining, _POLL_SECONDS))

    def _look(self, uid: str, *, is_pending_enough: bool) -> Registered | None:
        """The outcome as the database has it; None: not yet. Raises what the last attempt failed for."""
        with self._database.reading() as transaction:
            version = reread(transaction, uid)
            failure = transaction.registrations.last_failure(uid)
            if version.state is VersionState.READY:
                return Registered(
                    version,
                    sequence=transaction.journal.find_sequence(uid, "version.registered"),
                    advice=advise(transaction, version.model_uid, version.facts.signature, before=version.number),
                    missing_recommended=missing_recommended(transaction, version),
                )
        if version.state is VersionState.FAILED:
            raise _failed(version)
        if is_pending_enough:
            return Registered(version)
        if failure is not None:
            raise _unavailable(Reason(failure[0]), failure[1], uid)
        return None


def _artifact(caller: Caller, request: RegisterRequest) -> ById:
    return ById(Permit(caller, Right.REGISTER, request.model.tenant), request.artifact_id)


def _unavailable(reason: Reason, message: str, uid: str) -> RegistrarError:
    """It goes on; whoever asks again with the same request id finds it."""
    return RegistrarError(reason, message, metadata={"uid": uid}, retry_after_seconds=_POLL_SECONDS * 4)


def _failed(version: ModelVersion) -> RegistrarError:
    """The failure as the background process recorded it, under its own reason where that says more."""
    passed_on = {
        Reason.RUN_NOT_FOUND,
        Reason.ARTIFACT_NOT_FOUND,
        Reason.SOURCE_NOT_ALLOWED,
        Reason.MLFLOW_DRIFT,
        Reason.SIGNATURE_BREAKING,
        Reason.METADATA_INCOMPLETE,
    }
    reason = Reason(version.failure_reason)
    return RegistrarError(
        reason if reason in passed_on else Reason.REGISTRATION_FAILED, version.failure, metadata={"uid": version.uid}
    )
