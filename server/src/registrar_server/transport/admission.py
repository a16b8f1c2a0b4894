"""What every RPC demands of its caller, read from the contract (option `access`), and enforced before its servicer runs.

A request names what it is about by a `ModelRef` or `ModelVersionRef`, or by `tenant` and an id. All models that it names
are checked here; what an id stands for is checked where it is looked up (`Permit`), and lists are narrowed there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from registrar.v1 import access_pb2 as pb
from registrar_server.application.authentication import Authentication
from registrar_server.application.authorization import (
    Permit,
    require_right,
    require_right_anywhere,
    require_right_everywhere,
    require_right_in_tenant,
    require_right_somewhere,
)
from registrar_server.application.ports.identity import Credentials
from registrar_server.domain.access import ANYTHING, EVERYWHERE, Caller, Right, Target
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.validation import checking
from registrar_server.domain.values import ModelKey
from registrar_server.transport.calls import current_call
from registrar_server.transport.convert.access import RIGHTS
from registrar_server.transport.convert.references import stage_of
from registrar_server.transport.handlers import Behaviour, Handler, behaviour_of, served_by

_log = structlog.get_logger()

ReadCredentials = Callable[[grpc.ServicerContext], Credentials]
_Path = tuple[str, ...]

_MODEL, _VERSION = "registrar.v1.ModelRef", "registrar.v1.ModelVersionRef"
_CARRIERS = frozenset({"registrar.v1.ManifestRef"})
_ADMINISTRATION = "registrar.v1.AdminService"
_DEEPEST = 5
_REFUSALS = frozenset(
    {
        Reason.CREDENTIALS_INVALID,
        Reason.PERMISSION_DENIED,
        Reason.MODEL_NOT_FOUND,
        Reason.TENANT_NOT_FOUND,
        Reason.TENANT_SUSPENDED,
    }
)

# Services that are not ours, by what they tell: whether the server lives, the contract, and who is connected.
_OTHERS: Mapping[str, pb.Access] = {
    "grpc.health.v1.Health": pb.Access(scope=pb.ACCESS_SCOPE_OPEN),
    "grpc.reflection.v1.ServerReflection": pb.Access(scope=pb.ACCESS_SCOPE_OPEN),
    "grpc.reflection.v1alpha.ServerReflection": pb.Access(scope=pb.ACCESS_SCOPE_OPEN),
    "grpc.channelz.v1.Channelz": pb.Access(scope=pb.ACCESS_SCOPE_PLATFORM, right=pb.RIGHT_ADMINISTER),
}


def method_of(method: str) -> MethodDescriptor | None:
    """The descriptor of `/package.Service/Method`, if it is one of this API's."""
    service_name, _, method_name = method.strip("/").partition("/")
    if service_name in _OTHERS:
        return None
    try:
        service = descriptor_pool.Default().FindServiceByName(service_name)
    except KeyError:
        return None
    return service.methods_by_name.get(method_name)


@cache
def access_of(method: str) -> pb.Access:
    """What `/package.Service/Method` demands. Of what says nothing: a scope that nobody passes."""
    other = _OTHERS.get(method.strip("/").partition("/")[0])
    if other is not None:
        return other
    described = method_of(method)
    return described.GetOptions().Extensions[pb.access] if described is not None else pb.Access()


