"""Every RPC that reads, as bytes that are sent: several requests of each kind, so that no one row is asked for over and over."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import grpc

from benchmarks.reads.catalogue import TASKS, TEAMS, WORDS, holders, model_name, semantic_version, ticket, word_of
from registrar.v1 import lifecycle_service_pb2, model_service_pb2, reference_pb2
from registrar.v1 import model_version_service_pb2 as pb
from registrar.v1.reference_pb2 import ModelRef, ModelVersionRef

VERSIONS = "/registrar.v1.ModelVersionService"
MODELS = "/registrar.v1.ModelService"
LIFECYCLE = "/registrar.v1.LifecycleService"
HEALTH = "/grpc.health.v1.Health/Check"
"""Passes the interceptors of every call and reads no database: the ceiling of what a call can be."""

STRONG = reference_pb2.Consistency(strong=True)
SEARCH_PAGE = 20
"""Versions on a page of a search: what a screen shows."""
_DIFFERENT = 40
# Not the largest page there is: a worker keeps the memory of one for good, and that is measured too.
_PAGE_ON_THE_WAY = 100
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Read:
    """Calls of one kind. `found` is the least number of things that each answer holds."""

    name: str
    method: str
    requests: tuple[bytes, ...]
    count: Callable[[bytes], int]
    found: int
    target_milliseconds: float | None = None
    """What p95 must not exceed."""
    is_growth_judged: bool = True
    """False: a small catalogue has less to answer."""


class Caller:
    """Makes calls of bytes on one channel."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._methods: dict[str, grpc.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    def call(self, method: str, request: bytes) -> bytes:
        """The answer, not taken apart."""
        found = self._methods.get(method)
        if found is None:
            found = self._channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
            self._methods[method] = found
        return found(request, timeout=_TIMEOUT_SECONDS)

    def close(self) -> None:
        self._channel.close()


def reads(caller: Caller, *, model_count: int, versions: int) -> list[Read]:
    """What is measured on a catalogue of this size; each has been made once and answered what it should."""
    random_models = random.Random(model_count).choices(range(model_count), k=_DIFFERENT)
    every = [*_of_models(random_models, versions), *searches(caller, model_count=model_count, versions=versions)]
    for read in every:
        require_right(caller, read)
    return every


def require_right(caller: Caller, read: Read) -> None:
    """Call once; RuntimeError when the answer holds too little."""
    found = read.count(caller.call(read.method, read.requests[0]))
    if found < read.found:
        raise RuntimeError(f"{read.name} found {found} instead of {read.found}")


def get_version(ref: ModelVersionRef, *, is_cached: bool = False) -> bytes:
    """A request of GetModelVersion; by default one that no cache answers."""
    return pb.GetModelVersionRequest(ref=ref, consistency=None if is_cached else STRONG).SerializeToString()


def refs_of(model: int, versions: int) -> dict[str, ModelVersionRef]:
    """A reference of each kind to a version of a model."""
    of = ModelRef(name=model_name(model))
    champion = holders(versions)["champion"]
    return {
        "number": ModelVersionRef(model=of, version=champion),
        "stage": ModelVersionRef(model=of, stage=reference_pb2.STAGE_PRODUCTION),
        "alias": ModelVersionRef(model=of, alias="champion"),
        "semantic version": ModelVersionRef(model=of, semantic_version=semantic_version(champion)),
        "range": ModelVersionRef(model=of, semantic_version="^1.2"),
    }


def searches(caller: Caller, *, model_count: int, versions: int) -> list[Read]:
    """Searches of the kinds that are listed in docs/benchmarks.md."""
    size, found = SEARCH_PAGE, min(SEARCH_PAGE, model_count * versions)
    numbers = random.Random(model_count + 1)
    tickets = [ticket(numbers.randrange(model_count), numbers.randint(1, versions)) for _ in range(_DIFFERENT)]
    teams = TEAMS[: min(len(TEAMS), model_count)]

    def search(name: str, requests: Iterable[pb.SearchModelVersionsRequest], least: int = found) -> Read:
        bodies = tuple(request.SerializeToString() for request in requests)
        return Read(f"search: {name}", f"{VERSIONS}/SearchModelVersions", bodies, _searched, least, 20.0)

    def of(text: str = "", **fields: str) -> pb.SearchModelVersionsRequest:
        return pb.SearchModelVersionsRequest(filter=text, page_size=size, consistency=STRONG, **fields)

    deep = _deep_token(caller, total=model_count * versions)
    return [
        search("no filter", [of()]),
        search("no filter, 90 % page", [of(page_token=deep)]),
        search("name prefix", [of(f'name = "{team}-*"') for team in teams]),
        search("tag of one", [of(f'tags.ticket = "{text}"') for text in tickets], 1),
        search("tag of 5 %", [of(f'tags.team = "{team}"') for team in teams]),
        search("two tags", [of(f'tags.team = "{team}" AND tags.region = "eu"') for team in teams], min(found, 15)),
        search("metric range", [of("metrics.f1 >= 0.9 AND metrics.f1 < 0.95")], 1),
        search("ordered by a metric", [of(f'tags.task = "{task}"', order_by="metrics.f1 desc") for task in TASKS]),
        search("a word", [of(query=word) for word in WORDS[:model_count]]),
        search(
            "words of one model", [of(query=f"boosting {word_of(numbers.randrange(model_count))}") for _ in tickets]
        ),
    ]


