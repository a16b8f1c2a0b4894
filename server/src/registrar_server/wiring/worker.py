"""What a worker and the bulk process are made of: constructor arguments, every resource in one ExitStack."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version as distribution_version
from pathlib import Path

from registrar_server.adapters.local_signals import WorkerSignals
from registrar_server.application.administration.administration import Administration
from registrar_server.application.aliases import Aliases
from registrar_server.application.artifacts import Artifacts
from registrar_server.application.audit import Audit
from registrar_server.application.bundle_writer import BundleWriter
from registrar_server.application.cards.cards import Cards
from registrar_server.application.downloads import Downloads
from registrar_server.application.event_tail import EventTail
from registrar_server.application.evidence.export import Evidence
from registrar_server.application.governance.governance import Governance
from registrar_server.application.history import History
from registrar_server.application.lifecycle import Lifecycle
from registrar_server.application.lineage import Lineages
from registrar_server.application.models import Models
from registrar_server.application.mutations import Mutations
from registrar_server.application.ports.clock import SystemClock
from registrar_server.application.refusals import Refusals
from registrar_server.application.registration import Registration
from registrar_server.application.reply_cache import ReplyCache
from registrar_server.application.search.searching import Searching
from registrar_server.application.server_status import LoginOptions, ServerFacts, ServerStatus
from registrar_server.application.transfers import Transfers
from registrar_server.application.upload_streams import UploadStreams
from registrar_server.application.uploads import Uploads
from registrar_server.application.verification import Verification
from registrar_server.application.versions import Versions
from registrar_server.config import Config
from registrar_server.transport.server import RegistrarServer, ServerSettings, UseCases
from registrar_server.wiring.authentication import open_authentication
from registrar_server.wiring.instruments import open_instruments
from registrar_server.wiring.resources import open_checkpoints, open_database, open_store


def build_worker(
    config: Config, run_directory: Path, stack: ExitStack, *, transfer_cores: frozenset[int]
) -> RegistrarServer:
    """A worker's server, not yet listening; see `ServerSettings.transfer_cores`."""
    return _build(config, run_directory, stack, is_bulk=False, transfer_cores=transfer_cores)


def build_bulk(config: Config, run_directory: Path, stack: ExitStack) -> RegistrarServer:
    """The bulk process's server, not yet listening: transfers, and what says where one is."""
    return _build(config, run_directory, stack, is_bulk=True, transfer_cores=frozenset())


def _build(
    config: Config, run_directory: Path, stack: ExitStack, *, is_bulk: bool, transfer_cores: frozenset[int]
) -> RegistrarServer:
    clock = SystemClock()
    instruments = open_instruments(config, run_directory, "bulk" if is_bulk else "worker", stack)
    database = instruments.observe(open_database(config, stack))
    store = open_store(config, stack, around=instruments.around("store"))
    signals = WorkerSignals(run_directory)
    stack.callback(signals.close)
    checkpoints = open_checkpoints(config)
    mutations = Mutations(database, clock, signals)
    writer = BundleWriter(database, store, clock)
    verification = Verification(database, store, clock)
    replies = ReplyCache(0.0 if is_bulk else config.cache_ttl_seconds)
    database.tell_commits(replies.commit)
    authentication = open_authentication(config, database, clock)
    database.tell_commits(authentication.notice)
    tail = EventTail(database, replies, authentication)
    use_cases = UseCases(
        authentication=authentication,
        models=Models(database, mutations),
        versions=Versions(database, mutations),
        history=History(database, clock),
        searching=Searching(database),
        registration=Registration(database, store, clock, signals),
        aliases=Aliases(database, mutations),
        lifecycle=Lifecycle(database, mutations, verification),
        governance=Governance.on(database, mutations, clock),
        lineages=Lineages(database),
        cards=Cards(database, mutations, store.uri),
        audit=Audit(database, checkpoints),
        evidence=Evidence(database, checkpoints),
        refusals=Refusals(database, clock),
        artifacts=Artifacts(database, writer),
        uploads=Uploads(database, store, clock, signals),
        upload_streams=UploadStreams(database, store, clock, signals),
        downloads=Downloads(database, store, clock),
        transfers=Transfers(database, clock, lambda: authentication.changes),
        verification=verification,
        replies=replies,
        tail=tail,
        status=ServerStatus(database, replies, tail),
        administration=Administration.on(database, mutations, clock),
    )
    facts = ServerFacts(
        version=distribution_version("registrar-server"),
        artifact_root=config.artifact_root,
        transfer_slots=config.transfer_slots,
        cache_ttl_seconds=config.cache_ttl_seconds,
        bulk_endpoint=config.bulk_endpoint,
    )
    settings = ServerSettings(
        threads=config.threads,
        transfer_slots=config.transfer_slots,
        registration_waits=config.transfer_slots,
        stall_seconds=config.stall_seconds,
        is_bulk=is_bulk,
        transfer_cores=transfer_cores,
        login=LoginOptions(
            is_authentication_required=config.is_authentication_required,
            oidc_issuer=config.oidc_issuer,
            oidc_client_id=config.oidc_client_id,
            oidc_scopes=config.oidc_scopes if config.oidc_issuer else (),
            oidc_audience=config.oidc_audience if config.oidc_issuer else "",
        ),
    )
    server = RegistrarServer(use_cases, facts, settings, instruments.table, instruments.guards)
    instruments.watch_server(server, replies, tail, stack)
    return server
