"""Models."""

from __future__ import annotations

from registrar.v1 import model_pb2 as pb
from registrar_server.domain.models import Model
from registrar_server.transport.convert.values import goal_to_proto, time_to_proto


def model_to_proto(model: Model) -> pb.Model:
    """A model as the contract shows it."""
    return pb.Model(
        tenant=model.key.tenant,
        name=model.key.name,
        uid=model.uid,
        description=model.description,
        tags=model.tags,
        metric_goals={metric: goal_to_proto(goal) for metric, goal in model.metric_goals.items()},
        latest_version=model.latest_version,
        production_version=model.production_version,
        staging_version=model.staging_version,
        aliases=model.aliases,
        created_by=model.created_by,
        create_time=time_to_proto(model.create_time),
        update_time=time_to_proto(model.update_time),
        etag=model.etag,
        delete_time=time_to_proto(model.delete_time),
        purge_time=time_to_proto(model.purge_time),
    )