def _of_models(some: Sequence[int], versions: int) -> list[Read]:
    names = [ModelRef(name=model_name(model)) for model in some]
    refs = [refs_of(model, versions) for model in some]

    def read(name: str, method: str, requests: Iterable[bytes], count: Callable[[bytes], int], found: int) -> Read:
        return Read(name, method, tuple(requests), count, found)

    found = [
        read(
            f"GetModelVersion by {kind}",
            f"{VERSIONS}/GetModelVersion",
            [get_version(of[kind]) for of in refs],
            lambda reply: pb.GetModelVersionResponse.FromString(reply).model_version.version,
            1,
        )
        for kind in refs[0]
    ]
    get = model_service_pb2.GetModelRequest
    compare = pb.CompareModelVersionsRequest
    found += [
        read(
            "GetModel",
            f"{MODELS}/GetModel",
            [get(model=name, consistency=STRONG).SerializeToString() for name in names],
            lambda reply: model_service_pb2.GetModelResponse.FromString(reply).model.production_version,
            1,
        ),
        _list_models(10),
        _list_models(100),
        read(
            "ListModelVersions, a page of 20",
            f"{VERSIONS}/ListModelVersions",
            [pb.ListModelVersionsRequest(model=name, page_size=20).SerializeToString() for name in names],
            lambda reply: len(pb.ListModelVersionsResponse.FromString(reply).model_versions),
            20,
        ),
        read(
            "CompareModelVersions, of two",
            f"{VERSIONS}/CompareModelVersions",
            [compare(refs=[of["alias"], _newest(of["alias"], versions)]).SerializeToString() for of in refs],
            lambda reply: len(pb.CompareModelVersionsResponse.FromString(reply).comparison),
            2,
        ),
        read(
            "ListTransitions, a page of 20",
            f"{LIFECYCLE}/ListTransitions",
            [lifecycle_service_pb2.ListTransitionsRequest(model=n, page_size=20).SerializeToString() for n in names],
            lambda reply: len(lifecycle_service_pb2.ListTransitionsResponse.FromString(reply).transitions),
            20,
        ),
        read(
            "ListAliasHistory",
            f"{VERSIONS}/ListAliasHistory",
            [pb.ListAliasHistoryRequest(model=name, page_size=20).SerializeToString() for name in names],
            lambda reply: len(pb.ListAliasHistoryResponse.FromString(reply).moves),
            5,
        ),
    ]
    return found


def _list_models(size: int) -> Read:
    """Ten models are in every catalogue."""
    return Read(
        f"ListModels, a page of {size}",
        f"{MODELS}/ListModels",
        (model_service_pb2.ListModelsRequest(page_size=size, consistency=STRONG).SerializeToString(),),
        lambda reply: len(model_service_pb2.ListModelsResponse.FromString(reply).models),
        10,
        10.0 if size == 100 else None,
        is_growth_judged=size == 10,
    )


def _newest(ref: ModelVersionRef, versions: int) -> ModelVersionRef:
    return ModelVersionRef(model=ref.model, version=versions)


def _deep_token(caller: Caller, *, total: int) -> str:
    """Token of the page that begins when nine tenths have been passed."""
    passed, token = 0, ""
    while passed < total * 9 // 10:
        size = min(_PAGE_ON_THE_WAY, total * 9 // 10 - passed)
        request = pb.SearchModelVersionsRequest(page_size=size, page_token=token)
        reply = caller.call(f"{VERSIONS}/SearchModelVersions", request.SerializeToString())
        page = pb.SearchModelVersionsResponse.FromString(reply)
        passed, token = passed + len(page.model_versions), page.next_page_token
        if not token:
            raise RuntimeError(f"a search ended after {passed} of {total} versions")
    return token


def _searched(reply: bytes) -> int:
    return len(pb.SearchModelVersionsResponse.FromString(reply).model_versions)