class Admission:
    """Wraps handlers so that they run only for callers who may."""

    def __init__(self, authentication: Authentication, read_credentials: ReadCredentials) -> None:
        self._authentication = authentication
        self._read_credentials = read_credentials
        self._streams: set[_Stream] = set()
        self._looked_at = 0

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, behind its demand."""
        demand = _Demand(method, self._authentication)
        if demand.is_open:
            return handler
        inner = behaviour_of(handler)

        def respond(request: Any, context: grpc.ServicerContext) -> Any:
            self._identify(context)
            demand.check(request, current_call.get().caller)
            return inner(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with self._streaming(demand, context) as live:
                live.check(request)
                yield from inner(request, context)

        def take(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._streaming(demand, context) as live:
                demand.check_sender(live.caller)
                return inner(live.checked(requests), context)

        def converse(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            with self._streaming(demand, context) as live:
                demand.check_sender(live.caller)
                yield from inner(live.checked(requests), context)

        behaviours: Mapping[tuple[bool, bool], Behaviour] = {
            (False, False): respond,
            (False, True): stream,
            (True, False): take,
            (True, True): converse,
        }
        return served_by(behaviours[bool(handler.request_streaming), bool(handler.response_streaming)], handler)

    def cut_streams(self) -> None:
        """Cancel streams whose callers may not go on; to be called often. Costs nothing while nothing has changed."""
        changes = self._authentication.changes
        if changes == self._looked_at:
            return
        is_all_known = True
        for stream in tuple(self._streams):
            try:
                stream.check_again()
            except RegistrarError as exc:
                if exc.reason not in _REFUSALS:
                    # The database or the provider does not answer: nothing is known of this one, so look again.
                    is_all_known = False
                    continue
                _log.info("stream.cut", reason=exc.reason.value, request_id=stream.request_id)
                stream.context.cancel()
        if is_all_known:
            self._looked_at = changes

    def _identify(self, context: grpc.ServicerContext) -> Credentials:
        credentials = self._read_credentials(context)
        current_call.get().caller = self._authentication.authenticate(credentials)
        return credentials

    @contextmanager
    def _streaming(self, demand: _Demand, context: grpc.ServicerContext) -> Iterator[_Stream]:
        changes = self._authentication.changes
        credentials = self._identify(context)
        call = current_call.get()
        demand.check_first(call.caller)
        stream = _Stream(demand, self._authentication, credentials, call.caller, context, call.request_id)
        self._streams.add(stream)
        try:
            if self._authentication.changes != changes:
                stream.check_again()
            yield stream
        finally:
            self._streams.discard(stream)


class _Stream:
    """A stream under way, which may have to end before its time."""

    def __init__(
        self,
        demand: _Demand,
        authentication: Authentication,
        credentials: Credentials,
        caller: Caller,
        context: grpc.ServicerContext,
        request_id: str,
    ) -> None:
        self.context = context
        self.request_id = request_id
        self._demand = demand
        self._authentication = authentication
        self._credentials = credentials
        self.caller = caller
        self._first: Message | None = None

    def check(self, first: Message) -> None:
        """Whether the caller may have what the first message asks for."""
        self._first = first
        self._demand.check(first, self.caller)

    def checked(self, requests: Iterator[Any]) -> Iterator[Any]:
        """The stream, its first message checked. One that is no message is the servicer's to refuse."""
        for first in requests:
            if isinstance(first, Message):
                self.check(first)
            yield first
            break
        yield from requests

    def check_again(self) -> None:
        """Whether it still may."""
        caller = self._authentication.authenticate_again(self._credentials, self.caller)
        if self._first is not None:
            # Of the tenant that it spoke for when it began, whatever it has been bound to since.
            self._demand.check(self._first, replace(caller, tenant=self.caller.tenant))


def current_permit(tenant: str) -> Permit:
    """What the current call may do in a tenant, for where its subject is looked up by an id."""
    call = current_call.get()
    return Permit(call.caller, RIGHTS[access_of(call.method).right], tenant)


@dataclass(frozen=True, slots=True)
class _Subject:
    """Where in a request a model is named; `is_meant`: the RPC is about it, and does not only mention it."""

    path: _Path
    is_meant: bool


