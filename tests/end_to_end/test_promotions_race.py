"""A hundred promotions over every worker of a server: one winner a round, and one holder at every moment.

The same with two servers on PostgreSQL is in test_many_processes.py, which has them running.
"""

from __future__ import annotations

from contextlib import ExitStack

import grpc

from tests.end_to_end.api import Api
from tests.end_to_end.promotions import race
from tests.fixtures.server import RunningServer


def test_of_promotions_at_once_one_wins_each_round_and_the_others_learn_who(
    server: RunningServer, unique_name: str
) -> None:
    with ExitStack() as stack:
        # Each a connection of its own: which worker takes it is the kernel's choice.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [stack.enter_context(grpc.insecure_channel(server.address, options=options)) for _ in range(4)]
        race([Api(channel) for channel in channels], unique_name)
