"""Send one object of many MiB and print by how many MiB the peak memory of this process rose.

Run by the contract suite in a process of its own: `send_one_object.py ENDPOINT BUCKET KEY MEBIBYTES`.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys

from registrar_server.adapters.minio_bundles import MinioBundleStore

MEBIBYTE = 1 << 20


def main(endpoint_url: str, bucket: str, key: str, mebibytes: int) -> None:
    store = MinioBundleStore(
        endpoint_url, bucket, "tests", os.environ["ACCESS"], os.environ["SECRET"], region="us-east-1"
    )
    store.check()
    block = os.urandom(MEBIBYTE)
    digest = hashlib.sha256()
    for _ in range(mebibytes):
        digest.update(block)
    before = peak_mebibytes()
    transfer = store.start_transfer()
    transfer.open_object(key, size_bytes=mebibytes * MEBIBYTE, sha256=digest.hexdigest())
    for _ in range(mebibytes):
        transfer.write(block)
    transfer.close_object()
    transfer.finish()
    growth = peak_mebibytes() - before
    store.delete_prefix(key)
    store.close()
    print(growth)  # noqa: T201  (its answer)


def peak_mebibytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak // (MEBIBYTE if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