class _Demand:
    """What one RPC demands, made once from its descriptor."""

    def __init__(self, method: str, authentication: Authentication) -> None:
        access = access_of(method)
        described = method_of(method)
        fields = described.input_type.fields_by_name if described is not None else {}
        self._method = method
        self._authentication = authentication
        self._scope = access.scope
        self._right = RIGHTS.get(access.right, Right.ADMINISTER)
        self._stage = stage_of(access.stage)
        self._is_administration = described is not None and described.containing_service.full_name == _ADMINISTRATION
        self._subjects = tuple(_subjects(described.input_type, (), is_meant=True)) if described is not None else ()
        self._has_stage = self._right is Right.PROMOTE and "stage" in fields
        self._has_alias = self._right is Right.MOVE_ALIAS and "alias" in fields
        self._has_approver_role = self._right is Right.APPROVE and "approver_role" in fields
        self._tenant_path = _tenant_path(described.input_type) if described is not None else None

    @property
    def is_open(self) -> bool:
        """Whether no credentials are needed."""
        return self._scope == pb.ACCESS_SCOPE_OPEN

    def check_first(self, caller: Caller) -> None:
        """What can be said before a stream has sent anything."""
        if self._scope == pb.ACCESS_SCOPE_PLATFORM:
            require_right_everywhere(caller, self._right)
        elif self._scope == pb.ACCESS_SCOPE_UNSPECIFIED:
            raise self._undeclared()

    def check_sender(self, caller: Caller) -> None:
        """The same for who sends a stream, and holds a slot before its first message says what it is about."""
        if self._scope == pb.ACCESS_SCOPE_MODEL:
            require_right_anywhere(caller, self._right)

    def check(self, request: Message, caller: Caller) -> None:
        """Raise what the caller is refused with."""
        match self._scope:
            case pb.ACCESS_SCOPE_MODEL:
                self._check_models(request, caller)
            case pb.ACCESS_SCOPE_LIST:
                tenant = self._tenant(request, caller)
                if tenant == EVERYWHERE:
                    require_right_anywhere(caller, self._right)
                else:
                    require_right_somewhere(caller, self._right, tenant)
                self._authentication.require_usable(tenant)
            case pb.ACCESS_SCOPE_TENANT:
                self._check_tenant(self._tenant(request, caller), caller)
            case pb.ACCESS_SCOPE_PLATFORM:
                require_right_everywhere(caller, self._right)
            case pb.ACCESS_SCOPE_CALLER | pb.ACCESS_SCOPE_OPEN:
                pass
            case _:
                raise self._undeclared()

    def _check_models(self, request: Message, caller: Caller) -> None:
        is_any_named = False
        target = self._target(request)
        for subject in self._subjects:
            for ref in _refs(request, subject.path):
                name, tenant = ref.name, ref.tenant or caller.tenant
                if not name:
                    continue
                is_any_named = is_any_named or subject.is_meant
                if subject.is_meant:
                    self._check_model(ModelKey(tenant, name), subject.path, caller, self._right, target)
                else:
                    self._check_model(ModelKey(tenant, name), subject.path, caller, Right.READ, ANYTHING)
        if not is_any_named:
            tenant = self._tenant(request, caller)
            require_right_somewhere(caller, self._right, tenant)
            self._authentication.require_usable(tenant)

    def _check_model(self, model: ModelKey, path: _Path, caller: Caller, right: Right, target: Target) -> None:
        if not caller.access.may(right, model.tenant, model.name, target):
            with checking() as check:
                check.tenant(f"{'.'.join(path)}.tenant", model.tenant)
                check.model_name(f"{'.'.join(path)}.name", model.name)
            require_right(caller, right, model, target)
        self._authentication.require_usable(model.tenant)

    def _check_tenant(self, tenant: str, caller: Caller) -> None:
        """Administration goes on in a suspended tenant; a deleted one is there for those who could bring it back."""
        require_right_in_tenant(caller, self._right, tenant)
        if not self._is_administration or (
            not caller.access.may_everywhere(self._right) and self._authentication.is_deleted(tenant)
        ):
            self._authentication.require_usable(tenant)

    def _target(self, request: Any) -> Target:
        if self._has_stage:
            return Target(stage=stage_of(request.stage))
        if self._has_alias:
            return Target(alias=request.alias)
        if self._has_approver_role:
            return Target(approver_role=request.approver_role)
        return ANYTHING if self._stage is None else Target(stage=self._stage)

    def _tenant(self, request: Any, caller: Caller) -> str:
        if self._tenant_path is None:
            return caller.tenant
        value: Any = request
        for name in self._tenant_path:
            value = getattr(value, name)
        tenant = str(value) or caller.tenant
        if tenant != EVERYWHERE and not caller.access.may_everywhere(self._right):
            with checking() as check:
                check.tenant(".".join(self._tenant_path), tenant)
        return tenant

    def _undeclared(self) -> RegistrarError:
        return RegistrarError(Reason.PERMISSION_DENIED, f"{self._method} says of no right that it needs it")


def _subjects(message: Descriptor, path: _Path, *, is_meant: bool) -> Iterator[_Subject]:
    """Every place where a model is named; of a header, too. Deeper ones are mentioned only."""
    for field in message.fields:
        kind = field.message_type
        if kind is None or len(path) > _DEEPEST or kind.GetOptions().map_entry:
            continue
        here = (*path, field.name)
        if kind.full_name == _MODEL:
            yield _Subject(here, is_meant)
        elif kind.full_name == _VERSION:
            yield _Subject((*here, "model"), is_meant)
        elif kind.full_name.startswith("registrar."):
            is_carrier = field.name == "header" or kind.full_name in _CARRIERS
            yield from _subjects(kind, here, is_meant=is_meant and is_carrier)


def _tenant_path(message: Descriptor) -> _Path | None:
    """Where a request names its tenant: itself, or its header."""
    if "tenant" in message.fields_by_name:
        return ("tenant",)
    header = message.fields_by_name.get("header")
    has_it = header is not None and header.message_type is not None and "tenant" in header.message_type.fields_by_name
    return ("header", "tenant") if has_it else None


def _refs(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """The messages at a path; several where a field on the way is repeated."""
    for index, name in enumerate(path):
        value = getattr(value, name)
        if not isinstance(value, Message):
            for one in value:
                yield from _refs(one, path[index + 1 :])
            return
    yield value
