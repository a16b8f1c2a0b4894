"""docs/governance.md does what it says: its blocks are run with the real grpcurl, in order, in one shell."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.test_grpcurl_cookbook import assert_expected, read_blocks, require_programs, run
from tests.fixtures.server import RunningServer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "governance.md"


def test_every_block_about_policies_answers_as_the_page_says(
    server: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    require_programs("grpcurl", "jq")
    page = PAGE.read_text(encoding="utf-8").replace("127.0.0.1:50051", server.address)
    # A policy's name is given once.
    page = page.replace("churn-predictor", unique_name).replace("churn-gate", f"gate-{unique_name}")
    blocks = read_blocks(page)
    for block, output in zip(blocks, run(blocks, tmp_path), strict=True):
        assert_expected(block, output)
